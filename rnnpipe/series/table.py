"""Time series: a table of a time column and numbers, checked, divided in time, cut into windows.

The standing protocol is that of Zhou et al. 2021 (AAAI, "Informer"): train, validation and test
follow one another in time; each column is scaled by mean and deviation of train alone; a window's
targets lie in one split, its look-back may reach into the one before.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rnnpipe.config.series import Windows
from rnnpipe.errors import SourceError, quoted, shown
from rnnpipe.storage.csv_format import PLAIN, CsvFormat
from rnnpipe.storage.files import atomic_file
from rnnpipe.storage.table_checks import place_of
from rnnpipe.storage.tables import column_names, read_batches

SPLITS = ("train", "validation", "test")
_TIME = pa.timestamp("us")
# What a calendar has; beyond, whoever shows a time fails.
_FIRST_TIME, _LAST_TIME = (
    np.datetime64("0001-01-01", "us"),
    np.datetime64("9999-12-31T23:59:59", "us"),
)


@dataclass(frozen=True)
class Series:
    """Several quantities over time.

    Attributes:
        times: ``datetime64[us][n]``, as they stood in the file.
        values: ``float64[n, columns]``, finite.
        names: of the columns.
        time_name: of the column that held the times.
    """

    times: NDArray[np.datetime64]
    values: NDArray[np.float64]
    names: tuple[str, ...]
    time_name: str

    def __len__(self) -> int:
        return len(self.times)


def read_series(table: Path, time_column: str, csv_format: CsvFormat = PLAIN) -> Series:
    """Read a ``.csv`` or ``.parquet`` file whose columns, but for the time, are numbers.

    Times are taken as they stand, zones dropped after turning them to UTC; whether they follow one
    another regularly is the business of :func:`require_regular` and of the validation.

    Raises:
        SourceError: there is no such column, or nothing beside it; a cell is empty, no time, or no
            finite number: the message names line and column; there are no rows.
    """
    names = list(
        dict.fromkeys(name for name in column_names(table, csv_format) if name != time_column)
    )
    advice = "Name it by prepare.time_column in the pipeline's params.yaml, or by --time-column."
    times, values, first_row = [], [], 0
    # The time comes first under a role of its own: a column of numbers may have any name.
    columns = {"": time_column} | {f"={name}": name for name in names}
    for batch in read_batches(table, columns, advice=advice, times=True, csv_format=csv_format):
        times.append(_times(table, time_column, batch[""], first_row))
        parts = [_numbers(table, name, batch[f"={name}"], first_row) for name in names]
        values.append(np.stack(parts, axis=1) if parts else np.empty((len(batch[""]), 0)))
        first_row += len(batch[""])
    if not names:
        raise SourceError(
            f"{shown(table)} has only the column {quoted(time_column)}: expected numbers beside it"
        )
    if not first_row:
        raise SourceError(
            f"{shown(table)} has a header and no rows: expected one for each step of time"
        )
    return Series(np.concatenate(times), np.concatenate(values), tuple(names), time_column)


def _times(table: Path, name: str, column: pa.Array, first_row: int) -> NDArray[np.datetime64]:
    expected = "a time such as 2016-07-01 13:00:00"
    kind = column.type
    if not (pa.types.is_large_string(kind) or pa.types.is_temporal(kind)):
        # Arrow would take a number for microseconds since 1970.
        raise SourceError(
            f"{shown(table)}: column {quoted(name)} holds {shown(kind)}, expected {expected}"
        )
    parsed = _converted(table, name, column, first_row, _TIME, expected)
    return np.asarray(parsed.to_numpy(zero_copy_only=False), "datetime64[us]")


def _numbers(table: Path, name: str, column: pa.Array, first_row: int) -> NDArray[np.float64]:
    parsed = _converted(table, name, column, first_row, pa.float64(), "a finite number")
    return np.asarray(parsed.to_numpy(zero_copy_only=False), np.float64)


def _converted(
    table: Path, name: str, column: pa.Array, first_row: int, kind: pa.DataType, expected: str
) -> pa.Array:
    """Convert a column; if that fails, find the first cell that is to blame, and say so."""
    if pa.types.is_large_string(column.type):
        column = pc.utf8_trim_whitespace(column)
    parsed = _cast(column, kind)
    if parsed is not None:
        return parsed
    for row in range(len(column)):
        if _cast(column[row : row + 1], kind) is None:
            raise SourceError(
                f"{shown(table)}, {place_of(table, first_row + row, [name])}, column {quoted(name)}: found"
                f" {_found(column[row])}, expected {expected}"
            )
    raise AssertionError("a column cannot be read, but each of its cells can")


def _found(cell: pa.Scalar) -> str:
    try:
        value = cell.as_py()
    except (ValueError, OverflowError):
        return f"a {cell.type} that no calendar has"
    return "nothing" if value in (None, "") else quoted(value)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        # Parts of a microsecond may go; parts of a number may not.
        options = pc.CastOptions(kind, allow_time_truncate=pa.types.is_temporal(column.type))
        parsed = pc.cast(column, options=options)
    except pa.ArrowException:
        return None
    if kind == _TIME and len(parsed):
        span = pc.min_max(parsed)
        first, last = (span[end].value for end in ("min", "max"))
        if first is not None and not (
            _FIRST_TIME.astype(int) <= first and last <= _LAST_TIME.astype(int)
        ):
            return None
    if parsed.null_count or (
        pa.types.is_floating(kind) and not pc.all(pc.is_finite(parsed), min_count=0).as_py()
    ):
        return None
    return parsed


def write_series(series: Series, path: Path) -> None:
    """Write the prepared table: the time first, then the columns in their order.

    Its metadata hold ``content_digest``, the same for the same times and numbers however the
    source wrote them.
    """
    arrays = [pa.array(series.times, _TIME), *map(pa.array, series.values.T.copy())]
    table = pa.table(arrays, names=[series.time_name, *series.names])
    metadata = {"content_digest": content_digest(series)}
    with atomic_file(path) as partial:
        pq.write_table(table.replace_schema_metadata(metadata), partial)


def load_series(path: Path) -> Series:
    """Read the table that :func:`write_series` wrote.

    Raises:
        SourceError: the file is missing or no such table.
    """
    names = column_names(path)
    if not names:
        raise SourceError(f"{path} has no columns: run `dvc repro pipelines/forecasting/dvc.yaml`")
    return read_series(path, names[0])


def content_digest(series: Series) -> str:
    """SHA-256 over names, times and numbers of a series, in hex."""
    digest = hashlib.sha256("\0".join([series.time_name, *series.names]).encode())
    digest.update(np.ascontiguousarray(series.times.astype("<M8[us]")).tobytes())
    digest.update(np.ascontiguousarray(series.values.astype("<f8")).tobytes())
    return digest.hexdigest()


def usual_step(times: NDArray[np.datetime64]) -> np.timedelta64:
    """Return the most frequent step forward in time, of several the shortest; 0 where there is none.

    >>> usual_step(np.array(["2020-01-01T00", "2020-01-01T01", "2020-01-01T02", "2020-01-01T05"],
    ...     "datetime64[us]")).astype("timedelta64[h]").item().seconds
    3600
    """
    steps = np.diff(times)
    found, counts = np.unique(steps[steps > np.timedelta64(0)], return_counts=True)
    return found[np.argmax(counts)] if len(found) else np.timedelta64(0, "us")


def require_regular(series: Series, origin: str) -> None:
    """Make sure that one step of time is as long as another.

    Args:
        series: to look at.
        origin: what an error calls it, for instance its file.

    Raises:
        SourceError: a time comes twice, or is earlier than the one before, or a step is longer
            (a gap) or shorter than usual: the message names the row.
    """
    steps = np.diff(series.times)
    usual = usual_step(series.times)
    wrong = np.flatnonzero(steps != usual)
    if not len(wrong):
        return
    row = int(wrong[0]) + 1
    before, found, step = series.times[row - 1], series.times[row], steps[row - 1]
    if step == np.timedelta64(0):
        fault = "the same time as the row before"
    elif step < np.timedelta64(0):
        fault = f"a time earlier than the row before, {before}"
    elif step > usual:
        fault = f"a gap after {before}"
    else:
        fault = f"a shorter step after {before}"
    if usual == np.timedelta64(0):  # no step leads forward
        expected = "each row to be later than the one before: sort the rows by time"
    else:
        expected = (
            f"steps of {usual.astype('timedelta64[s]')} without gaps or repetitions, which local"
            f" time with a summer hour has not ({len(wrong):,} steps are wrong): fill them, or"
            " write UTC"
        )
    place = place_of(origin, row, series.names)
    raise SourceError(
        f"{origin}, {place}, column {series.time_name!r}: found {found}, {fault}; expected {expected}"
    )


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation of each column, ``float64[columns]``, of train alone."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def fit(cls, values: NDArray[np.float64]) -> "Scaler":
        """Take them over ``float64[n, columns]``; a constant column is left unscaled."""
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        # Of a constant the sum's rounding leaves some 1e-16 of deviation, which is none.
        real = (np.ptp(values, axis=0) > 0) & (deviation > 0)
        return cls(mean, np.where(real, deviation, 1.0))

    def scale(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map ``float64[..., columns]`` to mean 0 and deviation 1."""
        return (values - self.mean) / self.deviation

    def unscale(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Undo :meth:`scale`."""
        return np.asarray(values * self.deviation + self.mean, np.float64)


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
    # Bounds are rounded, not lengths: shares that sum to 1 give away the whole series.
    splits, end = {}, 0.0
    for name in SPLITS:
        part = getattr(windows, name)
        start, end = end, end + (part * steps if part < 1 else part)
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


def window_starts(split: range, look_back: int, horizon: int) -> NDArray[np.int64]:
    """Return the first target step of every window with this many targets, all in one split.

    The look-back may reach into the split before, whose values are known by then; never before
    the first step of the series.

    Returns:
        ``int64[windows]``, rising.

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
    values: NDArray[Any],
    starts: NDArray[np.int64],
    look_back: int,
    horizon: int,
    stop: int | None = None,
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
        stop: first step that belongs to the split no more: targets from it on are NaN (``values``
            must be floats then), so that nothing is learnt from, or judged by, another split.

    Returns:
        ``[batch, look_back, columns]`` and ``[batch, horizon, columns]``.
    """
    past = values[starts[:, None] + np.arange(-look_back, 0)]
    steps = starts[:, None] + np.arange(horizon)
    if stop is None:
        return past, values[steps]
    future = values[np.minimum(steps, len(values) - 1)]
    future[steps >= stop] = np.nan
    return past, future
