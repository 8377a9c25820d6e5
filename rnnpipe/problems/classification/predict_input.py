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
    if file == "-":
        try:
            lines = [line.rstrip("\r\n") for line in sys.stdin]
        except UnicodeDecodeError as error:
            raise SourceError(f"standard input is not UTF-8: {error.reason}") from None
        require_utf8(lines, "line")
        return lines
    advice = "Name the text column with --column"
    texts = read_columns(Path(file), {"text": column}, advice=advice, csv_format=csv_format)["text"]
    return [text or "" for text in texts.cast(pa.large_string()).to_pylist()]
