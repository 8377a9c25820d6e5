"""Time series: a table of a time column and numbers, checked, divided in time, cut into windows.

The standing protocol is that of Zhou et al. 2021 (AAAI, "Informer"): train, validation and test
follow one another in time; each column is scaled by mean and deviation of train alone; a window's
targets lie in one split, its look-back may reach into the one before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.config.series import Windows
from rnnpipe.errors import SourceError
from rnnpipe.series.calendar import Step
from rnnpipe.series.form import STANDARD, Form
from rnnpipe.storage.table_checks import place_of

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Series:
    """Several quantities over time.

    Attributes:
        times: ``datetime64[us][n]``, as they stood in the file; of a known zone in UTC if the step
            is shorter than a day.
        values: ``float64[n, columns]``, finite, or NaN where none is known.
        names: of the columns.
        time_name: of the column that held the times.
        form: how the file writes them.
    """

    times: NDArray[np.datetime64]
    values: NDArray[np.float64]
    names: tuple[str, ...]
    time_name: str
    form: Form = STANDARD

    @property
    def step(self) -> Step:
        """What lies between two of its times."""
        return self.form.step_of(self.times)

    def __len__(self) -> int:
        return len(self.times)


def require_regular(series: Series, origin: str) -> None:
    """Make sure that one step of time is as long as another.

    Args:
        series: to look at.
        origin: what an error calls it, for instance its file.

    Raises:
        SourceError: a time comes twice, or is earlier than the one before, or a step is longer
            (a gap) or shorter than usual: the message names the row.
    """
    times, step = series.times, series.step
    due = step.after(times[:-1])
    wrong = np.flatnonzero((times[1:] != due) | (times[1:] == times[:-1]))
    if not len(wrong):
        return
    row = int(wrong[0]) + 1
    before, found = times[row - 1], times[row]
    if found == before:
        fault = "the same time as the row before"
    elif found < before:
        fault = f"a time earlier than the row before, {before}"
    elif found > due[row - 1]:
        fault = f"a gap after {before}"
    else:
        fault = f"a shorter step after {before}"
    if not step.size:  # no step leads forward
        expected = "each row to be later than the one before: sort the rows by time"
    else:
        hour = np.timedelta64(1, "h")
        summer = (
            np.abs((found - before) - (due[row - 1] - before)) == hour
        ) and not step.whole_days
        which = ", which local time with a summer hour has not" if summer else ""
        write = "write UTC" if summer else "mend them"
        expected = (
            f"steps of {step} without gaps or repetitions{which} ({len(wrong):,} steps are wrong):"
            f" {write}, or say the step by prepare.step"
        )
    place = place_of(origin, row, series.names)
    if series.form.moved:
        place = f"row {row + 1:,} by time"
    raise SourceError(
        f"{origin}, {place}, column {series.time_name!r}: found {found}, {fault}; expected {expected}"
    )


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation of each column, ``float64[columns]``, of train alone.

    ``still`` says which columns stand still there, ``bool[columns]``, where somebody has looked.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    still: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    @classmethod
    def fit(cls, values: NDArray[np.float64]) -> "Scaler":
        """Take them over ``float64[n, columns]``, NaN left out; a constant column is left unscaled."""
        mean, deviation = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        # Of a constant the sum's rounding leaves some 1e-16 of deviation, which is none.
        real = (span_of(values) > 0) & (deviation > 0)
        return cls(mean, np.where(real, deviation, 1.0))

    def scale(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map ``float64[..., columns]`` to mean 0 and deviation 1."""
        return (values - self.mean) / self.deviation

    def unscale(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Undo :meth:`scale`."""
        return np.asarray(values * self.deviation + self.mean, np.float64)


def span_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return from the least to the largest known value of each column, ``float64[columns]``."""
    return np.asarray(np.nanmax(values, axis=0) - np.nanmin(values, axis=0), np.float64)


def divide(steps: int, windows: Windows) -> dict[str, range]:
    """Return each split its steps, one after the other; what is left over belongs to none.

    Args:
        steps: number of time steps.
        windows: shares or lengths of the splits; look-back and horizons, for which each must have
            room: validation and test look back into the split before.

    Raises:
        SourceError: the series is shorter than its splits, or a split too short for one window.
    """
    horizon = windows.horizons[-1]
    lengths = {
        name: part * steps if part is not None and part < 1 else part
        for name, part in ((name, getattr(windows, name)) for name in SPLITS)
    }
    if lengths["train"] is None:
        rest = steps - lengths["validation"] - lengths["test"]
        lengths["train"] = max(0.0, rest)
    # Bounds are rounded, not lengths: shares that sum to 1 give away the whole series.
    splits, end = {}, 0.0
    for name in SPLITS:
        start, end = end, end + lengths[name]
        splits[name] = range(round(start), round(end))
    if (needed := splits["test"].stop) > steps:
        raise SourceError(
            f"the series has {steps:,} steps, its splits need {needed:,} ({_lengths(splits)}):"
            " lower windows.train, windows.validation or windows.test in the pipeline's params.yaml"
        )
    room = {"train": windows.look_back + horizon, "validation": horizon, "test": horizon}
    if any(len(splits[name]) < room[name] for name in SPLITS):
        raise SourceError(
            f"the series has {steps:,} steps, divided into {_lengths(splits)}; for a look-back of"
            f" {windows.look_back:,} and {horizon:,} steps ahead there must be train"
            f" {room['train']:,}, validation {horizon:,}, test {horizon:,} or more: bring a longer"
            " series, or lower windows.look_back or windows.horizons in the pipeline's params.yaml"
        )
    return splits


def _lengths(splits: Mapping[str, range]) -> str:
    return ", ".join(f"{name} {len(split):,}" for name, split in splits.items())


def window_starts(split: range, look_back: int, horizon: int, begin: int = 0) -> NDArray[np.int64]:
    """Return the first target step of every window with this many targets, all in one split.

    The look-back may reach into the split before, whose values are known by then; never before
    ``begin``, the first step of the series.

    Returns:
        ``int64[windows]``, rising.
    """
    first = max(split.start, begin + look_back)
    return np.arange(first, split.stop - horizon + 1, dtype=np.int64)


def cut(
    values: NDArray[Any],
    starts: NDArray[np.int64],
    look_back: int,
    horizon: int,
    stop: int | NDArray[np.int64] | None = None,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cut windows out of a series.

    >>> past, future = cut(np.arange(6.0)[:, None], np.array([3]), 3, 3, stop=5)
    >>> past[..., 0].tolist(), future[..., 0].tolist()
    ([[0.0, 1.0, 2.0]], [[3.0, 4.0, nan]])

    Args:
        values: ``[n, columns]``.
        starts: ``int64[batch]``, first target step of each.
        look_back: steps before it.
        horizon: steps from it on.
        stop: first step that belongs to the split no more, one for all windows or ``int64[batch]``:
            targets from it on are NaN (``values`` must be floats then), so that nothing is learnt from,
            or judged by, another split.

    Returns:
        ``[batch, look_back, columns]`` and ``[batch, horizon, columns]``.
    """
    past = values[starts[:, None] + np.arange(-look_back, 0)]
    steps = starts[:, None] + np.arange(horizon)
    if stop is None:
        return past, values[steps]
    future = values[np.minimum(steps, len(values) - 1)]
    future[steps >= np.reshape(stop, (-1, 1))] = np.nan
    return past, future
