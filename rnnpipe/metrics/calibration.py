"""Whether probabilities mean what they say."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rnnpipe.metrics.classification import called

_BINS = 10


def calibration_bins(labels: NDArray[np.int8], probabilities: NDArray[np.float64]) -> pd.DataFrame:
    """Gather answers in ten bins of equal width; empty ones are left out (Guo et al. 2017).

    Args:
        labels: ``int8[n]``.
        probabilities: ``float64[n]`` of label 1 of two, or ``float64[n, classes]``.

    Returns:
        ``probability``, the mean that was given; ``observed``, of two the share of label 1, of more
        whether the class that was called is right; ``n``.
    """
    two = probabilities.ndim == 1
    confidence = probabilities if two else probabilities.max(axis=1)
    table = pd.DataFrame(
        {
            "probability": confidence,
            "observed": labels if two else called(probabilities) == labels,
            "bin": np.minimum((confidence * _BINS).astype(int), _BINS - 1),
        }
    )
    bins = table.groupby("bin").agg(
        probability=("probability", "mean"), observed=("observed", "mean"), n=("observed", "size")
    )
    return bins.reset_index(drop=True)


def calibration_error(bins: pd.DataFrame) -> float:
    """Expected calibration error: the mean gap between given and observed, weighted by rows."""
    gaps = (bins["probability"] - bins["observed"]).abs()
    return float(np.average(gaps, weights=bins["n"]))
