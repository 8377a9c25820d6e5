"""How a table is written, where nobody says so: guessed where there is but one reading."""

import codecs
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from rnnpipe.errors import SourceError, shown
from rnnpipe.storage.csv_format import (
    FORMATS,
    CsvFormat,
    encoding_of,
    open_table,
    resolved,
    utf16_without_mark,
)
from rnnpipe.storage.tables import column_names, kind_of, read_batches, require_table

_PIECE = 1 << 20
_HEAD = 1 << 16
_WESTERN = "cp1252"
# Of the letters of a Western European text, a tenth has an accent; of a Greek or Cyrillic one all.
_MOST_ACCENTED = 0.25
_NO_LETTERS = bytes(code for code in range(256) if not chr(code).isalpha() or code > 127)
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class Writing:
    """How a table is written.

    Attributes:
        csv_format: what the parameters have to say of it.
        told: what was found, in words.
        why: of ``quoting``, ``escape`` and ``encoding``, those that were guessed: why so.
    """

    csv_format: CsvFormat
    told: str
    why: dict[str, str]


def writing_of(
    table: Path, quoting: str | None = None, escape: str | None = None, encoding: str | None = None
) -> Writing:
    """Find how a table is written.

    Args:
        table: the file.
        quoting: as the parameter of this name, where a person says it; else it is guessed, like
            the other two.
        escape: likewise.
        encoding: likewise.

    Raises:
        SourceError: it cannot be read in any way, or in several.
    """
    if kind_of(table) != ".csv":
        require_table(table)
        return Writing(CsvFormat(), {".jsonl": "JSON lines"}.get(kind_of(table), "parquet"), {})
    why: dict[str, str] = {}
    if encoding is None:
        encoding, why["encoding"] = _encoding(table)
    formats = [
        CsvFormat(each.quoting, each.escape, encoding)
        for each in FORMATS
        if quoting in (None, each.quoting) and escape in (None, each.escape)
    ]
    if quoting == "none" and escape == "backslash":  # nobody guesses so
        formats = [CsvFormat("none", "backslash", encoding)]
    found = _one_reading(table, formats)
    if found.quoting == "none" and quoting is None:
        why["quoting"] = "quotes stand in the texts as signs: read otherwise they swallow rows"
    if found.escape == "backslash" and escape is None:
        why["escape"] = 'it writes \\" for a quote within a text'
    return Writing(found, _told(table, found), why)


def _one_reading(table: Path, formats: list[CsvFormat]) -> CsvFormat:
    """The first format that reads a table, which is the plain one, or the only other one."""
    fits: list[CsvFormat] = []
    refused: SourceError | None = None
    for csv_format in formats:
        try:
            require_table(table, csv_format=csv_format)
        except SourceError as error:
            refused = refused or error
            continue
        if csv_format == CsvFormat(encoding=csv_format.encoding):
            return csv_format  # as the standard has it
        fits.append(csv_format)
    if not fits:
        assert refused is not None
        raise refused
    if len(fits) > 1:
        # Quotes around whole texts are no signs of theirs.
        fits = [each for each in fits if each.quoting != "none" or not _wrapped(table, each)]
    if len(fits) > 1:
        raise SourceError(
            f'{shown(table)} has two readings: \\" as a quote within quotes (--escape backslash), or'
            " quotes and backslashes as signs like any other (--quoting none); say which by one of"
            " these"
        )
    return fits[0]


def _wrapped(table: Path, csv_format: CsvFormat) -> bool:
    """Whether cells that begin and end with a quote stand in it, read so."""
    names = column_names(table, csv_format)
    columns = {name: name for name in names if names.count(name) == 1}
    for batch in read_batches(table, columns, advice="", csv_format=csv_format):
        for column in batch.values():
            if any(len(c or "") > 1 and c[0] == c[-1] == '"' for c in column.to_pylist()):
                return True
    return False


def _encoding(table: Path) -> tuple[str, str]:
    """The encoding of a file, and why it is read so: empty where UTF-8 or its mark says it."""
    start = b"".join(_pieces(table, most=_HEAD))
    if encoding_of(start, CsvFormat()) == "utf-16":
        return "utf-8", ""  # its mark is known without a parameter
    if name := utf16_without_mark(start):
        return name, "each second byte is zero, and no mark says so"
    if _is(table, "utf-8"):
        return "utf-8", ""
    if _is(table, _WESTERN) and _accented(table) <= _MOST_ACCENTED:
        return (
            _WESTERN,
            "it is no UTF-8, and few of its letters have accents: a Western European file",
        )
    raise SourceError(
        f"{shown(table)} is no UTF-8, and its letters may be of several encodings; expected one to be"
        " named: --encoding cp1251 (Cyrillic), cp1250 (Central European), gb18030 (Chinese), shift_jis"
        " (Japanese), cp949 (Korean), cp1256 (Arabic), …"
    )


def _is(table: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for piece in _pieces(table):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _accented(table: Path) -> float:
    """The share of letters that are no ASCII."""
    high = letters = 0
    for piece in _pieces(table):
        here = len(piece.translate(None, delete=bytes(range(128))))
        high += here
        letters += here + len(piece.translate(None, delete=_NO_LETTERS))
    return high / max(1, letters)


def _pieces(table: Path, most: int | None = None) -> Iterator[bytes]:
    with closing(open_table(table)) as file:
        if most is not None:
            yield file.read(most)
            return
        while piece := file.read(_PIECE):
            yield piece


def own_format(table: Path, csv_format: CsvFormat) -> CsvFormat:
    """Return a CSV's format with what the file says itself: its encoding and its separator."""
    start = b"".join(_pieces(table, most=_HEAD))
    encoding = encoding_of(start, csv_format)
    own = resolved(csv_format, table, start.decode(encoding, "replace"))
    return replace(own, encoding=encoding)


def _told(table: Path, csv_format: CsvFormat) -> str:
    own = own_format(table, csv_format)
    encoding = own.encoding
    packed = ", packed by gzip" if table.suffix.lower() == ".gz" else ""
    sep = f", as its first line says (sep={own.separator})" if own.lines_before else ""
    separator = _SEPARATORS.get(own.separator, repr(own.separator))
    quotes = "; quotes are signs of the texts" if csv_format.quoting == "none" else ""
    quotes += '; \\" is a quote within a text' if csv_format.escape == "backslash" else ""
    name = encoding.removesuffix("-sig").upper() if encoding.startswith("utf") else encoding
    return f"CSV{packed}; {separator} between the columns{sep}; {name}{quotes}"
