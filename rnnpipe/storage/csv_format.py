"""How a CSV writes quotes: a quote in the wrong place makes many rows one, in silence."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow.csv

from rnnpipe.errors import SourceError, shown

_LONGEST_CELL = 64 << 20  # as large as a row may be
_PIECE = 1 << 20


@dataclass(frozen=True)
class CsvFormat:
    """The parameters ``quoting`` and ``escape``.

    Attributes:
        quoting: ``double``: double quotes around a text with commas or line breaks; ``none``: a
            quote is a sign like any other.
        escape: what makes the next sign a part of the text; within quotes a quote may be written
            twice in either case.
    """

    quoting: Literal["double", "none"] = "double"
    escape: Literal["none", "backslash"] = "none"

    def parse_options(self) -> pyarrow.csv.ParseOptions:
        """Return what tells Arrow so."""
        return pyarrow.csv.ParseOptions(
            quote_char='"' if self.quoting == "double" else False,
            escape_char="\\" if self.escape == "backslash" else False,
            newlines_in_values=self.quoting == "double" or self.escape == "backslash",
            ignore_empty_lines=True,
        )

    def reader(self, lines: Iterator[str] | IO[str], strict: bool = False) -> Any:
        """Return Python's reader of the same format."""
        return csv.reader(
            lines,
            quoting=csv.QUOTE_MINIMAL if self.quoting == "double" else csv.QUOTE_NONE,
            escapechar="\\" if self.escape == "backslash" else None,
            strict=strict,
        )


PLAIN = CsvFormat()
FORMATS = (PLAIN, CsvFormat(escape="backslash"), CsvFormat(quoting="none"))


def header_of(text: IO[str], csv_format: CsvFormat) -> list[str]:
    """Return the cells of the first row; none where there is no row."""
    header: list[str] = next(csv_format.reader(text), [])
    return header


def require_quotes_in_place(table: Path, csv_format: CsvFormat) -> None:
    """Refuse a CSV with a quote that neither ends a text nor is written as a part of it.

    Readers take such a quote for the end of a text that began rows before, or for a part of one,
    each in its way: rows are swallowed, or say what nobody wrote.

    Args:
        table: the file.
        csv_format: how it is said to write quotes.

    Raises:
        SourceError: names the row, counted from 0 below the header, and its lines.
    """
    if csv_format.quoting == "none" or not _holds(table, b'"'):
        return
    limit = csv.field_size_limit(_LONGEST_CELL)
    row, first_line = -1, 1
    try:
        # Each byte a sign: what is no ASCII is of no account here.
        with table.open(encoding="latin-1", newline="") as file:
            reader = csv_format.reader(file, strict=True)
            for cells in reader:
                row += bool(cells)  # a blank line is no row
                first_line = reader.line_num + 1
    except csv.Error as error:
        if "field larger" in str(error):
            raise
        never = "unexpected end" in str(error)
        found = (
            "opens a double quote that is never closed"
            if never
            else ("holds a double quote that neither ends a text nor is written twice")
        )
        last = reader.line_num
        lines = f"line {first_line:,}" + (f" to {last:,}" if last > first_line else "")
        escaped = csv_format.escape == "none" and _holds(table, b'\\"')
        advice = (
            'set prepare.escape: backslash (--escape backslash), for it holds \\" too'
            if (escaped)
            else "mend the row, or set prepare.quoting: none (--quoting none) where quotes are signs"
        )
        raise SourceError(
            f"{shown(table)}, row {row} ({lines}), {found}; expected quotes around a whole text, and"
            f" those within written twice: {advice}"
        ) from None
    finally:
        csv.field_size_limit(limit)


def _holds(table: Path, what: bytes) -> bool:
    with table.open("rb") as file:
        end = b""
        while piece := file.read(_PIECE):
            if what in end + piece:
                return True
            end = piece[-(len(what) - 1) :] if len(what) > 1 else b""
    return False
