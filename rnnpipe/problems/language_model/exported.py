"""An exported language model, word by word, by ONNX Runtime: nothing here knows TensorFlow."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnpipe.networks.onnx_file import unusable
from rnnpipe.networks.onnx_session import open_session, require_size


class ExportedLanguageModel:
    """A language model that :mod:`rnnpipe.problems.language_model.export` wrote, loaded."""

    def __init__(self, path: Path) -> None:
        """Load a file; no code from it is run.

        Raises:
            RegistryError: the file is missing or is no such model.
        """
        self._session = open_session(
            path,
            "language model",
            {"token_ids": 2, "state": 3},
            {"logits": 2, "state_after": 3},
            threads=0,
        )
        self.vocabulary = self._session.metadata.get("vocabulary", "")
        layers, _, width = self._session.graph.inputs["state"]
        if not isinstance(layers, int) or not isinstance(width, int):
            raise unusable(path, "it does not say how large its state is")
        self._state_shape = (layers, 1, width)

    def require_matching(self, token_ids: int, steps: int) -> None:
        """Make sure that the network belongs to a vocabulary, and is content with this machine.

        Args:
            token_ids: how many ids the vocabulary has.
            steps: the most that it will read at once.

        Raises:
            RegistryError: it is of another model, or would want more than any network of ours.
        """
        shapes = {"token_ids": (1, steps), "state": self._state_shape}
        found = self._session.require_bounded(**shapes).outputs
        path = self._session.path
        require_size(path, "scores", found.get("logits"), (1, token_ids))
        require_size(path, "of a state after", found.get("state_after"), self._state_shape)

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
