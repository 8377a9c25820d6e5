"""Time series: a table of a time column and numbers, checked, divided in time, cut into windows.

The standing protocol is that of Zhou et al. 2021 (AAAI, "Informer"): train, validation and test
follow one another in time; each column is scaled by mean and deviation of train alone; a window's
targets lie in one split, its look-back may reach into the one before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnnpipe.errors import SourceError, quoted
from rnnpipe.tables import column_names, read_columns

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Series:
    """Several quantities over the same regular time.

    Attributes:
        times: ``datetime64[s][n]``, in rising order.
        values: ``float64[n, channels]``.
        names: of the channels.
    """

    times: NDArray[np.datetime64]
    values: NDArray[np.float64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.times)


def read_series(table: Path, time_column: str) -> Series:
    """Read a ``.csv`` or ``.parquet`` file whose columns, but for the time, are numbers.

    Raises:
        SourceError: there is no such column, or nothing beside it; a cell is empty, no time, or no
            finite number: the message names row (from 0, the header not counted) and column.
    """
    names = [name for name in column_names(table) if name != time_column]
    advice = "Set prepare.time_column in the pipeline's params.yaml."
    columns = read_columns(
        table, {time_column: time_column} | {n: n for n in names}, advice=advice, times=True
    )
    if not names:
        raise SourceError(
            f"{table} has only the column {time_column!r}: expected numbers beside it"
        )
    times = _times(table, time_column, columns[time_column])
    values = [_numbers(table, name, columns[name]) for name in names]
    return Series(times, np.stack(values, axis=1), tuple(names))


def _times(table: Path, name: str, column: pa.ChunkedArray) -> NDArray[np.datetime64]:
    def parse(cell: Any) -> Any:
        if np.isnat(time := np.datetime64(str(cell).strip().replace(" ", "T"), "s")):
            raise ValueError
        return time

    try:
        parsed = pc.cast(column, pa.timestamp("s")).to_numpy()
    except pa.ArrowInvalid:
        parsed = None
    if parsed is None or column.null_count:
        _blame(table, name, column, parse, "a time such as 2016-07-01 13:00:00")
    return np.asarray(parsed, "datetime64[s]")


def _numbers(table: Path, name: str, column: pa.ChunkedArray) -> NDArray[np.float64]:
    def parse(cell: Any) -> Any:
        if not np.isfinite(value := float(cell)):
            raise ValueError
        return value

    try:
        numbers = pc.cast(column, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        numbers = None
    if numbers is None or column.null_count or not np.isfinite(numbers).all():
        _blame(table, name, column, parse, "a finite number")
    return np.asarray(numbers, np.float64)


def _blame(table: Path, name: str, column: pa.ChunkedArray, parse: Any, expected: str) -> None:
    """Find the first cell that cannot be read, and say so."""
    for row, cell in enumerate(column.to_pylist()):
        try:
            parse(cell)
        except (TypeError, ValueError):
            found = "nothing" if cell in (None, "") else quoted(cell)
            raise SourceError(
                f"{table}, row {row}, column {name!r}: found {found}, expected {expected}"
            ) from None
    raise AssertionError("Arrow and Python disagree about what can be read")


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation of each channel, ``float64[channels]``, of train alone."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def fit(cls, values: NDArray[np.float64]) -> "Scaler":
        """Take them over ``float64[n, channels]``; a constant channel is left unscaled."""
        deviation = values.std(axis=0)
        return cls(values.mean(axis=0), np.where(deviation > 0, deviation, 1.0))

    def scale(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map ``float64[..., channels]`` to mean 0 and deviation 1."""
        return (values - self.mean) / self.deviation

    def unscale(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Undo :meth:`scale`."""
        return values * self.deviation + self.mean


def divide(steps: int, lengths: Mapping[str, int]) -> dict[str, range]:
    """Give each split its steps, one after the other; what is left over belongs to none.

    Args:
        steps: number of time steps.
        lengths: steps of each of ``train``, ``validation``, ``test``.

    Raises:
        SourceError: the series is shorter than its splits.
    """
    needed = sum(lengths[name] for name in SPLITS)
    if needed > steps:
        raise SourceError(
            f"the series has {steps:,} steps, its splits need {needed:,}"
            f" ({', '.join(f'{name} {lengths[name]:,}' for name in SPLITS)}): shorten them in the"
            " section split of the pipeline's params.yaml"
        )
    splits, start = {}, 0
    for name in SPLITS:
        splits[name] = range(start, start + lengths[name])
        start += lengths[name]
    return splits


def window_starts(split: range, look_back: int, horizon: int) -> NDArray[np.int64]:
    """Give the first target step of every window whose targets lie in one split.

    The look-back may reach into the split before, whose values are known by then; never before
    the first step of the series.

    Raises:
        SourceError: no window fits.
    """
    first = max(split.start, look_back)
    starts = np.arange(first, split.stop - horizon + 1, dtype=np.int64)
    if not len(starts):
        raise SourceError(
            f"a split of {len(split):,} steps holds no window of {look_back} steps and"
            f" {horizon} to come: lengthen it, or shorten look_back or horizon"
        )
    return starts


def cut(
    values: NDArray[Any], starts: NDArray[np.int64], look_back: int, horizon: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cut windows out of a series.

    >>> past, future = cut(np.arange(6.0)[:, None], np.array([3]), 3, 2)
    >>> past[..., 0].tolist(), future[..., 0].tolist()
    ([[0.0, 1.0, 2.0]], [[3.0, 4.0]])

    Args:
        values: ``[n, channels]``.
        starts: ``int64[batch]``, first target step of each.
        look_back: steps before it.
        horizon: steps from it on.

    Returns:
        ``[batch, look_back, channels]`` and ``[batch, horizon, channels]``.
    """
    past = starts[:, None] + np.arange(-look_back, 0)
    future = starts[:, None] + np.arange(horizon)
    return values[past], values[future]
