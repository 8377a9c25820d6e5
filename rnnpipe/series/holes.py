"""Holes of a series: steps that a table leaves out, and values that it lacks.

They stay unknown (NaN) wherever something is learnt from or judged; where a network reads, they are
filled from what came before.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rnnpipe.series.calendar import Step, Times, odd_steps

Fill = Literal["last", "season", "zero"]


def put_in_steps(
    times: Times, values: NDArray[np.float64], step: Step
) -> tuple[Times, NDArray[np.float64]]:
    """Put in the steps that a table leaves out, without values.

    Args:
        times: ``datetime64[us][n]``, rising.
        values: ``float64[n, columns]``.
        step: what should lie between two times.

    Returns:
        Both longer; as they are where some time is not where a step would be due, comes twice, or more
        steps are left out than are there.
    """
    if len(times) < 2 or not step.size or not odd_steps(times, step):
        return times, values
    most = 2 * len(times)
    due = step.after(np.repeat(times[:1], most), np.arange(most))
    due = due[due <= times[-1]]
    places = np.minimum(np.searchsorted(due, times), len(due) - 1)
    if (due[places] != times).any() or (np.diff(places) <= 0).any():
        return times, values
    whole = np.full((len(due), values.shape[1]), np.nan)
    whole[places] = values
    return due, whole


def filled(
    values: NDArray[np.floating], how: Fill, season: int, zero: NDArray[np.floating] | float = 0.0
) -> NDArray[np.floating]:
    """Return values without holes; what stands in one follows from what came before it alone.

    Before a column's first value there is nothing but that value to fill with.

    >>> filled(np.array([[1.0], [2.0], [np.nan], [np.nan], [5.0]]), "season", 2)[:, 0].tolist()
    [1.0, 2.0, 1.0, 2.0, 5.0]

    Args:
        values: ``float[n, columns]``, NaN in holes; of a column that has no value all stay NaN.
        how: the ``last`` value again, that of a ``season`` before, or ``zero``.
        season: steps of one.
        zero: how zero is written, a number or one a column: values may be scaled.
    """
    holes = np.isnan(values)
    if not holes.any():
        return values
    if how == "zero":
        return np.where(holes, np.asarray(zero, values.dtype), values)
    found = values
    if how == "season" and season > 1:
        missing = -len(values) % season
        padded = np.concatenate([values, np.full((missing, values.shape[1]), np.nan, values.dtype)])
        phases = padded.reshape(-1, season * values.shape[1])
        found = _last_known(phases).reshape(padded.shape)[: len(values)]
    found = _last_known(found)
    backward = _last_known(found[::-1])[::-1]
    return np.where(np.isnan(found), backward, found)


def _last_known(values: NDArray[np.floating]) -> NDArray[np.floating]:
    rows = np.where(np.isnan(values), 0, np.arange(len(values))[:, None])
    return np.take_along_axis(values, np.maximum.accumulate(rows, axis=0), axis=0)
