"""A registered model on new text, by its exported network: TensorFlow is not needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnpipe import registry
from rnnpipe.errors import RegistryError
from rnnpipe.evaluation import THRESHOLD, probabilities_of
from rnnpipe.files import read_json
from rnnpipe.inference import ExportedNetwork
from rnnpipe.sequences import Padding
from rnnpipe.tokens import Vocabulary


@dataclass(frozen=True)
class Prediction:
    """A label, and the probability of the positive class (not of the label)."""

    label: str
    probability: float


@dataclass(frozen=True)
class Model:
    """A model folder, loaded: texts in, predictions out."""

    label_names: tuple[str, str]
    vocabulary: Vocabulary
    padding: Padding
    network: ExportedNetwork

    def predict(self, texts: Sequence[str], progress: bool = False) -> list[Prediction]:
        """Judge texts; the answers come in the order of the texts.

        Any text gets an answer: an empty one, or one of words never seen, is read as a single
        unknown word; one that is too long is cut as in training.

        Args:
            texts: any number of texts.
            progress: show a bar on a terminal.
        """
        sequences = self.vocabulary.encode_texts(texts)
        logits = self.network.predict_logits(sequences, self.padding, progress)
        probabilities = probabilities_of(logits)
        labels = (probabilities > THRESHOLD).astype(np.int8)
        return [
            Prediction(self.label_names[label], float(probability))
            for label, probability in zip(labels, probabilities, strict=True)
        ]


def load_model(model: str | Path | None = None, root: Path = Path()) -> Model:
    """Load a model by path, version (``v0.2.0``) or stage (``prod``).

    Args:
        model: which; None takes the work tree's, else the one in stage ``prod``.
        root: the project's folder, where versions and stages are looked up.

    Raises:
        RegistryError: there is no such model, or its folder is not whole.
    """
    needed = (*registry.MODEL_FILES, "vocabulary.json")
    folder = registry.find(None if model is None else str(model), root, "sentiment", needed)
    try:
        saved = read_json(folder / "params.json")
        negative, positive = saved["label_names"]
        padding = Padding(**saved["padding"])
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            f"{folder / 'params.json'} is not of this rnnpipe ({type(error).__name__}: {error}):"
            " use the version that trained the model, or train it again with `dvc repro`"
        ) from error
    return Model(
        (negative, positive),
        Vocabulary.load(folder / "vocabulary.json"),
        padding,
        ExportedNetwork(folder / "network.onnx"),
    )
