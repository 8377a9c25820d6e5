"""Texts to judge, from a file or from standard input."""

import sys

import pyarrow as pa

from rnnpipe.errors import SourceError
from rnnpipe.storage.addresses import home_path
from rnnpipe.storage.tables import read_columns


def read_texts(file: str, column: str) -> list[str]:
    """Read the texts of a CSV or parquet file's column, or the lines of standard input (``-``).

    A missing value reads as an empty text, so that the answers stay in step with the rows.

    Raises:
        SourceError: the file is missing, of another kind, broken, or has no such column.
    """
    if file == "-":
        try:
            return [line.rstrip("\r\n") for line in sys.stdin]
        except UnicodeDecodeError as error:
            raise SourceError(f"standard input is not UTF-8: {error.reason}") from None
    advice = "Name the text column with --column"
    texts = read_columns(home_path(file), {"text": column}, advice=advice, blank_lines=True)["text"]
    return [text or "" for text in texts.cast(pa.large_string()).to_pylist()]
