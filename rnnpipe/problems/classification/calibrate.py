"""A trained classifier taught how sure it may be, on validation."""

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.metrics.calibration import calibration_bins, calibration_error
from rnnpipe.metrics.classification import called, probabilities_of
from rnnpipe.networks.backend import keras
from rnnpipe.networks.layers import Calibration
from rnnpipe.problems.classification.loss import balanced_weights
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.problems.classification.pieces import FEWEST, Pieces, cut, halves
from rnnpipe.problems.classification.temperature import Answers, Temperature, fit_temperature
from rnnpipe.problems.classification.training import compile_forward, predict_logits
from rnnpipe.text.batching import Padding
from rnnpipe.text.tokens import Ragged

_log = logging.getLogger(__name__)


def calibrate(
    params: ClassificationParams, network: keras.Model
) -> tuple[keras.Model, dict[str, Any]]:
    """Fit, on reviews and sentences of validation, how sure the network may be of so many words.

    Returns:
        A network of the same weights whose probabilities mean what they say, and how well they do:
        each half of the films measured by what was fitted on the other, ``ece`` of the reviews and
        ``sentences`` with ``accuracy``, ``ece`` and ``n``; as ``calibration`` what was fitted, on
        all, and the same figures before. Where validation is too small to fit on, the very network,
        measured as it is.
    """
    rows, first = halves()
    pieces = cut(rows)
    texts, sentences = _ask(network, pieces, Padding.of(params.train))
    before = _figures(texts, sentences, texts.logits, sentences.logits)
    if first is None:
        _log.info(
            "validation is too small to fit how sure the network may be: expected %d reviews and"
            " every class in each half; probabilities stay as they were learnt",
            FEWEST,
        )
        return network, before | {"calibration": None}
    classes = texts.logits.shape[1] if texts.logits.ndim > 1 else 2
    # As the training counts its texts.
    balanced = params.train.class_weight == "balanced"
    weights = balanced_weights(texts.labels, classes) if balanced else np.ones(classes)
    judged = [part.logits.astype(np.float64) for part in (texts, sentences)]
    for half in (first, ~first):
        here = (half, half[pieces.review])
        fitted = fit_temperature(texts.take(here[0]), sentences.take(here[1]), weights)
        for part, side, logits in zip((texts, sentences), here, judged, strict=True):
            logits[~side] = fitted.apply(part.logits[~side], part.words[~side])
    found = fit_temperature(texts, sentences, weights)
    _log.info(
        "how sure the network may be was fitted on %s reviews and %s sentences of validation: logits"
        " count %.2f of a text of 10 words, %.2f of one of 200",
        f"{len(texts.labels):,}",
        f"{len(sentences.labels):,}",
        *found.apply(np.ones((2, 2), np.float32), np.array([10, 200]))[:, 0],
    )
    told = {"level": found.level, "slopes": list(found.slopes)}
    report = _figures(texts, sentences, *judged) | {"calibration": told | {"before": before}}
    return calibrated(network, found), report


def calibrated(network: keras.Model, temperature: Temperature) -> keras.Model:
    """Put a temperature behind a classifier; the weights stay shared."""
    layer = Calibration(
        temperature.level,
        temperature.slopes,
        temperature.shortest,
        temperature.longest,
        name="calibration",
    )
    return keras.Model(network.input, layer(network.output, network.input), name=network.name)


def _ask(network: keras.Model, pieces: Pieces, padding: Padding) -> tuple[Answers, Answers]:
    forward = compile_forward(network)

    def ask(sequences: Ragged, labels: NDArray[np.int8]) -> Answers:
        logits = predict_logits(forward, sequences, padding)
        return Answers(logits, labels, np.minimum(sequences.lengths, padding.length))

    texts = ask(pieces.reviews, pieces.labels)
    if not len(pieces.sentences):
        return texts, texts.take(np.zeros(len(texts.labels), bool))
    return texts, ask(pieces.sentences, pieces.labels[pieces.review])


def _figures(
    texts: Answers,
    sentences: Answers,
    of_texts: NDArray[Any],
    of_sentences: NDArray[Any],
) -> dict[str, Any]:
    """Measure logits, those of sentences should there be any."""
    found: dict[str, Any] = {"ece": _error(texts.labels, of_texts)}
    if len(sentences.labels):
        right = called(probabilities_of(of_sentences)) == sentences.labels
        found["sentences"] = {
            "accuracy": round(float(right.mean()), 6),
            "ece": _error(sentences.labels, of_sentences),
            "n": len(right),
        }
    return found


def _error(labels: NDArray[np.int8], logits: NDArray[Any]) -> float:
    return round(calibration_error(calibration_bins(labels, probabilities_of(logits))), 6)
