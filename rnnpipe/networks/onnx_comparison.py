"""What is exported answers like the network it was written from, or the training fails."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.errors import TrainingError

TOLERANCE = 1e-5  # of an answer; of large ones also a share, near what float32 resolves


def probe(rows: int, most: int) -> NDArray[np.int64]:
    """Choose at most so many of some rows, evenly spread, ``int64[n]``.

    >>> probe(5, 3), probe(2, 3)
    (array([0, 2, 4]), array([0, 1]))
    """
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).astype(np.int64))


def require_equal(
    exported: NDArray[Any], expected: NDArray[Any], what: str, relative: float = 1e-6
) -> None:
    """Require that the exported network's answers are those of the Keras network.

    Args:
        exported: answers of the one, of any shape.
        expected: of the other, of the same shape.
        what: was asked, for the error.
        relative: how far they may differ beyond the tolerance, as a share of the answer.

    Raises:
        TrainingError: they differ by more, or one of them is no number.
    """
    if np.allclose(exported, expected, rtol=relative, atol=TOLERANCE):
        return
    raise TrainingError(
        f"the exported network differs from the trained one by up to"
        f" {np.abs(exported - expected).max():.2g} in {what}, expected at most {TOLERANCE:g}:"
        " install the versions in requirements.lock and run the stage train again"
    )
