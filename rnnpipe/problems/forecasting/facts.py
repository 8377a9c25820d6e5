"""Facts about a series, a row a step: what the expectations look at."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from rnnpipe.errors import SourceError, quoted
from rnnpipe.problems.forecasting.params import SeriesValidate
from rnnpipe.validation.columns import cast_column, open_table


def series_facts(path: Path, limits: SeriesValidate) -> pd.DataFrame:
    """Facts about each step, then about each column, of the table that ``prepare`` wrote.

    Args:
        path: a parquet table, the time first, then columns of numbers.
        limits: which values are out of range, or far off.

    Returns:
        A row a step in the file's order, its id the time, then a row a column, its id ``column
        NAME``. Booleans, false where they do not apply: is_step; of a step is_repeated (the time
        of the row before), is_backward (an earlier one), is_gap (a step longer than the usual
        one), is_short (shorter), is_not_finite, is_out_of_range, is_far_off (each: some value
        is); of a column is_constant, holds_not_finite, holds_out_of_range, holds_far_off.

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
    finite = np.isfinite(values)
    out = np.zeros_like(finite)
    for number, name in enumerate(names[1:]):
        if name in limits.ranges:
            least, largest = limits.ranges[name]
            out[:, number] = (values[:, number] < least) | (values[:, number] > largest)
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column may hold no number at all
        mean, deviation = (
            take(np.where(finite, values, np.nan), axis=0) for take in (np.nanmean, np.nanstd)
        )
        far = np.abs(values - mean) > limits.max_deviations * deviation
        most = np.nanmax(values, axis=0, initial=-np.inf)
        constant = ~(most > np.nanmin(values, axis=0, initial=np.inf))
    zero = np.timedelta64(0, "us")
    step = form_in(table.schema.metadata or {}, path).step_of(times)
    due = np.concatenate([times[:1], step.after(times[:-1])])
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
        "holds_not_finite": ~finite.all(axis=0),
        "holds_out_of_range": out.any(axis=0),
        "holds_far_off": far.any(axis=0),
    }
    seconds = np.datetime_as_string(times, "s") if len(times) else np.array([], str)
    ids = [text.replace("T", " ") for text in seconds]
    return pd.DataFrame(
        {
            "id": ids + [f"column {name}" for name in names[1:]],
            "is_step": np.concatenate([~nowhere, everywhere]),
        }
        | {name: np.concatenate([fact, everywhere]) for name, fact in both.items()}
        | {name: np.concatenate([nowhere, fact]) for name, fact in of_columns.items()}
    )
