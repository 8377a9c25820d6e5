"""A classifier that starts from a language model: what words mean and how they follow is known.

Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification". The lower
half of both networks is the same, so their weights are copied one for one. They travel as plain
arrays: a classifier's training knows nothing of how a language model is made.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from rnnpipe.errors import RegistryError, TrainingError
from rnnpipe.networks.backend import keras
from rnnpipe.networks.layers import NgramEmbedding
from rnnpipe.networks.recurrent import Recurrent
from rnnpipe.storage.files import atomic_file
from rnnpipe.text.fingerprint import require_same_vocabulary
from rnnpipe.text.vocabulary import Vocabulary

_SHAPE = (
    "vocabulary_size",
    "embedding_size",
    "cell",
    "hidden_size",
    "num_layers",
    "bidirectional",
)
_PARTS = ("kernel", "recurrent_kernel", "bias")


@dataclass(frozen=True)
class Start:
    """What a classifier takes over from a language model.

    Attributes:
        shape: vocabulary_size, embedding_size, cell, hidden_size, num_layers, bidirectional.
        vocabulary: its fingerprint.
        words: ``float32[vocabulary_size, embedding_size]``.
        cells: by direction, forward first, then by layer: kernel, recurrent kernel, bias.
    """

    shape: Mapping[str, Any]
    vocabulary: str
    words: NDArray[np.float32]
    cells: tuple[tuple[tuple[NDArray[np.float32], ...], ...], ...]

    @classmethod
    def of(cls, language_model: Any) -> "Start":
        """Take it from a :class:`rnnpipe.problems.language_model.network.LanguageModel`."""
        return cls(
            {name: language_model.settings[name] for name in _SHAPE},
            language_model.vocabulary,
            np.asarray(language_model.words),
            tuple(
                tuple(
                    tuple(np.asarray(getattr(layer.forward.cell, part)) for part in _PARTS)
                    for layer in stack
                )
                for stack in language_model.stacks
            ),
        )

    def save(self, path: Path) -> None:
        """Write it as ``.npz``."""
        arrays: dict[str, Any] = {
            f"{part}_{direction}_{layer}": array
            for direction, stack in enumerate(self.cells)
            for layer, cell in enumerate(stack)
            for part, array in zip(_PARTS, cell, strict=True)
        }
        about = json.dumps({"shape": dict(self.shape), "vocabulary": self.vocabulary})
        with atomic_file(path) as partial, partial.open("wb") as file:
            np.savez(file, about=np.array(about), words=self.words, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Start":
        """Read what :meth:`save` wrote; no code from the file is run.

        Raises:
            RegistryError: the file is missing or is no such start.
        """
        try:
            with np.load(path, allow_pickle=False) as saved:
                about = json.loads(str(saved["about"]))
                shape = about["shape"]
                return cls(
                    shape,
                    about["vocabulary"],
                    saved["words"],
                    tuple(
                        tuple(
                            tuple(saved[f"{part}_{direction}_{layer}"] for part in _PARTS)
                            for layer in range(shape["num_layers"])
                        )
                        for direction in range(1 + shape["bidirectional"])
                    ),
                )
        except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile) as error:
            raise RegistryError(
                f"{path} is no language model to start from ({type(error).__name__}): name another"
                " in pretrained.model, or train one with"
                " `dvc repro pipelines/language_model/dvc.yaml`"
            ) from error


def start_from(classifier: keras.Model, start: Start, vocabulary: Vocabulary) -> None:
    """Copy a language model's word vectors and recurrent weights into a classifier.

    Each direction of the classifier then starts with the very states of that direction of the
    language model: what only the classifier reads, the other direction below a second layer,
    starts at zero. Vectors of pairs are zeros in a new classifier; their rows of the first
    kernel keep their random start, from which they learn.

    Args:
        classifier: built by :func:`rnnpipe.problems.classification.network.build_classifier`; it may read forward alone
            and have fewer layers than the language model.
        start: of a trained language model.
        vocabulary: whose ids the classifier reads.

    Raises:
        RegistryError: the vocabulary is not the language model's.
        TrainingError: the networks differ in shape; every difference is named.
    """
    require_same_vocabulary(start.vocabulary, vocabulary, "the language model")
    embedding = classifier.get_layer("embedding")
    layers = [layer for layer in classifier.layers if isinstance(layer, Recurrent)]
    _require_same_shape(embedding, layers, start.shape)
    embedding.words.embeddings.assign(start.words)
    for number, layer in enumerate(layers):
        given = [layer.forward] if layer.backward is None else [layer.forward, layer.backward]
        for direction, target in enumerate(given):
            kernel, recurrent_kernel, bias = start.cells[direction][number]
            own = np.asarray(target.cell.kernel)
            target.cell.kernel.assign(_kernel(own, kernel, number, direction))
            target.cell.recurrent_kernel.assign(recurrent_kernel)
            target.cell.bias.assign(bias)


def _kernel(
    own: NDArray[np.float32], source: NDArray[np.float32], number: int, direction: int
) -> NDArray[np.float32]:
    """Put the rows of a language model's kernel where a classifier's layer has the same inputs."""
    if number == 0:
        return np.concatenate([source, own[len(source) :]])
    kernel = np.zeros_like(own)
    start = direction * len(source)
    kernel[start : start + len(source)] = source
    return kernel


def _require_same_shape(
    embedding: NgramEmbedding, layers: list[Recurrent], settings: Mapping[str, Any]
) -> None:
    first = layers[0]
    wanted: dict[str, tuple[Any, Any]] = {
        "vocabulary_size": (embedding.vocabulary_size, settings["vocabulary_size"]),
        "embedding_size": (embedding.embedding_size, settings["embedding_size"]),
        "cell": (first.cell, settings["cell"]),
        "hidden_size": (first.hidden_size, settings["hidden_size"]),
    }
    faults = [
        f"{name} is {ours} in the classifier, {theirs} in the language model"
        for name, (ours, theirs) in wanted.items()
        if ours != theirs
    ]
    if len(layers) > settings["num_layers"]:
        faults.append(
            f"num_layers is {len(layers)} in the classifier, only {settings['num_layers']} in the"
            " language model"
        )
    if first.bidirectional and not settings["bidirectional"]:
        faults.append("the classifier is bidirectional, the language model reads forward alone")
    if faults:
        raise TrainingError(
            f"the classifier cannot start from this language model: {'; '.join(faults)}. Give both"
            " the same shape, or train without a language model to start from"
        )
