"""The small tables that the pictures of a classifier are drawn from."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from rnnpipe.metrics.calibration import calibration_bins
from rnnpipe.metrics.classification import IMBALANCED, by_class, called

MOST_LINES = 10  # classes that have a line of their own
_LENGTH_GROUPS = 8
_CURVE_POINTS = 300


def curves(
    labels: NDArray[np.int8],
    probabilities: NDArray[np.float64],
    lengths: NDArray[np.int32],
    names: Sequence[str],
) -> dict[str, pd.DataFrame]:
    """Lay out one small table for each picture.

    Args:
        labels: ``int8[n]``.
        probabilities: ``float64[n]`` of label 1 of two, or ``float64[n, classes]``.
        lengths: ``int32[n]``, words a review.
        names: of the classes, label 0 first.

    Returns:
        ``confusion`` (actual, predicted; a row a review, as DVC's template wants it), ``roc`` and
        ``precision_recall`` (of label 1; of more than two classes the mean over each against the
        rest), ``calibration`` (:func:`rnnpipe.metrics.calibration.calibration_bins`),
        ``accuracy_by_length`` (eight groups of like size). Of more than two classes and at most
        ten, or where one is far larger, ``roc_by_class`` and ``precision_recall_by_class``, too.
    """
    answers = called(probabilities)
    table = pd.DataFrame({"length": lengths, "right": answers == labels})
    by_length = table.sort_values("length", kind="stable").reset_index(drop=True)
    by_length["group"] = by_length.index * _LENGTH_GROUPS // len(by_length)
    grouped = by_length.groupby("group").agg(
        shortest=("length", "min"),
        longest=("length", "max"),
        accuracy=("right", "mean"),
        n=("right", "size"),
    )
    named = np.array(names, dtype=object)
    return {
        "confusion": pd.DataFrame({"actual": named[labels], "predicted": named[answers]}),
        **_rated(labels, probabilities, named),
        "calibration": calibration_bins(labels, probabilities),
        "accuracy_by_length": grouped.reset_index(drop=True),
    }


def _rated(
    labels: NDArray[np.int8], probabilities: NDArray[np.float64], names: NDArray[np.object_]
) -> dict[str, pd.DataFrame]:
    """``roc`` and ``precision_recall``, and where they say more, both by class."""
    rocs, recalls = {}, {}
    counts = np.bincount(labels, minlength=len(names))
    for label, given in enumerate(by_class(probabilities).T):
        if 0 < counts[label] < len(labels):
            rocs[label] = _roc(labels == label, given)
            recalls[label] = _precision_recall(labels == label, given)
    two = probabilities.ndim == 1
    if two:
        one = labels == 1
        tables = {
            "roc": _roc(one, probabilities),
            "precision_recall": _precision_recall(one, probabilities),
        }
    else:
        tables = {
            "roc": _mean(rocs, "false_positive_rate", "true_positive_rate"),
            "precision_recall": _mean(recalls, "recall", "precision"),
        }
    skewed = bool(counts.max() > IMBALANCED * len(labels))
    if rocs and len(names) <= MOST_LINES and (skewed or not two):
        for kind, found in (("roc", rocs), ("precision_recall", recalls)):
            tables[f"{kind}_by_class"] = pd.concat(
                [curve.assign(**{"class": names[label]}) for label, curve in found.items()],
                ignore_index=True,
            )
    return tables


def _roc(there: NDArray[np.bool_], given: NDArray[np.float64]) -> pd.DataFrame:
    false, true, _ = roc_curve(there, given)
    return _thin(pd.DataFrame({"false_positive_rate": false, "true_positive_rate": true}))


def _precision_recall(there: NDArray[np.bool_], given: NDArray[np.float64]) -> pd.DataFrame:
    precisions, recalls, _ = precision_recall_curve(there, given)
    return _thin(pd.DataFrame({"recall": recalls, "precision": precisions}))


def _mean(found: dict[int, pd.DataFrame], x: str, y: str) -> pd.DataFrame:
    """The mean of some curves, at places of like distance; of none a table without rows."""
    if not found:
        return pd.DataFrame({x: pd.Series(dtype=float), y: pd.Series(dtype=float)})
    places = np.linspace(0, 1, _CURVE_POINTS)
    # Both kinds of curve run along their x without turning, ROC upwards and recall downwards.
    along = [
        curve if curve[x].iloc[0] <= curve[x].iloc[-1] else curve[::-1] for curve in found.values()
    ]
    means = np.mean([np.interp(places, curve[x], curve[y]) for curve in along], axis=0)
    if x == "false_positive_rate":  # all begin in the corner, whatever they rise to at once
        places, means = np.append(0.0, places), np.append(0.0, means)
    return pd.DataFrame({x: places, y: means})


def _thin(curve: pd.DataFrame) -> pd.DataFrame:
    """Keep so few points that a page draws them at once, the ends among them."""
    chosen = np.unique(np.linspace(0, len(curve) - 1, _CURVE_POINTS).round().astype(int))
    return curve.iloc[chosen].reset_index(drop=True)
