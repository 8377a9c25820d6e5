"""Means of losses that depend on one another: of neighbours in time, of windows of one series."""

import numpy as np
from numpy.typing import NDArray

from rnnpipe.metrics.interval import Interval

_FEWEST_SERIES = 10  # of fewer, too few draws differ
_DRAWN_AT_ONCE = 2_000_000  # weights of series


def block_bootstrap(
    losses: NDArray[np.float64],
    block: int,
    *,
    samples: int,
    confidence: float,
    seed: int,
    series: NDArray[np.int64] | None = None,
) -> Interval:
    """Return the mean of losses with its percentile interval, dependence among them kept.

    Windows that start one step apart share nearly all targets: as single rows their interval would
    be far too narrow. Blocks of neighbours are drawn instead, the end joined to the beginning
    (Politis & Romano 1992, "A circular block-resampling procedure for stationary data"); of ten series
    or more, whole series (the cluster bootstrap; Cameron & Miller 2015, "A Practitioner's Guide to
    Cluster-Robust Inference").

    Args:
        losses: ``float64[windows]``, in the order of series and time; for a comparison, differences;
            NaN is left out.
        block: windows a block; the horizon is natural, beyond it two windows share no target.
            At most a third of the windows is taken, so that several blocks are drawn.
        samples: number of resamples.
        confidence: coverage of the interval.
        seed: seed of the resampling.
        series: ``int64[windows]``, which one each is of; None: all are of one.

    Raises:
        ValueError: there is no window.
    """
    losses, series = _known(losses, series)
    drawn = _resampled_means(losses, block, samples, seed, series)
    tail = (1 - confidence) / 2
    return Interval(
        float(losses.mean()), float(np.quantile(drawn, tail)), float(np.quantile(drawn, 1 - tail))
    )


def block_p_value(
    differences: NDArray[np.float64],
    block: int,
    *,
    samples: int,
    seed: int,
    series: NDArray[np.int64] | None = None,
) -> float:
    """Return how easily chance gives a mean as far from 0, by resamples as :func:`block_bootstrap`'s.

    It is the share of resamples, shifted to a mean of 0, whose mean is as far from 0 or farther. Of few
    blocks it says somewhat too small a value: of 60, .05 one time in nine where there is no difference.

    Args:
        differences: ``float64[windows]``, in the order of series and time; NaN is left out.
        block: as there.
        samples: number of resamples.
        seed: seed of the resampling.
        series: as there.

    Raises:
        ValueError: there is no window.
    """
    differences, series = _known(differences, series)
    drawn = _resampled_means(differences, block, samples, seed, series) - differences.mean()
    far = np.count_nonzero(np.abs(drawn) >= abs(differences.mean()))
    return float((far + 1) / (samples + 1))


def _known(
    losses: NDArray[np.float64], series: NDArray[np.int64] | None
) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    known = np.isfinite(losses)
    if not known.any():
        raise ValueError("no windows to take a mean of")
    return losses[known], None if series is None else series[known]


def _resampled_means(
    losses: NDArray[np.float64],
    block: int,
    samples: int,
    seed: int,
    series: NDArray[np.int64] | None,
) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    if series is not None and len(names := np.unique(series)) >= _FEWEST_SERIES:
        place = np.searchsorted(names, series)
        sums, counts = np.bincount(place, losses), np.bincount(place).astype(np.float64)
        found = np.empty(samples)
        chunk = max(1, _DRAWN_AT_ONCE // len(names))
        for begin in range(0, samples, chunk):
            size = min(chunk, samples - begin)
            weights = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size)
            found[begin : begin + size] = (weights @ sums) / (weights @ counts)
        return found
    count = len(losses)
    block = max(1, min(block, count // 3))
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([losses, losses[: block - 1]]))])
    means = (sums[block:] - sums[:-block]) / block  # of the block that begins at each window
    drawn = means[random.integers(0, count, (samples, -(-count // block)))].mean(axis=1)
    return np.asarray(drawn, np.float64)
