"""An exported network on token ids, by ONNX Runtime: nothing here knows TensorFlow."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from rnnpipe.errors import RegistryError
from rnnpipe.progress import track
from rnnpipe.sequences import Padding, sorted_batches
from rnnpipe.tokens import Ragged

# A batch a core, and small ones: they share the cores evenly and keep little memory in use.
_BATCH = 16
_MOST_TOKENS = 2**14  # in a batch, so that very long sequences come in smaller ones


class ExportedNetwork:
    """A network that :func:`rnnpipe.exporting.classifier.save_classifier` wrote, loaded."""

    def __init__(self, path: Path) -> None:
        """Load a file; no code from it is run.

        Raises:
            RegistryError: the file is missing or is no such network.
        """
        self._session = _session(path)

    def logits(self, token_ids: NDArray[np.int32]) -> NDArray[np.float32]:
        """Map ``int32[batch, time]`` to ``float32[batch]``; may be called from several threads."""
        found: NDArray[np.float32] = self._session.run(["logit"], {"token_ids": token_ids})[0]
        return found

    def predict_logits(
        self, sequences: Ragged, padding: Padding, progress: bool = False
    ) -> NDArray[np.float32]:
        """Give the logit of each sequence, ``float32[n]``, in the order given, on all cores.

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


class ExportedForecaster:
    """A forecaster that :func:`rnnpipe.exporting.forecaster.save_forecaster` wrote, loaded."""

    def __init__(self, path: Path) -> None:
        """Load a file; no code from it is run.

        Raises:
            RegistryError: the file is missing or is no such network.
        """
        self._session = _session(path)
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


class ExportedLanguageModel:
    """A language model that :mod:`rnnpipe.exporting.language_model` wrote, loaded."""

    def __init__(self, path: Path) -> None:
        """Load a file; no code from it is run.

        Raises:
            RegistryError: the file is missing or is no such model.
        """
        self._session = _session(path, threads=0)
        shapes = {value.name: value.shape for value in self._session.get_inputs()}
        if set(shapes) != {"token_ids", "state"}:
            raise RegistryError(
                f"{path} is no language model: expected the inputs token_ids and state"
            )
        self.vocabulary = self._session.get_modelmeta().custom_metadata_map.get("vocabulary", "")
        layers, _, width = shapes["state"]
        self._state_shape = (int(layers), 1, int(width))

    def zero_state(self) -> NDArray[np.float32]:
        """Give the state before a text, ``float32[layers, 1, width]``."""
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


def _session(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # A step of a recurrence is too little work to share out; whole batches run side by side.
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = False  # it pays for batches of one shape, ours have many
    options.log_severity_level = 3  # errors alone
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no class of their own above them
        raise RegistryError(
            f"{path} is not an exported network that can be loaded ({type(error).__name__}):"
            " run `dvc checkout`, or train it again with `dvc repro`; a model registered before"
            " networks were exported needs the rnnpipe version that registered it"
        ) from error
