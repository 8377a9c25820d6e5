"""Metrics with their intervals, by bootstrap over the rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Metric = Callable[[NDArray[np.int8], NDArray[np.float64], NDArray[np.float64]], float]
# Figures by name, from ``float64[n]``, how often each row counts.
Figures = Callable[[NDArray[np.float64]], Mapping[str, float]]


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
    # One sort here makes every resample's AUC cheap: its own stable sort finds sorted input.
    order = np.argsort(probabilities, kind="stable")
    labels, probabilities = labels[order], probabilities[order]
    return resample(
        lambda weights: {
            name: metric(labels, probabilities, weights) for name, metric in metrics.items()
        },
        len(labels),
        samples=samples,
        confidence=confidence,
        seed=seed,
    )


def resample(
    figures: Figures, n: int, *, samples: int, confidence: float, seed: int
) -> dict[str, Interval]:
    """Take figures with their percentile bootstrap intervals over the rows.

    Args:
        figures: the same ones by name each time.
        n: number of rows.
        samples: number of resamples.
        confidence: coverage of the interval.
        seed: seed of the resampling.

    Raises:
        ValueError: there is no row.
    """
    if not n:
        raise ValueError("no rows to take a metric of")
    random = np.random.default_rng(seed)
    once = figures(np.ones(n))
    drawn = {name: np.empty(samples) for name in once}
    for sample in range(samples):
        chosen = random.integers(0, n, n)
        weights = np.bincount(chosen, minlength=n).astype(np.float64)
        for name, value in figures(weights).items():
            drawn[name][sample] = value
    tail = (1 - confidence) / 2
    return {
        name: Interval(
            value,
            float(np.quantile(drawn[name], tail)),
            float(np.quantile(drawn[name], 1 - tail)),
        )
        for name, value in once.items()
    }


def flatten(intervals: Mapping[str, Interval], n: int) -> dict[str, float | int]:
    """Lay intervals out as ``accuracy``, ``accuracy_low``, ``accuracy_high``, …, ``n``."""
    flat: dict[str, float | int] = {}
    for name, interval in intervals.items():
        flat[name] = round(interval.value, 6)
        flat[f"{name}_low"] = round(interval.low, 6)
        flat[f"{name}_high"] = round(interval.high, 6)
    return flat | {"n": n}
