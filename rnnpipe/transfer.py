"""A classifier that starts from a language model: what words mean and how they follow is known.

Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification". The lower
half of both networks is the same, so their weights are copied one for one.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.backend import keras
from rnnpipe.errors import TrainingError
from rnnpipe.fingerprints import require_same_vocabulary
from rnnpipe.language_models import LanguageModel
from rnnpipe.models import NgramEmbedding
from rnnpipe.recurrent import Recurrent
from rnnpipe.tokens import Vocabulary


def start_from(
    classifier: keras.Model, language_model: LanguageModel, vocabulary: Vocabulary
) -> None:
    """Copy a language model's word vectors and recurrent weights into a classifier.

    Each direction of the classifier then starts with the very states of that direction of the
    language model: what only the classifier reads, the other direction below a second layer,
    starts at zero. Vectors of pairs are zeros in a new classifier; their rows of the first
    kernel keep their random start, from which they learn.

    Args:
        classifier: built by :func:`rnnpipe.models.build_classifier`; it may read onward alone
            and have fewer layers than the language model.
        language_model: trained.
        vocabulary: whose ids the classifier reads.

    Raises:
        RegistryError: the vocabulary is not the language model's.
        TrainingError: the networks differ in shape; every difference is named.
    """
    require_same_vocabulary(language_model.vocabulary, vocabulary, "the language model")
    embedding = classifier.get_layer("embedding")
    layers = [layer for layer in classifier.layers if isinstance(layer, Recurrent)]
    _require_same_shape(embedding, layers, language_model)
    embedding.words.embeddings.assign(language_model.words)
    for number, layer in enumerate(layers):
        given = [layer.onward] if layer.backward is None else [layer.onward, layer.backward]
        for direction, target in enumerate(given):
            source = language_model.stacks[direction][number].onward.cell
            kernel = _kernel(
                np.asarray(target.cell.kernel), np.asarray(source.kernel), number, direction
            )
            target.cell.kernel.assign(kernel)
            target.cell.recurrent_kernel.assign(source.recurrent_kernel)
            target.cell.bias.assign(source.bias)


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
    embedding: NgramEmbedding, layers: list[Recurrent], language_model: LanguageModel
) -> None:
    settings = language_model.settings
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
        faults.append("the classifier is bidirectional, the language model reads onward alone")
    if faults:
        raise TrainingError(
            f"the classifier cannot start from this language model: {'; '.join(faults)}. Give both"
            " the same shape, or train without a language model to start from"
        )
