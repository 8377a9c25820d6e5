"""Metrics of two classes, from labels and probabilities alone."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from rnnpipe.metrics.interval import Metric

THRESHOLD = 0.5
_CALIBRATION_BINS = 10
_LENGTH_GROUPS = 8
_CURVE_POINTS = 300
_TINY = 1e-7  # probabilities are kept this far from 0 and 1 in the loss


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
    return float(np.average(-np.log(np.clip(given, _TINY, 1)), weights=weights))


CLASSIFICATION_METRICS: Mapping[str, Metric] = {
    "accuracy": accuracy,
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "auc_roc": auc_roc,
    "loss": loss,
}


def probabilities_of(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Turn logits into probabilities of label 1, ``float64[n]``."""
    return np.asarray(expit(logits.astype(np.float64)))


def called(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the label that each row is given, ``int64[n]``.

    Args:
        probabilities: ``float64[n]`` of label 1, or of K > 2 classes ``float64[n, K]``.
    """
    if probabilities.ndim == 1:
        return (probabilities > THRESHOLD).astype(np.int64)
    return np.asarray(probabilities.argmax(axis=1), np.int64)


def curves(
    labels: NDArray[np.int8],
    probabilities: NDArray[np.float64],
    lengths: NDArray[np.int32],
    names: tuple[str, str],
) -> dict[str, pd.DataFrame]:
    """Lay out one small table for each picture.

    Args:
        labels: ``int8[n]``, 0 or 1.
        probabilities: ``float64[n]`` of label 1.
        lengths: ``int32[n]``, words a review.
        names: of label 0 and label 1.

    Returns:
        ``confusion`` (actual, predicted; a row a review, as DVC's template wants it), ``roc``,
        ``precision_recall``, ``calibration`` (ten bins of equal width; empty ones left out; Guo
        et al. 2017), ``accuracy_by_length`` (eight groups of like size).
    """
    # Here, since a prediction needs the threshold from this file and should not wait for it.
    from sklearn.metrics import precision_recall_curve, roc_curve

    named = np.array(names)
    false, true, _ = roc_curve(labels, probabilities)
    precisions, recalls, _ = precision_recall_curve(labels, probabilities)
    table = pd.DataFrame(
        {
            "label": labels,
            "probability": probabilities,
            "length": lengths,
            "right": (probabilities > THRESHOLD) == (labels == 1),
            "bin": np.minimum(
                (probabilities * _CALIBRATION_BINS).astype(int), _CALIBRATION_BINS - 1
            ),
        }
    )
    calibration = table.groupby("bin").agg(
        probability=("probability", "mean"), observed=("label", "mean"), n=("label", "size")
    )
    by_length = table.sort_values("length", kind="stable").reset_index(drop=True)
    by_length["group"] = by_length.index * _LENGTH_GROUPS // len(by_length)
    grouped = by_length.groupby("group").agg(
        shortest=("length", "min"),
        longest=("length", "max"),
        accuracy=("right", "mean"),
        n=("right", "size"),
    )
    return {
        "confusion": pd.DataFrame(
            {
                "actual": named[labels],
                "predicted": named[(probabilities > THRESHOLD).astype(int)],
            }
        ),
        "roc": _thin(pd.DataFrame({"false_positive_rate": false, "true_positive_rate": true})),
        "precision_recall": _thin(pd.DataFrame({"recall": recalls, "precision": precisions})),
        "calibration": calibration.reset_index(drop=True),
        "accuracy_by_length": grouped.reset_index(drop=True),
    }


def calibration_error(calibration: pd.DataFrame) -> float:
    """Mean gap between given and observed probability, weighted by rows."""
    gaps = (calibration["probability"] - calibration["observed"]).abs()
    return float(np.average(gaps, weights=calibration["n"]))


def _thin(curve: pd.DataFrame) -> pd.DataFrame:
    """Keep so few points that a page draws them at once, the ends among them."""
    chosen = np.unique(np.linspace(0, len(curve) - 1, _CURVE_POINTS).round().astype(int))
    return curve.iloc[chosen].reset_index(drop=True)


def _share(weights: NDArray[np.float64], there: NDArray[np.bool_]) -> float:
    total = weights.sum()
    return float(weights[there].sum() / total) if total else 0.0
