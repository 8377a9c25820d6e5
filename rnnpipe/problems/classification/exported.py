"""An exported classifier on token ids, by ONNX Runtime: nothing here knows TensorFlow."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnpipe.networks.onnx_file import unusable
from rnnpipe.networks.onnx_session import open_session, require_size
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
        self._session = open_session(
            path, "classifier", {"token_ids": 2}, {"logit": 1}, {"logits": 2}
        )
        (self._output,) = self._session.graph.outputs
        told = self._session.graph.outputs[self._output]
        # As it computes, whatever it tells.
        shape = self._session.require_bounded(token_ids=(1, 1)).outputs.get(self._output, ())
        if len(shape) != len(told):
            raise unusable(path, f"its {self._output} is not of {len(told)} dimensions")
        self._width = shape[1:]  # of an answer: () of two classes, (K,) of more

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""
        return self._width[0] if self._width else 2

    def require_matching(self, token_ids: int, padding: Padding, classes: int) -> None:
        """Make sure that the network belongs to what lies beside it, and is content with this machine.

        Args:
            token_ids: how many ids the vocabulary has.
            padding: how a batch will become a rectangle.
            classes: how many names of labels there are.

        Raises:
            RegistryError: it is of another model, or would want more than any network of ours.
        """
        graph, path = self._session.graph, self._session.path
        rows = [
            graph.constants[node.inputs[0]].shape[0]
            for node in graph.nodes
            if node.operator == "Gather"
            and node.inputs[0] in graph.constants
            and graph.constants[node.inputs[0]].is_weight
        ]
        require_size(path, "rows of word vectors", rows[0] if rows else "no", token_ids)
        require_size(path, "classes", self.classes, classes)
        batch = _batch_size(padding)
        found = self._session.require_bounded(token_ids=(batch, padding.length))
        width = () if classes == 2 else (classes,)
        require_size(path, "answers a batch", found.outputs.get(self._output), (batch, *width))

    def logits(self, token_ids: NDArray[np.int32]) -> NDArray[np.float32]:
        """Map ``int32[batch, time]`` to ``float32[batch]``, or of K > 2 classes ``float32[batch, K]``.

        May be called from several threads.
        """
        found: NDArray[np.float32] = self._session.run([self._output], {"token_ids": token_ids})[0]
        return found

    def predict_logits(
        self, sequences: Ragged, padding: Padding, progress: bool = False
    ) -> NDArray[np.float32]:
        """Return the logits of each sequence, in the order given, on all cores.

        Args:
            sequences: any number of them.
            padding: how a batch becomes a rectangle.
            progress: show a bar on a terminal.

        Returns:
            ``float32[n]``, or of K > 2 classes ``float32[n, K]``.
        """
        lengths = np.minimum(sequences.lengths, padding.length)
        # The longest first: a long batch that came last would leave the other cores idle.
        batches = sorted_batches(lengths, _batch_size(padding))[::-1]
        logits = np.empty((len(sequences), *self._width), np.float32)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            answers = pool.map(lambda rows: self.logits(padding.pad(sequences, rows)), batches)
            answered = zip(batches, answers, strict=True)
            shown = track(answered, "predicting", "batches", len(batches))
            for rows, answer in shown if progress else answered:
                logits[rows] = answer
        return logits


def _batch_size(padding: Padding) -> int:
    return max(1, min(_BATCH, _MOST_TOKENS // padding.length))
