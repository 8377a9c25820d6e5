"""Values that lie too far from the rest of their column, measured so that they do not hide themselves.

A mean and a standard deviation take in what they should find: one -9999 among four hundred values
widens them until nothing is far. So a column is measured by its distinct values, each once: a zero
that stands in most rows, or an error value in many, weighs no more than any other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# What programs and instruments write where they have no value: nines, the ends of integers, and
# netCDF's and climatology's fill values.
_NINES = [10.0**digits - 1 for digits in range(3, 13)] + [999.9, 9999.9, 99999.9, 999.99, 9999.99]
_LARGE = [10.0**power for power in range(20, 39)] + [9.969209968386869e36, 9.96921e36]
_ENDS = [32767.0, 65535.0, 2147483647.0, 4294967295.0]
USUAL_MARKS = np.array(
    [*_NINES, *_LARGE, *_ENDS]
    + [-mark for mark in (99.0, 99.9, 99.99, *_NINES, *_LARGE, *_ENDS, 32768.0, 2147483648.0)]
)
# Of a normal column the median deviation, and the middle nine tenths, in standard deviations.
_MEDIAN_DEVIATION, _MIDDLE = 0.67449, 3.28971
_OFTEN = 0.05  # a zero that is so large a share of all values is no error
_LEAST_SHARE_OF_LEVEL = 1e-9  # less is what rounding leaves of a column that stands still
# So many values say nothing of how far the next one may lie; so many, little.
_NOTHING, _LITTLE = 4, 10


@dataclass(frozen=True)
class FarOff:
    """What stands apart in a column, ``bool[n]`` each.

    Attributes:
        far: too far from the median.
        marked: a usual mark of a missing value, outside all else by more than all else spans.
    """

    far: NDArray[np.bool_]
    marked: NDArray[np.bool_]


def far_off(values: NDArray[np.float64], max_deviations: float, ranged: bool = False) -> FarOff:
    """Find them.

    A negative mark that stands apart is far, whatever the deviation; a positive one (a price of
    999) only where it is farther than so many times what all else spans.

    Args:
        values: ``float64[n]``; what is no finite number is neither.
        max_deviations: most deviations from the median, as :func:`measure` takes them.
        ranged: whether a person has said in which range the column lies: no mark is looked for.
    """
    finite = np.isfinite(values)
    distinct = np.unique(values[finite])
    none = np.zeros(len(values), bool)
    if len(distinct) < 2:
        return FarOff(none, none)
    known = np.isin(distinct, USUAL_MARKS)
    rest = distinct[~known] if not known.all() else distinct
    median, deviation = measure(rest, max_deviations)
    far = finite & (np.abs(values - median) > max_deviations * deviation)
    zero = values == 0
    if np.count_nonzero(zero) >= _OFTEN * np.count_nonzero(finite):
        far &= ~zero  # a day on which a shop is closed
    if ranged or known.all():
        return FarOff(far, none)
    width = rest[-1] - rest[0]
    beyond = np.maximum(values - rest[-1], rest[0] - values)
    marked = finite & (beyond > width) & np.isin(values, USUAL_MARKS)
    return FarOff(far | (marked & ((values < 0) | (beyond > max_deviations * width))), marked)


def measure(distinct: NDArray[np.float64], max_deviations: float) -> tuple[float, float]:
    """Median and deviation of values that differ, whatever a few of them are.

    The deviation is the largest of: the median deviation from the median, and the span of the
    middle nine tenths, both as a normal column has them (the second keeps a column that stands
    still for long, and moves then); a billionth of the level; and the standard deviation of those
    that are not far by it, so that what rises slowly to its extremes (rain, sales) may do so. Few
    values (a seldom rain, small counts) say less: of ten or fewer it is at least half of what they
    span without the farthest; of four or fewer the standard deviation of all, so that none is far.

    Args:
        distinct: ``float64[n]``, rising, one or more.
        max_deviations: beyond so many a value is far.
    """
    median = float(np.median(distinct))
    away = np.abs(distinct - median)
    tail = -(-len(distinct) // 20)
    middle = distinct[tail:-tail] if len(distinct) > 2 * tail else distinct[:1]
    deviation = max(
        float(np.median(away)) / _MEDIAN_DEVIATION,
        float(middle[-1] - middle[0]) / _MIDDLE,
        _LEAST_SHARE_OF_LEVEL * abs(median),
        _of_few(distinct, away),
    )
    near = 0
    while (found := int((away <= max_deviations * deviation).sum())) > near:
        near = found
        deviation = max(deviation, float(distinct[away <= max_deviations * deviation].std()))
    return median, deviation


def _of_few(distinct: NDArray[np.float64], away: NDArray[np.float64]) -> float:
    if len(distinct) <= _NOTHING:
        return float(distinct.std())
    if len(distinct) <= _LITTLE:
        return float(np.ptp(np.delete(distinct, np.argmax(away)))) / 2
    return 0.0
