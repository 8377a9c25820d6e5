"""An exported forecaster on pasts, by ONNX Runtime: nothing here knows TensorFlow."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnpipe.networks.onnx_file import unusable
from rnnpipe.networks.onnx_session import open_session, require_size


class ExportedForecaster:
    """A forecaster that :func:`rnnpipe.problems.forecasting.export.save_forecaster` wrote, loaded."""

    def __init__(self, path: Path) -> None:
        """Load a file; no code from it is run.

        Raises:
            RegistryError: the file is missing or is no such network.
        """
        self._session = open_session(path, "forecaster", {"past": 3}, {"future": 3})
        _, look_back, columns = self._session.graph.inputs["past"]
        _, horizon, told = self._session.graph.outputs["future"]
        sizes = (look_back, columns, horizon, told)
        if not all(isinstance(size, int) for size in sizes) or told != columns:
            raise unusable(path, "it does not say how many steps and columns it forecasts")
        self.look_back, self.columns, self.horizon = int(look_back), int(columns), int(horizon)

    def require_bounded(self) -> None:
        """Make sure that the network is content with a usual machine, for one forecast.

        Raises:
            RegistryError: it would want more than any network of ours, or tells other steps than it
                says.
        """
        found = self._session.require_bounded(past=(1, self.look_back, self.columns))
        expected = (1, self.horizon, self.columns)
        require_size(self._session.path, "steps ahead", found.outputs.get("future"), expected)

    def forecast(self, past: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map ``float32[batch, look_back, columns]`` to ``float32[batch, horizon, columns]``.

        Both are scaled; may be called from several threads.
        """
        found: NDArray[np.float32] = self._session.run(["future"], {"past": past})[0]
        return found
