"""Facts about a series, a row a step: what the expectations look at."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from rnnpipe.errors import SourceError, quoted
from rnnpipe.problems.forecasting.far_off import FarOff, far_off
from rnnpipe.problems.forecasting.params import SeriesValidate
from rnnpipe.storage.table_checks import place_of
from rnnpipe.validation.columns import cast_column, open_table

# Their squares, and the sums of these, are finite numbers with room to spare.
MOST = 1e100


def series_facts(path: Path, limits: SeriesValidate, source: str = "") -> pd.DataFrame:
    """Facts about each step, then about each column, of the table that ``prepare`` wrote.

    Args:
        path: a parquet table, the time first, then columns of numbers.
        limits: which values are out of range, or far off.
        source: the file that it was prepared from, whose lines are named.

    Returns:
        A row a step in the file's order, its id the time, then a row a column, its id ``column
        NAME``, with the first value that is far off, if there is one. Booleans, false where they do
        not apply: is_step; of a step is_repeated (the time of the row before), is_backward (an
        earlier one), is_gap (a step longer than the usual one), is_short (shorter), is_not_finite
        (or larger than :data:`MOST`), is_out_of_range, is_far_off (each: some value is); of a
        column is_constant, misses_too_many, holds_not_finite, holds_out_of_range, holds_far_off, holds_mark (a
        usual mark of a missing value, far from all else).

    Raises:
        SourceError: the file is no parquet table, its first column holds no times, another no
            numbers, or a range is given for a column that is not there.
    """
    from rnnpipe.series.prepared import form_in, series_column_in

    table = open_table(path).read()
    metadata = table.schema.metadata or {}
    where = f"{path}: column {{}}"
    id_name = series_column_in(metadata)
    all_names = table.column_names
    names = [name for name in all_names[1:] if name != id_name]
    foreign = [name for name in limits.ranges if name not in names]
    if foreign or not names:
        raise SourceError(
            f"{path} has the columns {', '.join(map(quoted, all_names))}: expected a time, numbers, and"
            f" each column of validate.ranges ({', '.join(map(quoted, limits.ranges)) or 'none'})"
        )
    times = cast_column(
        table[all_names[0]], pa.timestamp("us"), where.format(all_names[0])
    ).to_numpy()
    values = np.stack(
        [cast_column(table[name], pa.float64(), where.format(name)).to_numpy() for name in names],
        axis=1,
    )
    steps, columns = values.shape
    ids = _series_of(table, id_name, where)
    parts = _parts(ids, steps)
    missing = np.isnan(values)
    finite = missing | (np.abs(values) <= MOST)
    out = np.zeros_like(finite)
    for number, name in enumerate(names):
        if name in limits.ranges:
            least, largest = limits.ranges[name]
            out[:, number] = (values[:, number] < least) | (values[:, number] > largest)
    shares = missing.mean(axis=0) if steps else np.zeros(columns)
    known = np.where(finite, values, np.nan)
    constant = np.ones(columns, bool)
    far, marked = np.zeros_like(finite), np.zeros_like(finite)
    form = form_in(metadata, path)
    due = times.copy()
    for part in parts:
        with np.errstate(invalid="ignore"):  # a column may hold no number at all
            most = np.fmax.reduce(values[part], axis=0, initial=-np.inf)
            constant &= ~(most > np.fmin.reduce(values[part], axis=0, initial=np.inf))
        for number, name in enumerate(names):
            apart = far_off(known[part, number], limits.max_deviations, name in limits.ranges)
            far[part, number], marked[part, number] = apart.far, apart.marked
        due[part][1:] = form.step_of(times).after(times[part][:-1])
    zero = np.timedelta64(0, "us")
    if form.moved:  # then rows are those of our table alone
        source = str(path)
    first = np.zeros(steps, bool)
    first[[part.start for part in parts]] = True
    passed = np.where(first, zero, np.diff(times, prepend=times[:1]))
    nowhere, everywhere = np.zeros(steps, bool), np.zeros(columns, bool)
    both = {
        "is_repeated": (passed == zero) & ~first,
        "is_backward": passed < zero,
        "is_gap": times > due,
        "is_short": (passed > zero) & (times < due),
        "is_not_finite": ~finite.all(axis=1),
        "is_out_of_range": out.any(axis=1),
        "is_far_off": far.any(axis=1),
    }
    of_columns = {
        "is_constant": constant,
        "misses_too_many": shares > limits.max_missing_share,
        "holds_not_finite": ~finite.all(axis=0),
        "holds_out_of_range": out.any(axis=0),
        "holds_far_off": far.any(axis=0),
        "holds_mark": marked.any(axis=0),
    }
    seconds = np.datetime_as_string(times, "s") if len(times) else np.array([], str)
    labels = [text.replace("T", " ") for text in seconds]
    if ids is not None:
        labels = [f"{id_} {label}" for id_, label in zip(ids.to_pylist(), labels, strict=True)]
    return pd.DataFrame(
        {
            "id": labels
            + [
                f"column {name}"
                + _told(
                    values[:, number],
                    FarOff(far[:, number], marked[:, number]),
                    labels,
                    source,
                    all_names,
                )
                + (f": {shares[number]:.1%} missing" if missing[:, number].any() else "")
                for number, name in enumerate(names)
            ],
            "is_step": np.concatenate([~nowhere, everywhere]),
        }
        | {name: np.concatenate([fact, everywhere]) for name, fact in both.items()}
        | {name: np.concatenate([nowhere, fact]) for name, fact in of_columns.items()}
    )


def _series_of(table: pa.Table, id_name: str, where: str) -> pa.ChunkedArray | None:
    """What tells each row's series apart; None where there is one alone."""
    if not id_name:
        return None
    if id_name not in table.column_names:
        raise SourceError(
            f"{where.format(id_name)} is not there: run the stage that writes the table"
        )
    return cast_column(table[id_name], pa.string(), where.format(id_name))


def _parts(ids: pa.ChunkedArray | None, steps: int) -> list[slice]:
    """The rows of each series, which follow one another."""
    if ids is None or not steps:
        return [slice(0, steps)] if steps else []
    codes = ids.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    begins = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), steps]
    return [slice(begin, end) for begin, end in itertools.pairwise(begins)]


def _told(values: np.ndarray, found: FarOff, ids: list[str], source: str, names: list[str]) -> str:
    """Say of the first value that stands apart what it is, and where; nothing if none does."""
    rows = np.flatnonzero(found.far | found.marked)
    if not len(rows):
        return ""
    first = int(rows[0])
    marked = ", a usual mark of a missing value" if found.marked[first] else ""
    more = f"; {len(rows):,} such" if len(rows) > 1 else ""
    return (
        f": {values[first]:.15g} in {place_of(source, first, names)} ({ids[first]}){marked}{more}"
    )
