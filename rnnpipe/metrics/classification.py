"""What logits say, and the metrics of two classes, from labels and probabilities alone.

Those of more classes stand in :mod:`rnnpipe.metrics.multiclass`: a prediction needs this file, and
should not wait for more than it uses.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from rnnpipe.metrics.interval import Metric

THRESHOLD = 0.5
IMBALANCED = 2 / 3  # share of the largest class above which accuracy and ROC flatter
TINY = 1e-7  # probabilities are kept this far from 0 and 1 in the loss


def accuracy(
    labels: NDArray[np.int8], probabilities: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """Share of right answers.

    Args:
        labels: ``int8[n]``, 0 or 1.
        probabilities: ``float64[n]`` of label 1.
        weights: ``float64[n]``, how often each row counts.
    """
    return _share(weights, (probabilities > THRESHOLD) == (labels == 1))


def precision(
    labels: NDArray[np.int8], probabilities: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """Share of label 1 among what was called 1; 0 where nothing was."""
    called = probabilities > THRESHOLD
    return _share(weights[called], labels[called] == 1)


def recall(
    labels: NDArray[np.int8], probabilities: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """Share of label 1 that was called 1; 0 where there is none."""
    there = labels == 1
    return _share(weights[there], probabilities[there] > THRESHOLD)


def f1(
    labels: NDArray[np.int8], probabilities: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """Harmonic mean of precision and recall."""
    called, there = probabilities > THRESHOLD, labels == 1
    either = weights[called].sum() + weights[there].sum()
    return float(2 * weights[called & there].sum() / either) if either else 0.0


def auc_roc(
    labels: NDArray[np.int8], probabilities: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """Chance that a random 1 is given a higher probability than a random 0; ties count half."""
    positive = weights * (labels == 1)
    negative = weights * (labels == 0)
    if not positive.sum() or not negative.sum():
        return 0.5
    order = np.argsort(probabilities, kind="stable")
    starts = np.flatnonzero(np.diff(probabilities[order], prepend=-np.inf))
    ones = np.add.reduceat(positive[order], starts)
    zeros = np.add.reduceat(negative[order], starts)
    below = np.cumsum(zeros) - zeros
    return float((ones * (below + zeros / 2)).sum() / (positive.sum() * negative.sum()))


def loss(
    labels: NDArray[np.int8], probabilities: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """Mean binary cross entropy in nats."""
    given = np.where(labels == 1, probabilities, 1 - probabilities)
    return float(np.average(-np.log(np.clip(given, TINY, 1)), weights=weights))


CLASSIFICATION_METRICS: Mapping[str, Metric] = {
    "accuracy": accuracy,
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "auc_roc": auc_roc,
    "loss": loss,
}


def probabilities_of(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Turn logits into probabilities.

    Args:
        logits: ``float32[n]``, the log-odds of label 1 of two; or ``float32[n, classes]``.

    Returns:
        ``float64[n]``, the probability of label 1; or ``float64[n, classes]``, each row of sum 1.
    """
    exact = logits.astype(np.float64)
    return np.asarray(expit(exact) if exact.ndim == 1 else softmax(exact, axis=1))


def called(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the label that probabilities name, ``int64[n]``; of equals the first.

    Args:
        probabilities: ``float64[n]`` of label 1 of two, or ``float64[n, classes]``.

    >>> called(np.array([0.2, 0.5, 0.7])).tolist(), called(np.array([[0.2, 0.5, 0.3]])).tolist()
    ([0, 0, 1], [1])
    """
    if probabilities.ndim == 1:
        return (probabilities > THRESHOLD).astype(np.int64)
    return np.asarray(np.argmax(probabilities, axis=1), np.int64)


def by_class(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability of every class, ``float64[n, classes]``.

    Args:
        probabilities: ``float64[n]`` of label 1 of two, or already so.
    """
    if probabilities.ndim == 1:
        return np.stack([1 - probabilities, probabilities], axis=1)
    return probabilities


def _share(weights: NDArray[np.float64], there: NDArray[np.bool_]) -> float:
    total = weights.sum()
    return float(weights[there].sum() / total) if total else 0.0
