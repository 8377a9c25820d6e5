"""Facts about a series, a row a step: what the expectations look at."""

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
    from rnnpipe.series.reading import form_in

    table = open_table(path).read()
    where = f"{path}: column {{}}"
    names = table.column_names
    foreign = [name for name in limits.ranges if name not in names[1:]]
    if foreign or len(names) < 2:
        raise SourceError(
            f"{path} has the columns {', '.join(map(quoted, names))}: expected a time, numbers, and"
            f" each column of validate.ranges ({', '.join(map(quoted, limits.ranges)) or 'none'})"
        )
    times = cast_column(table[names[0]], pa.timestamp("us"), where.format(names[0])).to_numpy()
    values = np.stack(
        [
            cast_column(table[name], pa.float64(), where.format(name)).to_numpy()
            for name in names[1:]
        ],
        axis=1,
    )
    steps, columns = values.shape
    missing = np.isnan(values)
    finite = missing | (np.abs(values) <= MOST)
    out = np.zeros_like(finite)
    for number, name in enumerate(names[1:]):
        if name in limits.ranges:
            least, largest = limits.ranges[name]
            out[:, number] = (values[:, number] < least) | (values[:, number] > largest)
    shares = missing.mean(axis=0) if steps else np.zeros(columns)
    known = np.where(finite, values, np.nan)
    with np.errstate(invalid="ignore"):  # a column may hold no number at all
        most = np.fmax.reduce(values, axis=0, initial=-np.inf)
        constant = ~(most > np.fmin.reduce(values, axis=0, initial=np.inf))
    apart = [
        far_off(known[:, number], limits.max_deviations, name in limits.ranges)
        for number, name in enumerate(names[1:])
    ]
    far = np.stack([column.far for column in apart], axis=1)
    zero = np.timedelta64(0, "us")
    form = form_in(table.schema.metadata or {}, path)
    due = np.concatenate([times[:1], form.step_of(times).after(times[:-1])])
    if form.moved:  # then rows are those of our table alone
        source = str(path)
    passed = np.diff(times, prepend=times[:1])
    nowhere, everywhere = np.zeros(steps, bool), np.zeros(columns, bool)
    both = {
        "is_repeated": (passed == zero) & (np.arange(steps) > 0),
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
        "holds_mark": np.array([column.marked.any() for column in apart]),
    }
    seconds = np.datetime_as_string(times, "s") if len(times) else np.array([], str)
    ids = [text.replace("T", " ") for text in seconds]
    return pd.DataFrame(
        {
            "id": ids
            + [
                f"column {name}{_told(values[:, number], column, ids, source, names)}"
                + (f": {shares[number]:.1%} missing" if missing[:, number].any() else "")
                for number, (name, column) in enumerate(zip(names[1:], apart, strict=True))
            ],
            "is_step": np.concatenate([~nowhere, everywhere]),
        }
        | {name: np.concatenate([fact, everywhere]) for name, fact in both.items()}
        | {name: np.concatenate([nowhere, fact]) for name, fact in of_columns.items()}
    )


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
