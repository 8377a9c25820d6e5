"""What any table must fulfil while it is read: bounds, columns, kinds of cells, and UTF-8."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from rnnpipe.errors import SourceError, quoted, shown

# What an honest table never reaches; a small file that unfolds to a large one does.
MAX_ROWS = 20_000_000
MAX_COLUMNS = 10_000
_AS_THEY_ARE = ("integer", "floating", "boolean", "null", "temporal")


def place_of(table: Path | str, row: int, names: Iterable[str] = ()) -> str:
    r"""Say where a row stands, as who opens the file counts: lines from 1, the header's among them.

    Args:
        table: its name, which says what kind of file it is.
        row: from 0, the header not counted.
        names: of its columns; one that holds a line break makes the header longer.

    >>> place_of("sales.csv", 0), place_of("sales.parquet", 0), place_of("sales.csv", 999, ["a\nb"])
    ('line 2', 'row 1', 'line 1,002')
    """
    name = str(table).lower()
    if name.endswith(".parquet"):
        return f"row {row + 1:,}"
    if name.endswith((".jsonl", ".jsonl.gz")):
        return f"line {row + 1:,}"
    return f"line {row + 2 + sum(name.count(chr(10)) for name in names):,}"


def check_unpacked(table: Path, found: int, most: int) -> None:
    """Refuse bytes that come out of a table beyond those it may unfold to."""
    if found > most:
        raise SourceError(
            f"{shown(table)} of {table.stat().st_size:,} bytes unpacks to more than {most:,}: expected"
            " a table that is as large as it looks; it is not read on"
        )


def check_rows(table: Path, found: int) -> None:
    """Refuse more than :data:`MAX_ROWS` rows."""
    if found > MAX_ROWS:
        raise SourceError(
            f"{shown(table)} has more than {MAX_ROWS:,} rows, expected at most so many: take a part"
        )


def check_width(table: Path, found: int) -> None:
    """Refuse more than :data:`MAX_COLUMNS` columns."""
    if found > MAX_COLUMNS:
        raise SourceError(
            f"{shown(table)} has {found:,} columns, expected at most {MAX_COLUMNS:,}: take a part"
        )


def listed_columns(names: Iterable[str]) -> str:
    """Return the names of columns for a message, of many the first."""
    listed = ", ".join(map(quoted, list(names)[:20]))
    return f"{listed[:400]}…" if len(listed) > 400 else listed or "none"


def check_columns(table: Path, found: list[str], columns: Mapping[str, str], advice: str) -> None:
    """Require that each column that is asked for is there once.

    Args:
        table: the file.
        found: the names of its columns.
        columns: the names that are asked for, by their role.
        advice: what to do about a missing one; ``{role}`` in it is filled in.

    Raises:
        SourceError: one is missing, or stands there twice.
    """
    for role, name in columns.items():
        if found.count(name) == 1:
            continue
        names = listed_columns(found)
        if name in found:
            raise SourceError(
                f"{shown(table)} has more than one column {quoted(name)}; found: {names}"
            )
        near = difflib.get_close_matches(name, found[:1000], n=1)
        hint = f"did you mean {quoted(near[0])}? " if near else ""
        raise SourceError(
            f"{shown(table)} has no column {quoted(name)}; {hint}found: {names}."
            f" {advice.format(role=role)}"
        )


def _is_any(kind: pa.DataType, *tests: str) -> bool:
    return any(getattr(pa.types, f"is_{test}")(kind) for test in tests)


def check_kind(table: Path, name: str, kind: pa.DataType, times: bool) -> None:
    """Refuse a column of lists, structures and the like, before anything of it is read."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    known = _is_any(
        kind,
        *("string", "large_string", "string_view", "binary", "large_binary", "binary_view"),
        *("integer", "floating", "decimal", "boolean", "null"),
    )
    if not known and not (times and _is_any(kind, "temporal")):
        raise SourceError(
            f"{shown(table)}: column {quoted(name)} holds {shown(kind)}, expected text, numbers or"
            " booleans"
        )


@contextmanager
def one_kind_each(table: Path) -> Iterator[None]:
    """Name the key of JSON lines that holds values of two kinds; Arrow's own words may quote them."""
    try:
        yield
    except pa.ArrowInvalid as error:
        mixed = re.search(r"Column\(/(.+)\) changed from (\w+) to (\w+) in row \d+$", str(error))
        if mixed is None:
            raise
        raise SourceError(
            f"{shown(table)}: the key {quoted(mixed[1])} holds {mixed[2]} in one line and {mixed[3]} in"
            " another; expected one kind of value: write all of them as strings"
        ) from None


def decoded_kind(kind: pa.DataType) -> pa.DataType:
    """Return the type in which :func:`decoded` gives a column of another one."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_decimal(kind):  # as databases write numbers
        return pa.float64()
    return kind if _is_any(kind, *_AS_THEY_ARE) else pa.large_string()


def decoded(table: Path, column: pa.Array, name: str, first_row: int) -> pa.Array:
    """A parquet column without its dictionary, its strings in one type."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_decimal(column.type):
        return column.cast(decoded_kind(column.type))
    if _is_any(column.type, *_AS_THEY_ARE):
        return column
    # Nobody has looked yet whether what a file calls text is UTF-8.
    return utf8(table, column.cast(pa.large_binary()), name, first_row)


def utf8(table: Path, column: pa.Array, name: str, first_row: int) -> pa.Array:
    """Return a column of bytes as text, ``large_string[n]``.

    Raises:
        SourceError: a cell is not UTF-8; names its row.
    """
    try:
        return column.cast(pa.large_string())
    except pa.ArrowInvalid:
        pass
    for row, value in enumerate(column.to_pylist(), first_row):
        try:
            (value or b"").decode()
        except UnicodeDecodeError as error:
            raise SourceError(
                f"{shown(table)}, row {row}, column {quoted(name)}: not UTF-8 at byte {error.start:,}:"
                " save the file as UTF-8, or name a CSV's encoding in prepare.encoding (--encoding),"
                " such as cp1252"
            ) from None
    raise AssertionError("Arrow and Python disagree about UTF-8")
