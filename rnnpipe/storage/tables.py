"""Columns of a CSV or parquet file that somebody else wrote, checked, and no cell of it shown."""

import csv
import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from rnnpipe.errors import SourceError, quoted

# A row of a CSV has to fit into a block, and a review may be a book.
_BLOCK_BYTES = 64 << 20
_BUFFER_BYTES = 1 << 20  # of each parquet column
_BATCH_ROWS = 5_000


def column_names(table: Path) -> list[str]:
    """Name the columns of a ``.csv`` or ``.parquet`` file, in their order.

    Raises:
        SourceError: as :func:`read_batches`.
    """
    match table.suffix.lower():
        case ".csv":
            return _csv_header(table)
        case ".parquet":
            with _parquet_faults(table):
                return list(pq.read_schema(table).names)
        case other:
            raise _wrong_kind(table, other)


def read_columns(
    table: Path,
    columns: Mapping[str, str],
    *,
    advice: str,
    blank_lines: bool = False,
    times: bool = False,
) -> dict[str, pa.ChunkedArray]:
    """Read some columns of a table at once: what :func:`read_batches` gives, end to end."""
    batches = list(
        read_batches(table, columns, advice=advice, blank_lines=blank_lines, times=times)
    )
    return {
        role: pa.chunked_array(
            [batch[role] for batch in batches], None if batches else pa.large_string()
        )
        for role in columns
    }


def read_batches(
    table: Path,
    columns: Mapping[str, str],
    *,
    advice: str,
    blank_lines: bool = False,
    times: bool = False,
) -> Iterator[dict[str, pa.Array]]:
    """Read some columns of a table, some thousand rows at a time.

    Args:
        table: a ``.csv`` (UTF-8, commas) or ``.parquet`` file.
        columns: the columns' names by their role.
        advice: what to do about a missing column; ``{role}`` in it is filled in.
        blank_lines: whether an empty line of a CSV is a row (of one empty cell).
        times: whether a parquet column may hold dates or times, which come as they are.

    Returns:
        Batches in the order of the rows; by role, ``large_string[n]``; from parquet also
        numbers and truth values as they are. A table without rows gives no batch.

    Raises:
        SourceError: the file is missing, of another kind, broken, or lacks a column.
    """
    match table.suffix.lower():
        case ".csv":
            return _read_csv(table, columns, advice, blank_lines)
        case ".parquet":
            return _read_parquet(table, columns, advice, times)
        case other:
            raise _wrong_kind(table, other)


def _wrong_kind(table: Path, suffix: str) -> SourceError:
    return SourceError(f"{table}: found a {suffix or 'nameless'} file, expected .csv or .parquet")


def _read_csv(
    table: Path, columns: Mapping[str, str], advice: str, blank_lines: bool
) -> Iterator[dict[str, pa.Array]]:
    _check_columns(table, _csv_header(table), columns, advice)
    names = list(dict.fromkeys(columns.values()))
    first_row = 0
    try:
        batches = pa.csv.open_csv(
            table,
            read_options=pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=pa.csv.ParseOptions(
                newlines_in_values=True, ignore_empty_lines=not blank_lines
            ),
            convert_options=pa.csv.ConvertOptions(
                include_columns=names,
                column_types=dict.fromkeys(names, pa.binary()),
                strings_can_be_null=False,
            ),
        )
        for rows in batches:
            yield {
                role: _utf8(table, rows[name], name, first_row) for role, name in columns.items()
            }
            first_row += len(rows)
    except pa.ArrowInvalid as error:
        # Arrow's message quotes the row, which holds a review: take the numbers only.
        faults = re.search(r"(Row #\d+: )?Expected \d+ columns, got \d+", str(error))
        reason = f" ({faults[0]}; the header is row #1)" if faults else ""
        raise SourceError(
            f"{table} is no CSV that can be read{reason}: expected commas between the columns,"
            " double quotes around a text with commas or line breaks"
        ) from None


def _csv_header(table: Path) -> list[str]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except FileNotFoundError:
        raise SourceError(f"{table} is not here: check the path") from None
    except UnicodeDecodeError:
        raise SourceError(f"{table} is not UTF-8: save it as UTF-8") from None
    except csv.Error:
        raise SourceError(f"{table} has no header that can be read: expected one of text") from None


def _read_parquet(
    table: Path, columns: Mapping[str, str], advice: str, times: bool
) -> Iterator[dict[str, pa.Array]]:
    first_row = 0
    with _parquet_faults(table):
        _check_columns(table, pq.read_schema(table).names, columns, advice)
        names = list(dict.fromkeys(columns.values()))
        # A row group may hold the whole table: it is read through a buffer, not at once. Asked
        # for all row groups, Arrow keeps the bytes of each one until the last is read.
        with pq.ParquetFile(table, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            for group in range(file.num_row_groups):
                for rows in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=names):
                    yield {
                        role: rows[name]
                        if times and pa.types.is_temporal(rows[name].type)
                        else _decoded(table, rows[name], name, first_row)
                        for role, name in columns.items()
                    }
                    first_row += len(rows)


@contextmanager
def _parquet_faults(table: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise SourceError(f"{table} is not here: check the path") from None
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise SourceError(
            f"{table} is no parquet file that can be read: write it anew, or use CSV"
        ) from None


def _check_columns(table: Path, found: list[str], columns: Mapping[str, str], advice: str) -> None:
    for role, name in columns.items():
        if found.count(name) == 1:
            continue
        shown = ", ".join(quoted(column) for column in found[:20]) or "none"
        if name in found:
            raise SourceError(f"{table} has more than one column {name!r}; found: {shown}")
        near = difflib.get_close_matches(name, found, n=1)
        hint = f"did you mean {quoted(near[0])}? " if near else ""
        raise SourceError(
            f"{table} has no column {name!r}; {hint}found: {shown}. {advice.format(role=role)}"
        )


def _decoded(table: Path, column: pa.Array, name: str, first_row: int) -> pa.Array:
    """A parquet column without its dictionary, its strings in one type."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _decoded(table, column.cast(kind.value_type), name, first_row)
    if any(
        test(kind)
        for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    ):
        return column.cast(pa.large_string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return _utf8(table, column, name, first_row)
    if any(
        test(kind)
        for test in (
            pa.types.is_integer,
            pa.types.is_floating,
            pa.types.is_boolean,
            pa.types.is_null,
        )
    ):
        return column
    raise SourceError(f"{table}: column {name!r} holds {kind}, expected text, numbers or booleans")


def _utf8(table: Path, column: pa.Array, name: str, first_row: int) -> pa.Array:
    try:
        return column.cast(pa.large_string())
    except pa.ArrowInvalid:
        pass
    for row, value in enumerate(column.to_pylist(), first_row):
        try:
            (value or b"").decode()
        except UnicodeDecodeError as error:
            raise SourceError(
                f"{table}, row {row}, column {name!r}: not UTF-8 at byte {error.start:,}:"
                " save the file as UTF-8"
            ) from None
    raise AssertionError("Arrow and Python disagree about UTF-8")
