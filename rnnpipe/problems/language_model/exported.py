"""An exported language model, word by word, by ONNX Runtime: nothing here knows TensorFlow."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnpipe.errors import RegistryError
from rnnpipe.networks.onnx_session import open_session


class ExportedLanguageModel:
    """A language model that :mod:`rnnpipe.problems.language_model.export` wrote, loaded."""

    def __init__(self, path: Path) -> None:
        """Load a file; no code from it is run.

        Raises:
            RegistryError: the file is missing or is no such model.
        """
        self._session = open_session(path, threads=0)
        shapes = {value.name: value.shape for value in self._session.get_inputs()}
        if set(shapes) != {"token_ids", "state"}:
            raise RegistryError(
                f"{path} is no language model: expected the inputs token_ids and state"
            )
        self.vocabulary = self._session.get_modelmeta().custom_metadata_map.get("vocabulary", "")
        layers, _, width = shapes["state"]
        self._state_shape = (int(layers), 1, int(width))

    def zero_state(self) -> NDArray[np.float32]:
        """Return the state before a text, ``float32[layers, 1, width]``."""
        return np.zeros(self._state_shape, np.float32)

    def read(
        self, token_ids: NDArray[np.int32], state: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read some words on from a state.

        Args:
            token_ids: ``int32[batch, time]``, at least one step.
            state: ``float32[layers, batch, width]``.

        Returns:
            ``float32[batch, vocabulary_size]``, a score for each next id, and the state after.
        """
        scores, after = self._session.run(
            ["logits", "state_after"], {"token_ids": token_ids, "state": state}
        )
        return scores, after
