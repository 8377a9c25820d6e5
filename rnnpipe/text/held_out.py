"""Which groups are held out, for validation or test: by a fixed hash, so that nobody chooses."""

import hashlib
import logging

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

# Fewer rows are a toy, or a test: of those chance takes what it takes.
_FEWEST_ROWS = 100
_NEAR = (0.5, 1.5)  # of the share that is wanted


def place_of(key: bytes) -> float:
    """Return a group's place, from 0 to 1, by a hash of its key: the same for ever.

    >>> round(place_of(b"validation:film:tt0000001"), 3)
    0.806
    """
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") / 2**64


def held_out(places: NDArray[np.float64], share: float, what: str) -> NDArray[np.bool_]:
    """Choose the rows of whole groups, so that about a share of all rows is held out.

    Those whose place lies below the share: so a group stays where it is when the data grow. Where
    few large groups bring the rows far from the share, groups are taken in the order of their
    places as long as they fit.

    Args:
        places: ``float64[n]`` of each row's group; equal for one group alone.
        share: of the rows that is wanted.
        what: how the log calls what is held out.

    Returns:
        ``bool[n]``, rows of one group alike.
    """
    plain = places < share
    rows = len(places)
    if rows < _FEWEST_ROWS or _NEAR[0] <= plain.mean() / share <= _NEAR[1]:
        return plain
    _, group, sizes = np.unique(places, return_inverse=True, return_counts=True)
    chosen, room = np.zeros(len(sizes), bool), round(rows * share)
    for number, size in enumerate(sizes.tolist()):
        if size <= room:
            chosen[number] = True
            room -= size
    if not chosen.any():  # no group is so small
        chosen[np.argmin(sizes)] = True
    found: NDArray[np.bool_] = chosen[group]
    logger.warning(
        "%s: few large groups would hold out %s of %s rows, where %.0f %% are wanted; whole groups"
        " were chosen anew, which hold out %s",
        what,
        f"{int(plain.sum()):,}",
        f"{rows:,}",
        100 * share,
        f"{int(found.sum()):,}",
    )
    return found
