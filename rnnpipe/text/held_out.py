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


def held_out(
    places: NDArray[np.float64],
    share: float,
    what: str,
    labels: NDArray[np.int8] | None = None,
) -> NDArray[np.bool_]:
    """Choose the rows of whole groups, so that about a share of all rows is held out.

    Those whose place lies below the share: so a group stays where it is when the data grow. Where
    few large groups bring the rows far from the share, groups are taken in the order of their
    places as long as they fit. Where chance gives a class less than half of its share on one side,
    its groups that come next are taken over: each class of two groups or more stands on both.

    Args:
        places: ``float64[n]`` of each row's group; equal for one group alone.
        share: of the rows that is wanted.
        what: how the log calls what is held out.
        labels: ``int8[n]``, the class of each row, below 0 for none; None for no classes.

    Returns:
        ``bool[n]``, rows of one group alike.
    """
    chosen = _by_place(places, share, what)
    if labels is None or not (labels >= 0).any():
        return chosen
    both = chosen.copy()
    # Those that come last go back, those that come next follow.
    _, group = np.unique(places, return_inverse=True)
    left = ~both
    _take_over(left, group.max() - group, labels, 1 - share)
    both = ~left
    _take_over(both, group, labels, share)
    if (both != chosen).any():
        logger.info(
            "%s: %s rows change sides, so that each class stands on both",
            what,
            f"{int((both != chosen).sum()):,}",
        )
    return both


def _take_over(
    side: NDArray[np.bool_], group: NDArray[np.int64], labels: NDArray[np.int8], share: float
) -> None:
    """Take groups over to one side, in their order, until each class has half its share there.

    Large groups wait until nothing else helps; none takes the last row of a class with it.

    Args:
        side: ``bool[n]``, the rows of this side; changed in place.
        group: ``int64[n]``, the place of each row's group in the order.
        labels: ``int8[n]``, below 0 for none.
        share: of the rows that belong here.
    """
    classes, sizes = int(labels.max()) + 1, np.bincount(group)
    large = sizes > max(1.0, share * len(labels) / 2)

    def rows_of(which: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(labels[which & (labels >= 0)], minlength=classes)

    total = rows_of(labels >= 0)
    least = np.where(total > 1, np.maximum(1, (share * total / 2).astype(np.int64)), 0)
    here = rows_of(side)
    for label in np.argsort(total, kind="stable"):  # the rarest first
        if here[label] >= least[label]:
            continue
        waiting = np.unique(group[(labels == label) & ~side])
        last = waiting[large[waiting]]
        for number in [*waiting[~large[waiting]], *last[np.argsort(sizes[last], kind="stable")]]:
            if here[label] >= (1 if large[number] else least[label]):
                break
            members = group == number
            moved = rows_of(members)
            if (moved < (total - here))[moved > 0].all():
                side |= members
                here += moved


def _by_place(places: NDArray[np.float64], share: float, what: str) -> NDArray[np.bool_]:
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
