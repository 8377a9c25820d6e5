"""How a CSV is written: separators, packing, encoding, and quotes.

A quote in the wrong place makes many rows one, in silence; a separator is guessed where there is but
one reading.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow.csv

from rnnpipe.errors import SourceError, quoted, shown
from rnnpipe.storage.packing import open_unpacked

_LONGEST_CELL = 64 << 20  # as large as a row may be
_PIECE = 1 << 20
_FIRST_ROWS = 20  # that say whether a separator is one
# Text packs to a tenth of its size, hardly to a thousandth; constant columns of a small file may.
MAX_UNPACKED_BYTES = 16 << 30
MAX_UNPACKED_RATIO = 1_000
FREELY_UNPACKED_BYTES = 256 << 20


@dataclass(frozen=True)
class CsvFormat:
    """The parameters ``quoting``, ``escape`` and ``encoding``, and what the file itself says.

    Attributes:
        quoting: ``double``: double quotes around a text with commas or line breaks; ``none``: a
            quote is a sign like any other.
        escape: what makes the next sign a part of the text; within quotes a quote may be written
            twice in either case.
        encoding: by Python's name, such as ``cp1252``; a file that begins with UTF-16's mark is read
            as that.
        separator: between two cells.
        lines_before: lines above the header: Excel's ``sep=;``.
    """

    quoting: Literal["double", "none"] = "double"
    escape: Literal["none", "backslash"] = "none"
    encoding: str = "utf-8"
    separator: str = ","
    lines_before: int = 0

    def read_options(self, block_bytes: int) -> pyarrow.csv.ReadOptions:
        """Return what tells Arrow of encoding and lines to leave out."""
        return pyarrow.csv.ReadOptions(
            use_threads=False,
            block_size=block_bytes,
            encoding=self.encoding,
            skip_rows=self.lines_before,
        )

    def parse_options(self) -> pyarrow.csv.ParseOptions:
        """Return what tells Arrow so."""
        return pyarrow.csv.ParseOptions(
            delimiter=self.separator,
            quote_char='"' if self.quoting == "double" else False,
            escape_char="\\" if self.escape == "backslash" else False,
            newlines_in_values=self.quoting == "double" or self.escape == "backslash",
            ignore_empty_lines=True,
        )

    def reader(self, lines: Iterator[str] | IO[str], strict: bool = False) -> Any:
        """Return Python's reader of the same format."""
        return csv.reader(
            lines,
            delimiter=self.separator,
            quoting=csv.QUOTE_MINIMAL if self.quoting == "double" else csv.QUOTE_NONE,
            escapechar="\\" if self.escape == "backslash" else None,
            strict=strict,
        )


PLAIN = CsvFormat()
FORMATS = (PLAIN, CsvFormat(escape="backslash"), CsvFormat(quoting="none"))


def resolved(csv_format: CsvFormat, table: Path, text: str) -> CsvFormat:
    """Return a format with what a file says itself of its separator.

    Args:
        csv_format: what is said of it.
        table: its path; ``.tsv`` means tabs.
        text: its beginning, the header among it.
    """
    first, _, _ = text.lstrip("\ufeff").partition("\n")
    if named := re.fullmatch(r'"?sep=(.)"?\r?', first, re.IGNORECASE):
        return replace(csv_format, separator=named[1], lines_before=1)
    if ".tsv" in [suffix.lower() for suffix in table.suffixes]:
        return replace(csv_format, separator="\t")
    found = [replace(csv_format, separator=sign) for sign in (";", "\t", "|") if sign in first]
    # A name may hold the others.
    if found and "," in first and not _fits(csv_format, text):
        found = [each for each in found if _fits(each, text)]
    elif "," in first:
        return csv_format
    return found[0] if len(found) == 1 else csv_format


def _fits(csv_format: CsvFormat, text: str) -> bool:
    """Whether the first rows have as many cells as the header."""
    rows = csv_format.reader(io.StringIO(text[:_PIECE].lstrip("\ufeff"), newline=""))
    try:
        # Without the last one: it may be cut.
        widths = {len(cells) for cells in list(islice(filter(None, rows), _FIRST_ROWS))[:-1]}
    except csv.Error:
        return False
    return len(widths) == 1


def encoding_of(start: bytes, csv_format: CsvFormat) -> str:
    """Return the encoding of a file by its first bytes, where they say it, else what is said of it."""
    try:
        codecs.lookup(csv_format.encoding)
    except LookupError:
        raise SourceError(
            f"found the encoding {quoted(csv_format.encoding)}, which nobody knows; expected one such as"
            " utf-8, cp1252 or latin-1"
        ) from None
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig" if csv_format.encoding == "utf-8" else csv_format.encoding


def utf16_without_mark(start: bytes) -> str | None:
    """Return the name of UTF-16 in that order of bytes in which a file begins, if it does so.

    >>> utf16_without_mark("text,label".encode("utf-16-be")), utf16_without_mark(b"text,label")
    ('utf-16-be', None)
    """
    # Of ASCII in UTF-16 each second byte is zero.
    even, odd = start[::2].count(0), start[1::2].count(0)
    if max(even, odd) > len(start) / 8 > 4 * min(even, odd):
        return "utf-16-le" if odd > even else "utf-16-be"
    return None


def open_table(table: Path) -> IO[bytes]:
    """Open a table that may be packed by gzip, as its suffix says, within bounds.

    Raises:
        SourceError: while it is read: it unfolds to far more than it holds.
    """
    if table.suffix.lower() != ".gz":
        return table.open("rb")
    return io.BufferedReader(_Bounded(table), _PIECE)


class _Bounded(io.RawIOBase):
    """What a packed table unfolds to, up to what an honest one does."""

    def __init__(self, table: Path) -> None:
        self._table, self._file, self._bytes = table, open_unpacked(table), 0
        self._most = max(FREELY_UNPACKED_BYTES, MAX_UNPACKED_RATIO * table.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._file.read(len(buffer))
        self._bytes += len(content)
        if self._bytes > min(self._most, MAX_UNPACKED_BYTES):
            raise SourceError(
                f"{shown(self._table)} unpacks to more than {self._most:,} bytes: expected a table that"
                " is as large as it looks; it is not read on"
            )
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


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
        with io.TextIOWrapper(
            open_table(table), _bytewise(csv_format.encoding), "replace", newline=""
        ) as file:
            for _ in range(csv_format.lines_before):
                file.readline()
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


def _bytewise(encoding: str) -> str:
    return encoding if encoding.startswith("utf-16") else "latin-1"


def _holds(table: Path, what: bytes) -> bool:
    with open_table(table) as file:
        end = b""
        while piece := file.read(_PIECE):
            if what in end + piece:
                return True
            end = piece[-(len(what) - 1) :] if len(what) > 1 else b""
    return False
