"""Metrics of any number of classes, from labels and probabilities alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rnnpipe.metrics.classification import TINY, called
from rnnpipe.metrics.interval import Interval, flatten

BY_CLASS = ("precision", "recall", "f1")


class ClassFigures:
    """The figures of one split's answers, as often as rows are weighted anew.

    What depends on no weight is worked out once: a bootstrap asks a thousand times.
    """

    def __init__(
        self,
        labels: NDArray[np.int8],
        probabilities: NDArray[np.float64],
        values: Sequence[float] | None = None,
    ) -> None:
        """Take answers.

        Args:
            labels: ``int8[n]``.
            probabilities: ``float64[n, classes]``.
            values: the number that each class stands for, where they are ordered.
        """
        self._classes = probabilities.shape[1]
        self._cells = labels.astype(np.int64) * self._classes + called(probabilities)
        given = probabilities[np.arange(len(labels)), labels]
        self._losses = -np.log(np.clip(given, TINY, 1))
        self._rankings = [
            _Ranking(labels == label, probabilities[:, label]) for label in range(self._classes)
        ]
        self._values = None if values is None else np.asarray(values, np.float64)

    def __call__(self, weights: NDArray[np.float64]) -> dict[str, float]:
        """Return all figures by name; those of a class as ``0.precision``, by its number.

        Macro means are taken over the classes that are there or were called, of AUC over those
        that are there and not alone. Weighted means count each class as often as it is there.

        Args:
            weights: ``float64[n]``, how often each row counts.
        """
        size = self._classes
        flat = np.bincount(self._cells, weights, size * size).astype(np.float64)
        table = flat.reshape(size, size)
        hits, there, named = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
        total = table.sum()
        by_class = dict(
            zip(
                BY_CLASS,
                (
                    _ratio(hits, named),
                    _ratio(hits, there),
                    _ratio(2 * hits, there + named),
                ),
                strict=True,
            )
        )
        known = there + named > 0
        areas = [area for ranking in self._rankings if (area := ranking.area(weights)) is not None]
        figures = {
            "accuracy": float(hits.sum() / total),
            **{name: float(found[known].mean()) for name, found in by_class.items()},
            "auc_roc": float(np.mean(areas)) if areas else 0.5,
            "loss": float(np.average(self._losses, weights=weights)),
            **{
                f"{name}_weighted": float(found @ there / total) for name, found in by_class.items()
            },
        }
        if self._values is not None:
            figures |= _of_order(table, self._values)
        return figures | {
            f"{label}.{name}": float(found[label])
            for label in range(size)
            for name, found in by_class.items()
        }


class _Ranking:
    """Rows by the probability of one class, for the area under its curve against the rest."""

    def __init__(self, there: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> None:
        self._order = np.argsort(probabilities, kind="stable")
        ordered = probabilities[self._order]
        self._there = np.flatnonzero(there[self._order])
        # Where among all rows those begin and end that are given the same as each of the class.
        self._first = np.searchsorted(ordered, ordered[self._there], "left")
        self._last = np.searchsorted(ordered, ordered[self._there], "right")

    def area(self, weights: NDArray[np.float64]) -> float | None:
        """Chance that a row of the class is given more than another; ties count half.

        Returns:
            None where there is no row of the class, or none else.
        """
        ordered = weights[self._order]
        up_to = np.concatenate([[0.0], np.cumsum(ordered)])
        positive = ordered[self._there]
        ours = positive.sum()
        others = up_to[-1] - ours
        if not ours or not others:
            return None
        # Of two rows of the class, and of a row and itself, each is above the other half the time.
        wins = positive @ (up_to[self._first] + up_to[self._last]) / 2 - ours**2 / 2
        return float(wins / (ours * others))


def _of_order(table: NDArray[np.float64], values: NDArray[np.float64]) -> dict[str, float]:
    """What it costs to miss by much: mean absolute error and quadratic weighted kappa.

    Kappa counts steps between classes, as Cohen (1968), Psychological Bulletin 70, 213-220; where
    chance could not be wrong either, it is 0.
    """
    total = table.sum()
    errors = np.abs(values[:, None] - values[None, :])
    ranks = np.unique(values, return_inverse=True)[1].astype(np.float64)
    steps = (ranks[:, None] - ranks[None, :]) ** 2
    by_chance = (steps * np.outer(table.sum(axis=1), table.sum(axis=0))).sum() / total
    return {
        "mean_absolute_error": float((errors * table).sum() / total),
        "quadratic_kappa": float(1 - (steps * table).sum() / by_chance) if by_chance else 0.0,
    }


def lay_out(
    intervals: dict[str, Interval], names: Sequence[str], labels: NDArray[np.int8]
) -> dict[str, object]:
    """Lay the figures of :class:`ClassFigures` out, those of each class under its name.

    Args:
        intervals: by the names that it gives.
        names: of the classes, label 0 first.
        labels: ``int8[n]``.
    """
    counts = np.bincount(labels, minlength=len(names))
    overall = {name: found for name, found in intervals.items() if "." not in name}
    return {
        **flatten(overall, len(labels)),
        "classes": {
            name: flatten(
                {figure: intervals[f"{label}.{figure}"] for figure in BY_CLASS}, int(counts[label])
            )
            for label, name in enumerate(names)
        },
    }


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide; 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
