"""An exported forecaster on pasts, by ONNX Runtime: nothing here knows TensorFlow."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnpipe.errors import RegistryError
from rnnpipe.networks.onnx_session import open_session


class ExportedForecaster:
    """A forecaster that :func:`rnnpipe.problems.forecasting.export.save_forecaster` wrote, loaded."""

    def __init__(self, path: Path) -> None:
        """Load a file; no code from it is run.

        Raises:
            RegistryError: the file is missing or is no such network.
        """
        self._session = open_session(path)
        shapes = [
            value.shape
            for values in (self._session.get_inputs(), self._session.get_outputs())
            for value in values
            if value.name in ("past", "future")
        ]
        if len(shapes) != 2:
            raise RegistryError(
                f"{path} is no forecaster: expected an input past, an output future"
            )
        (_, self.look_back, self.columns), (_, self.horizon, _) = shapes

    def forecast(self, past: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map ``float32[batch, look_back, columns]`` to ``float32[batch, horizon, columns]``.

        Both are scaled; may be called from several threads.
        """
        found: NDArray[np.float32] = self._session.run(["future"], {"past": past})[0]
        return found
