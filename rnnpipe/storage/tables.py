"""Columns of a table that somebody else wrote, checked, and no cell of it shown."""

import codecs
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from rnnpipe.errors import SourceError, shown
from rnnpipe.storage.csv_format import (
    FORMATS,
    FREELY_UNPACKED_BYTES,
    MAX_UNPACKED_BYTES,
    MAX_UNPACKED_RATIO,
    PLAIN,
    CsvFormat,
    encoding_of,
    open_table,
    require_quotes_in_place,
    resolved,
)
from rnnpipe.storage.reading import reading
from rnnpipe.storage.table_checks import (
    check_columns,
    check_kind,
    check_rows,
    check_unpacked,
    check_width,
    decoded,
    one_kind_each,
    utf8,
)

MAX_HEADER_BYTES = 1 << 20  # of a CSV

# A row of a CSV has to fit into a block, and a review may be a book.
_BLOCK_BYTES = 64 << 20
_BUFFER_BYTES = 1 << 20  # of each parquet column
_BATCH_ROWS = 5_000
_BATCH_BYTES = 256 << 20
_MAX_THRIFT_ITEMS = 100_000  # of a list in a parquet's footer: columns, groups of rows

_NO_CSV = (
    "is no CSV that can be read: expected commas between the columns, double quotes around a text"
    " with commas or line breaks, and rows of at most 64 MiB"
)
_NO_JSON = (
    "is no JSON lines that can be read: expected an object a line, each key with one kind of value"
)
_NO_PARQUET = "is no parquet file that can be read: write it anew, or use CSV"


def column_names(table: Path, csv_format: CsvFormat = PLAIN) -> list[str]:
    """Name the columns of a table, in their order.

    Raises:
        SourceError: as :func:`read_batches`.
    """
    match kind_of(table):
        case ".csv":
            return _csv_header(table, csv_format)[0]
        case ".parquet":
            with reading(table, _NO_PARQUET), _opened(table) as file:
                return list(file.schema_arrow.names)
        case ".jsonl":
            return next((list(block.schema.names) for block in _json_blocks(table)), [])
        case other:
            raise _wrong_kind(table, other)


def readable_columns(table: Path, csv_format: CsvFormat = PLAIN) -> list[str]:
    """Name the columns that can be read: not those that share a name, nor of lists and structures.

    Raises:
        SourceError: as :func:`read_batches`.
    """
    names = column_names(table, csv_format)
    names = [name for name in names if names.count(name) == 1]
    if kind_of(table) == ".csv":
        return names
    if kind_of(table) == ".jsonl":
        schema = next((block.schema for block in _json_blocks(table)), pa.schema([]))
    else:
        with reading(table, _NO_PARQUET), _opened(table) as file:
            schema = file.schema_arrow
    found = []
    for name in names:
        with suppress(SourceError):
            check_kind(table, name, schema.field(name).type, times=True)
            found.append(name)
    return found


def require_table(table: Path, any_quotes: bool = False, csv_format: CsvFormat = PLAIN) -> None:
    """Refuse what no problem can take for a table: it has two columns or more, and rows.

    Of a CSV all rows are counted and have as many cells as the header; of a parquet file the cells
    are not read.

    Args:
        table: the file.
        any_quotes: whether a CSV may write quotes in any of the ways that parameters can name.
        csv_format: the one that it is in; of ``any_quotes`` its encoding alone.

    Raises:
        SourceError: as :func:`read_batches`.
    """
    try:
        _require_table(table, csv_format)
    except SourceError:
        if not any_quotes or kind_of(table) != ".csv":
            raise
        for other in FORMATS[1:]:
            with suppress(SourceError):
                _require_table(table, replace(other, encoding=csv_format.encoding))
                return
        raise


def _require_table(table: Path, csv_format: CsvFormat) -> None:
    names = column_names(table, csv_format)
    if len(names) < 2:
        raise SourceError(f"{shown(table)} has {len(names)} columns, expected at least 2")
    if kind_of(table) == ".csv":
        name = next((name for name in names if names.count(name) == 1), names[0])
        check_columns(table, names, {"": name}, advice="")
        found = _csv_header(table, csv_format)[1]
        rows = sum(map(len, _csv_rows(table, [name], found)))
    elif kind_of(table) == ".jsonl":
        rows = sum(map(len, _json_blocks(table)))
    else:
        with reading(table, _NO_PARQUET), _opened(table) as file:
            rows = file.metadata.num_rows
    if not rows:
        raise SourceError(f"{shown(table)} has no rows below its header")


