"""Texts to judge, from a file or from standard input."""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from rnnpipe.errors import SourceError


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
            raise SourceError(f"standard input is not UTF-8: {error.reason}") from error
    path = Path(file)
    try:
        match path.suffix.lower():
            case ".csv":
                table = pyarrow.csv.read_csv(
                    path,
                    parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
                    convert_options=pyarrow.csv.ConvertOptions(
                        column_types={column: pa.string()}, strings_can_be_null=False
                    ),
                )
            case ".parquet":
                table = pq.read_table(path)
            case other:
                raise SourceError(
                    f"{path}: found a {other or 'nameless'} file, expected .csv or .parquet"
                )
    except FileNotFoundError as error:
        raise SourceError(f"{path} is not here: check the path") from error
    except pa.ArrowInvalid as error:
        raise SourceError(f"{path} cannot be read: {str(error)[:200]}") from error
    if column not in table.column_names:
        raise SourceError(
            f"{path} has the columns {', '.join(table.column_names)}, expected {column}:"
            " name the text column with --column"
        )
    return [text or "" for text in table.column(column).cast(pa.string()).to_pylist()]
