"""Texts to judge, from a file or from standard input."""

import sys
from pathlib import Path

import pyarrow as pa

from rnnpipe.errors import SourceError
from rnnpipe.runtime.encoding import require_utf8
from rnnpipe.storage.csv_format import PLAIN, CsvFormat
from rnnpipe.storage.tables import read_columns


def read_texts(file: str, column: str, csv_format: CsvFormat = PLAIN) -> list[str]:
    """Read the texts of a CSV or parquet file's column, or the lines of standard input (``-``).

    Blank lines are no rows. A missing value reads as an empty text, so that the answers stay in step with the rows.

    Raises:
        SourceError: the file is missing, of another kind, broken, or has no such column.
    """
    return read_rows(file, column, csv_format=csv_format)[0]


def read_rows(
    file: str, column: str, id_column: str | None = None, csv_format: CsvFormat = PLAIN
) -> tuple[list[str], list[str | int | None] | None]:
    """Read texts as :func:`read_texts`, and what each row is called.

    Args:
        file: the file, or ``-``.
        column: of the texts.
        id_column: of what the rows are called by; None where they are only counted.
        csv_format: how a CSV is written.

    Returns:
        The texts, and the names of their rows: whole numbers of a parquet file as they are, all
        else as text, None where one is missing.

    Raises:
        SourceError: as :func:`read_texts`.
    """
    if file == "-":
        if id_column is not None:
            raise SourceError(
                "found an id column for standard input, whose lines have no columns: name a file"
            )
        return _lines(), None
    advice = "Name the text column with --column"
    columns = {"text": column}
    if id_column is not None:
        columns["id"] = id_column
        advice += ", the id column with --id-column"
    found = read_columns(Path(file), columns, advice=advice, csv_format=csv_format)
    texts = [text or "" for text in found["text"].cast(pa.large_string()).to_pylist()]
    if id_column is None:
        return texts, None
    ids = found["id"]
    if not pa.types.is_integer(ids.type):
        ids = ids.cast(pa.large_string())
    return texts, ids.to_pylist()


def _lines() -> list[str]:
    try:
        lines = [line.rstrip("\r\n") for line in sys.stdin]
    except UnicodeDecodeError as error:
        raise SourceError(f"standard input is not UTF-8: {error.reason}") from None
    require_utf8(lines, "line")
    return lines