def read_columns(
    table: Path,
    columns: Mapping[str, str],
    *,
    advice: str,
    times: bool = False,
    csv_format: CsvFormat = PLAIN,
) -> dict[str, pa.ChunkedArray]:
    """Read some columns of a table at once: what :func:`read_batches` gives, end to end."""
    batches = list(read_batches(table, columns, advice=advice, times=times, csv_format=csv_format))
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
    times: bool = False,
    csv_format: CsvFormat = PLAIN,
) -> Iterator[dict[str, pa.Array]]:
    """Read some columns of a table, some thousand rows at a time; blank lines of a CSV are no rows.

    Args:
        table: a file of any of :data:`rnnpipe.storage.addresses.TABLE_SUFFIXES`.
        columns: the columns' names by their role.
        advice: what to do about a missing column; ``{role}`` in it is filled in.
        times: whether a parquet column may hold dates or times, which come as they are.
        csv_format: how a CSV is written.

    Returns:
        Batches in the order of the rows; by role, ``large_string[n]``; from parquet also
        numbers and truth values as they are. A table without rows gives no batch.

    Raises:
        SourceError: the file is missing, of another kind, broken, or lacks a column.
    """
    match kind_of(table):
        case ".csv":
            return _read_csv(table, columns, advice, csv_format)
        case ".parquet":
            return _read_parquet(table, columns, advice, times)
        case ".jsonl":
            return _read_json_lines(table, columns, advice)
        case other:
            raise _wrong_kind(table, other)


def _wrong_kind(table: Path, suffix: str) -> SourceError:
    return SourceError(
        f"{shown(table)}: found a {shown(suffix) or 'nameless'} file, expected .csv, .tsv, .jsonl"
        " (also with .gz) or .parquet"
    )


