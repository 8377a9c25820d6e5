"""The columns of a table of series: which are forecast, and what stands beside their numbers."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rnnpipe.series.numbers import is_missing, is_numeric

Columns = dict[
    str, pa.ChunkedArray
]  # by role: "" the time, "#" the series, "=NAME" a column of numbers

_NAMELESS = frozenset(
    ["", "unnamed: 0", "__index_level_0__"]
)  # as pandas writes and reads an index
_COUNTING = frozenset(["index", "id", "no", "no.", "nr", "nr.", "row", "rownames", "instant", "#"])
_BEFORE, _AFTER = r"^[$€£¥] ?", r" ?[%€$£¥]$"


def no_targets(columns: Mapping[str, pa.ChunkedArray], asked: list[str]) -> dict[str, str]:
    """Return the columns that are no targets unless they are named, and why."""
    left_out: dict[str, str] = {}
    for name in asked:
        column = columns[f"={name}"]
        if pa.types.is_large_string(column.type):
            if not is_numeric(column):
                left_out[name] = "no numbers"
        elif pa.types.is_temporal(column.type) or column.null_count == len(column):
            left_out[name] = "no numbers"
        if name not in left_out and _numbers_rows(name.casefold(), column):
            left_out[name] = "an index"
    return left_out


def _numbers_rows(name: str, column: pa.ChunkedArray) -> bool:
    """Whether a column that is called so numbers its rows: one by one, in an index also with leaps."""
    if name not in _NAMELESS | _COUNTING:
        return False
    try:
        numbers = column.combine_chunks().cast(pa.int64())
    except pa.ArrowException:
        return False
    if numbers.null_count or len(numbers) < 2:
        return False
    steps = np.diff(numbers.to_numpy(zero_copy_only=False))
    if name in _NAMELESS and len(np.unique(np.sign(steps))) == 1 and steps[0]:
        return True  # of a table that was filtered
    begins = numbers.to_numpy(zero_copy_only=False)[1:][np.abs(steps) != 1]
    if name in _NAMELESS and len(begins) and (begins == numbers[0].as_py()).all():
        return True  # of tables that were put together
    return bool((steps == 1).all() or (steps == -1).all())


def without_signs(columns: Columns) -> tuple[Columns, dict[str, str]]:
    """Return columns without what stands beside their numbers alike: a sign of money or percent.

    A minus as typesetters write it becomes a plain one.

    Returns:
        The columns, and by name the sign of those that had one.
    """
    found, signs = dict(columns), {}
    for role, column in columns.items():
        if not role.startswith("=") or not pa.types.is_large_string(column.type):
            continue
        found[role], sign = bare(column)
        if sign:
            signs[role.removeprefix("=")] = sign
    return found, signs


def bare(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, str]:
    """Return a column of text without the sign beside its numbers, and that; empty where there is none."""
    plain = pc.replace_substring(column, "\u2212", "-")
    if is_numeric(plain):
        return plain, ""
    without = pc.replace_substring_regex(plain, _BEFORE, "")
    without = pc.replace_substring_regex(without, _AFTER, "")
    told = [text for text in ("$", "€", "£", "¥", "%") if _has(plain, text)]
    return (without, told[0]) if len(told) == 1 and is_numeric(without) else (plain, "")


def _has(column: pa.ChunkedArray, text: str) -> bool:
    return bool(pc.any(pc.match_substring(column, text), min_count=0).as_py())


def without_empty_end(columns: Columns) -> Columns:
    """Return columns without the rows at the end in which no cell is filled, as spreadsheets leave them."""
    last = 0
    for column in columns.values():
        filled = np.flatnonzero(~_empty(column))
        last = max(last, int(filled[-1]) + 1 if len(filled) else 0)
        if last == len(column):
            return columns
    return {role: column.slice(0, last) for role, column in columns.items()}


def _empty(column: pa.ChunkedArray) -> np.ndarray:
    texts = column.combine_chunks()
    if pa.types.is_large_string(texts.type):
        empty = is_missing(texts)
    else:
        empty = texts.is_null(nan_is_null=pa.types.is_floating(texts.type))
    return np.asarray(empty.to_numpy(zero_copy_only=False), bool)
