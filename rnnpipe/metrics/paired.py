"""Two models on the same rows: an exact paired test."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rnnpipe.metrics.classification import called


@dataclass(frozen=True)
class PairedTest:
    """Two models on the same rows: how many only one of them has right, and what chance explains.

    Attributes:
        model_only_correct: rows that ours alone has right.
        baseline_only_correct: rows that the other alone has right.
        p_value: of McNemar's exact test, two-sided, to four digits.
    """

    model_only_correct: int
    baseline_only_correct: int
    p_value: float


def paired_test(
    labels: NDArray[np.int8], ours: NDArray[np.float64], theirs: NDArray[np.float64]
) -> PairedTest:
    """Compare two models row by row; far sharper than two intervals that overlap.

    Args:
        labels: ``int8[n]``.
        ours: our probabilities, ``float64[n]`` of label 1 of two, or ``float64[n, classes]``.
        theirs: the other's.
    """
    ours_right, theirs_right = (called(one) == labels for one in (ours, theirs))
    model_only_correct = int((ours_right & ~theirs_right).sum())
    baseline_only_correct = int((theirs_right & ~ours_right).sum())
    # Digits, not places: a tiny p value is no 0. The last ones differ between SciPy's versions.
    return PairedTest(
        model_only_correct,
        baseline_only_correct,
        float(f"{mcnemar(model_only_correct, baseline_only_correct):.4g}"),
    )


def mcnemar(
    model_only_correct: int,
    baseline_only_correct: int,
    alternative: Literal["two-sided", "greater"] = "two-sided",
) -> float:
    """McNemar's exact test: the chance that equals differ so much, or more.

    Only the rows on which exactly one of the two is right count; among equals each is won by
    either with probability 1/2. McNemar (1947), Psychometrika 12, 153-157.

    Args:
        model_only_correct: rows that ours alone has right.
        baseline_only_correct: rows that the other alone has right.
        alternative: whether a difference either way counts, or only that ours wins more.

    >>> mcnemar(3, 0), mcnemar(3, 0, "greater")
    (0.25, 0.125)
    """
    # Here, since not all that compares two models asks for it, and it takes long to load.
    from scipy.stats import binomtest

    discordant = model_only_correct + baseline_only_correct
    if discordant == 0:
        return 1.0
    return float(binomtest(model_only_correct, discordant, 0.5, alternative=alternative).pvalue)