def kind_of(table: Path) -> str:
    """Return ``.csv`` for a table in text, packed or not, else the suffix."""
    suffixes = [suffix.lower() for suffix in table.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
        if suffixes[-1:] not in ([".csv"], [".tsv"], [".jsonl"]):
            return ".gz"
    found = suffixes[-1] if suffixes else ""
    return ".csv" if found == ".tsv" else found


def _read_csv(
    table: Path, columns: Mapping[str, str], advice: str, csv_format: CsvFormat
) -> Iterator[dict[str, pa.Array]]:
    header, csv_format = _csv_header(table, csv_format)
    check_columns(table, header, columns, advice)
    first_row = 0
    for rows in _csv_rows(table, list(dict.fromkeys(columns.values())), csv_format):
        yield {role: utf8(table, rows[name], name, first_row) for role, name in columns.items()}
        first_row += len(rows)


def _csv_rows(table: Path, names: list[str], csv_format: CsvFormat) -> Iterator[pa.RecordBatch]:
    """Yield some columns as bytes, at most :data:`_BATCH_ROWS` rows at a time."""
    rows = 0
    with reading(table, _NO_CSV):
        # First: a quote that stands wrongly makes many rows one, which then says something else.
        require_quotes_in_place(table, csv_format)
        try:
            blocks = pa.csv.open_csv(
                open_table(table) if table.suffix.lower() == ".gz" else table,
                read_options=csv_format.read_options(_BLOCK_BYTES),
                parse_options=csv_format.parse_options(),
                convert_options=pa.csv.ConvertOptions(
                    include_columns=names,
                    column_types=dict.fromkeys(names, pa.binary()),
                    strings_can_be_null=False,
                ),
            )
            for block in blocks:
                rows += len(block)
                check_rows(table, rows)
                for start in range(0, len(block), _BATCH_ROWS):
                    yield block[start : start + _BATCH_ROWS]
        except pa.ArrowInvalid as error:
            # Arrow's message quotes the row, which holds a review: take the numbers only.
            counted = re.search(r"(Row #\d+: )?Expected \d+ columns, got \d+", str(error))
            if counted is None:
                raise
            raise SourceError(
                f"{shown(table)} {_NO_CSV.replace(':', f' ({counted[0]}; the header is row #1):', 1)}"
            ) from None


def _read_json_lines(
    table: Path, columns: Mapping[str, str], advice: str
) -> Iterator[dict[str, pa.Array]]:
    first_row = 0
    for block in _json_blocks(table):
        check_columns(table, block.schema.names, columns, advice)
        for name in dict.fromkeys(columns.values()):
            check_kind(table, name, block.schema.field(name).type, times=True)
        for start in range(0, len(block), _BATCH_ROWS):
            rows = block[start : start + _BATCH_ROWS]
            batch = {
                role: decoded(table, _without_time(rows[name]), name, first_row)
                for role, name in columns.items()
            }
            yield batch
            first_row += len(rows)


def _json_blocks(table: Path) -> Iterator[pa.RecordBatch]:
    """Yield an object a line as rows; a key that a line lacks is nothing there."""
    rows = 0
    with reading(table, _NO_JSON), one_kind_each(table):
        blocks = pa.json.open_json(
            open_table(table) if table.suffix.lower() == ".gz" else table,
            read_options=pa.json.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        )
        for block in blocks:
            rows += len(block)
            check_rows(table, rows)
            check_width(table, len(block.schema.names))
            yield block


def _without_time(column: pa.Array) -> pa.Array:
    """A text that looks like a time, which Arrow takes for one, as text."""
    return column.cast(pa.string()) if pa.types.is_temporal(column.type) else column


def _csv_header(table: Path, csv_format: CsvFormat) -> tuple[list[str], CsvFormat]:
    """Return the names of the columns, and the format with what the file says of it."""
    with reading(table, "has no header that can be read: expected one of text"):
        with open_table(table) as file:
            start = file.read(MAX_HEADER_BYTES)
            is_all = not file.read(1)
        encoding = encoding_of(start, csv_format)
        # The last character may be cut in two.
        content = _decoded_start(table, start, is_all, encoding)
        encoding = "utf-8" if encoding == "utf-8-sig" else encoding  # Arrow knows the mark
        csv_format = replace(resolved(csv_format, table, content), encoding=encoding)
        text = io.StringIO(content, newline="")
        for _ in range(csv_format.lines_before):
            text.readline()
        names: list[str] = next(csv_format.reader(text), [])
        if not is_all and text.tell() == len(text.getvalue()):
            raise SourceError(
                f"{shown(table)} has a header of more than {MAX_HEADER_BYTES:,} bytes: expected a line"
                " of names with commas between them"
            )
    if any("\0" in name for name in names):
        raise SourceError(
            f"{shown(table)} has zero bytes in its header, expected text: save it as UTF-8, or name its"
            " encoding in prepare.encoding (--encoding), such as utf-16-le"
        )
    check_width(table, len(names))
    return names, csv_format


def _decoded_start(table: Path, start: bytes, is_all: bool, encoding: str) -> str:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        return decoder.decode(start, final=is_all)
    except UnicodeDecodeError:
        raise SourceError(
            f"{shown(table)} is not {encoding.removesuffix('-sig').upper()}: save it as UTF-8, or name its"
            " encoding in prepare.encoding (--encoding), such as cp1252"
        ) from None


def _read_parquet(
    table: Path, columns: Mapping[str, str], advice: str, times: bool
) -> Iterator[dict[str, pa.Array]]:
    first_row = unpacked = 0
    with reading(table, _NO_PARQUET), _opened(table) as file:
        check_columns(table, file.schema_arrow.names, columns, advice)
        names = list(dict.fromkeys(columns.values()))
        for name in names:
            check_kind(table, name, file.schema_arrow.field(name).type, times)
        most = _most_unpacked(table)
        for group in range(file.num_row_groups):
            count = _batch_rows(table, file, group, names, most)
            for rows in file.iter_batches(count, row_groups=[group], columns=names):
                batch = {
                    role: decoded(table, rows[name], name, first_row)
                    for role, name in columns.items()
                }
                first_row += len(rows)
                check_rows(table, first_row)
                unpacked += sum(column.nbytes for column in batch.values())
                check_unpacked(table, unpacked, most)
                yield batch


def _opened(table: Path) -> pq.ParquetFile:
    # A row group may hold the whole table: it is read through a buffer, not at once. Asked for all
    # row groups, Arrow keeps the bytes of each one until the last is read.
    file = pq.ParquetFile(
        table,
        buffer_size=_BUFFER_BYTES,
        pre_buffer=False,
        thrift_container_size_limit=_MAX_THRIFT_ITEMS,
    )
    check_width(table, len(file.schema_arrow.names))
    check_rows(table, file.metadata.num_rows)
    return file


def _most_unpacked(table: Path) -> int:
    freely = max(FREELY_UNPACKED_BYTES, MAX_UNPACKED_RATIO * table.stat().st_size)
    return min(MAX_UNPACKED_BYTES, freely)


def _batch_rows(table: Path, file: pq.ParquetFile, group: int, names: list[str], most: int) -> int:
    """How many rows of a group may be taken into memory at once.

    A value that stands in a file once, in a dictionary or as what others begin with, may stand in
    every row that comes out.
    """
    found = file.metadata.row_group(group)
    chunks = [found.column(at) for at in range(found.num_columns)]
    chunks = [chunk for chunk in chunks if chunk.path_in_schema in names]
    check_unpacked(table, sum(chunk.total_uncompressed_size for chunk in chunks), most)
    row_bytes = 0
    for chunk in chunks:
        if chunk.physical_type != "BYTE_ARRAY":
            row_bytes += 8
        elif "DELTA_BYTE_ARRAY" in chunk.encodings:
            row_bytes += chunk.total_uncompressed_size
        elif chunk.has_dictionary_page:
            row_bytes += _longest_repeated(table, file.metadata, group, chunk.path_in_schema)
        row_bytes += chunk.total_uncompressed_size // max(1, found.num_rows)
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, row_bytes)))


def _longest_repeated(table: Path, metadata: pq.FileMetaData, group: int, name: str) -> int:
    """Bytes of the longest value in a column's dictionary."""
    with pq.ParquetFile(
        table,
        metadata=metadata,
        buffer_size=_BUFFER_BYTES,
        pre_buffer=False,
        read_dictionary=[name],
    ) as file:
        for rows in file.iter_batches(1, row_groups=[group], columns=[name]):
            values = rows[name].dictionary
            return pc.max(pc.binary_length(values)).as_py() or 0
    return 0
