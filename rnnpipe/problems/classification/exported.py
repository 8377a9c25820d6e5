"""An exported classifier on token ids, by ONNX Runtime: nothing here knows TensorFlow."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnpipe.networks.onnx_session import open_session
from rnnpipe.runtime.progress import track
from rnnpipe.text.batching import Padding, sorted_batches
from rnnpipe.text.tokens import Ragged

# A batch a core, and small ones: they share the cores evenly and keep little memory in use.
_BATCH = 16
_MOST_TOKENS = 2**14  # in a batch, so that very long sequences come in smaller ones


class ExportedNetwork:
    """A network that :func:`rnnpipe.problems.classification.export.save_classifier` wrote, loaded."""

    def __init__(self, path: Path) -> None:
        """Load a file; no code from it is run.

        Raises:
            RegistryError: the file is missing or is no such network.
        """
        self._session = open_session(path)

    def logits(self, token_ids: NDArray[np.int32]) -> NDArray[np.float32]:
        """Map ``int32[batch, time]`` to ``float32[batch]``; may be called from several threads."""
        found: NDArray[np.float32] = self._session.run(["logit"], {"token_ids": token_ids})[0]
        return found

    def predict_logits(
        self, sequences: Ragged, padding: Padding, progress: bool = False
    ) -> NDArray[np.float32]:
        """Return the logit of each sequence, ``float32[n]``, in the order given, on all cores.

        Args:
            sequences: any number of them.
            padding: how a batch becomes a rectangle.
            progress: show a bar on a terminal.
        """
        lengths = np.minimum(sequences.lengths, padding.length)
        size = max(1, min(_BATCH, _MOST_TOKENS // padding.length))
        # The longest first: a long batch that came last would leave the other cores idle.
        batches = sorted_batches(lengths, size)[::-1]
        logits = np.empty(len(sequences), np.float32)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            answers = pool.map(lambda rows: self.logits(padding.pad(sequences, rows)), batches)
            answered = zip(batches, answers, strict=True)
            shown = track(answered, "predicting", "batches", len(batches))
            for rows, answer in shown if progress else answered:
                logits[rows] = answer
        return logits
