"""Metrics with their intervals, by bootstrap over the rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Metric = Callable[[NDArray[np.int8], NDArray[np.float64], NDArray[np.float64]], float]


@dataclass(frozen=True)
class Interval:
    """A figure with the bounds of its bootstrap interval."""

    value: float
    low: float
    high: float


def bootstrap(
    metrics: Mapping[str, Metric],
    labels: NDArray[np.int8],
    probabilities: NDArray[np.float64],
    *,
    samples: int,
    confidence: float,
    seed: int,
) -> dict[str, Interval]:
    """Take every metric with its percentile bootstrap interval over the rows.

    Args:
        metrics: what to take, by name.
        labels: ``int8[n]``, 0 or 1.
        probabilities: ``float64[n]`` of label 1.
        samples: number of resamples.
        confidence: coverage of the interval.
        seed: seed of the resampling.

    Raises:
        ValueError: there is no row.
    """
    if not len(labels):
        raise ValueError("no rows to take a metric of")
    # One sort here makes every resample's AUC cheap: its own stable sort finds sorted input.
    order = np.argsort(probabilities, kind="stable")
    labels, probabilities = labels[order], probabilities[order]
    random = np.random.default_rng(seed)
    drawn = {name: np.empty(samples) for name in metrics}
    for sample in range(samples):
        chosen = random.integers(0, len(labels), len(labels))
        weights = np.bincount(chosen, minlength=len(labels)).astype(np.float64)
        for name, metric in metrics.items():
            drawn[name][sample] = metric(labels, probabilities, weights)
    once = np.ones(len(labels))
    tail = (1 - confidence) / 2
    return {
        name: Interval(
            metric(labels, probabilities, once),
            float(np.quantile(drawn[name], tail)),
            float(np.quantile(drawn[name], 1 - tail)),
        )
        for name, metric in metrics.items()
    }


def flatten(intervals: Mapping[str, Interval], n: int) -> dict[str, float | int]:
    """Lay intervals out as ``accuracy``, ``accuracy_low``, ``accuracy_high``, …, ``n``."""
    flat: dict[str, float | int] = {}
    for name, interval in intervals.items():
        flat[name] = round(interval.value, 6)
        flat[f"{name}_low"] = round(interval.low, 6)
        flat[f"{name}_high"] = round(interval.high, 6)
    return flat | {"n": n}
