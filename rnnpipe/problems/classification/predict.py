"""A registered model on new text, by its exported network: TensorFlow is not needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from rnnpipe.config.document import read_document
from rnnpipe.config.section import Section
from rnnpipe.errors import RegistryError
from rnnpipe.metrics.classification import by_class, called, probabilities_of
from rnnpipe.problems.classification.classes import MOST_CLASSES
from rnnpipe.problems.classification.exported import ExportedNetwork
from rnnpipe.registry.find import find
from rnnpipe.registry.folder import MODEL_FILES
from rnnpipe.text.batching import Padding
from rnnpipe.text.tokens import UNKNOWN_ID, Ragged
from rnnpipe.text.vocabulary import Vocabulary

_MOST_WORDS = 100_000  # of a text that are read


@dataclass(frozen=True)
class Prediction:
    """What a network answers to a text.

    Attributes:
        label: of the likelier class.
        probability: where there are two classes, of the second of them, not of the label; where
            there are more, of the label.
        known_words: how many of the words that were read the model knows; of 0 the answer rests
            on nothing that the text says.
        probabilities: of all classes by name, in their order.
    """

    label: str
    probability: float
    known_words: int
    probabilities: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A model folder, loaded: texts in, predictions out."""

    label_names: tuple[str, ...]
    vocabulary: Vocabulary
    padding: Padding
    network: ExportedNetwork

    def predict(self, texts: Sequence[str], progress: bool = False) -> list[Prediction]:
        """Judge texts; the answers come in the order of the texts.

        Any text gets an answer: an empty one is read as a single unknown word; one that is too
        long is cut as in training. ``known_words`` is 0 where an answer rests on nothing.

        Args:
            texts: any number of texts.
            progress: show a bar on a terminal.
        """
        sequences = self.vocabulary.encode_texts(texts)
        logits = self.network.predict_logits(sequences, self.padding, progress)
        probabilities = probabilities_of(logits)
        labels = called(probabilities)
        told = probabilities if probabilities.ndim == 1 else probabilities.max(axis=1)
        return [
            Prediction(
                self.label_names[label],
                float(probability),
                int(known),
                dict(zip(self.label_names, row.tolist(), strict=True)),
            )
            for label, probability, known, row in zip(
                labels, told, self._known_words(sequences), by_class(probabilities), strict=True
            )
        ]

    def _known_words(self, sequences: Ragged) -> NDArray[np.int64]:
        """Count the known words in what is read of each sequence, ``int64[n]``."""
        starts, ends = self.padding.cut(sequences, np.arange(len(sequences)))
        known = np.concatenate([[0], np.cumsum(sequences.values != UNKNOWN_ID)])
        counts: NDArray[np.int64] = known[ends] - known[starts]
        return counts


def load_model(model: str | Path | None = None, root: Path = Path()) -> Model:
    """Load a model by path, version (``v0.2.0``) or stage (``prod``).

    Args:
        model: which; None takes the work tree's, else the one in stage ``prod``.
        root: the project's folder, where versions and stages are looked up.

    Raises:
        RegistryError: there is no such model, or its folder is not whole.
    """
    needed = (*MODEL_FILES, "vocabulary.json")
    folder = find(None if model is None else str(model), root, "sentiment", needed)
    saved = _read_saved(folder / "params.json")
    vocabulary = Vocabulary.load(folder / "vocabulary.json")
    padding = Padding(**saved.padding.model_dump())
    network = ExportedNetwork(folder / "network.onnx")
    network.require_matching(len(vocabulary), padding, len(saved.label_names))
    return Model(saved.label_names, vocabulary, padding, network)


_Label = Annotated[str, Field(min_length=1, max_length=1000)]
_Side = Literal["left", "right"]


class _SavedPadding(Section):
    length: int = Field(ge=1, le=_MOST_WORDS)
    side: _Side = "right"
    truncation_side: _Side = "left"
    fixed: bool = False


class _SavedTraining(BaseModel):
    """What is said of the padding a second time."""

    sequence_length: int | None = None
    padding_side: _Side | None = None
    truncation_side: _Side | None = None


class _Saved(BaseModel):
    label_names: tuple[_Label, ...] = Field(min_length=2, max_length=MOST_CLASSES)
    padding: _SavedPadding
    train: _SavedTraining = _SavedTraining()


def _read_saved(path: Path) -> _Saved:
    what = f"{path} is not of this rnnpipe"
    advice = "use the version that trained the model, or train it again with `dvc repro`"
    saved = read_document(_Saved, path, what, advice)
    padding, train = saved.padding, saved.train
    twice = {
        "padding.length": (padding.length, train.sequence_length),
        "padding.side": (padding.side, train.padding_side),
        "padding.truncation_side": (padding.truncation_side, train.truncation_side),
    }
    faults = [
        f"{name} is {found}, the training says {trained}"
        for name, (found, trained) in twice.items()
        if trained not in (None, found)
    ]
    if len(set(saved.label_names)) < len(saved.label_names):
        faults.append("two labels have one name")
    if faults:
        raise RegistryError(f"{what} ({'; '.join(faults)}): {advice}")
    return saved
