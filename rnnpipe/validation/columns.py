"""Columns of the tables that facts are taken from, read in pieces of bounded memory."""

import contextlib
import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rnnpipe.errors import SourceError

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of glibc's malloc.h
_LARGE_BYTES = 1 << 20


def open_table(path: Path) -> pq.ParquetFile:
    """Open a parquet table; refuse what is none."""
    try:
        return pq.ParquetFile(path, pre_buffer=False)
    except pa.ArrowInvalid as error:
        raise SourceError(
            f"{path} is no readable parquet table ({str(error)[:100]}): run the stage that"
            " writes it again"
        ) from error


def read_table(
    table: pq.ParquetFile, path: Path, types: dict[str, pa.DataType]
) -> dict[str, pa.ChunkedArray | pa.DictionaryArray]:
    """Those columns of ``types`` that are there, one after the other, a row group at a time.

    A text is a number into the distinct ones, which stay in Arrow's memory: as Python's strings
    they would take three times as much. One thread reads, since each keeps memory of its own.
    """
    _give_back_large_blocks()
    columns = {}
    for name in types:
        if name not in table.schema_arrow.names:
            continue
        groups = (
            table.read_row_group(group, columns=[name], use_threads=False)[name]
            for group in range(table.num_row_groups)
        )
        where = f"{path}: column {name}"
        parts = [part for rows in groups for part in cast_column(rows, types[name], where).chunks]
        column = pa.chunked_array(parts, types[name])
        parts.clear()
        texts = types[name] == pa.string()
        columns[name] = column.dictionary_encode().combine_chunks() if texts else column
        del column
        return_memory()
    return columns


def _give_back_large_blocks() -> None:
    """Have a large block of memory returned to the system as soon as it is freed.

    By itself the C library learns, from the first large block, to keep them for later ones, and the
    copies of columns that expectations are tried on lie one above the other. Another library than
    glibc is left as it is.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


def return_memory() -> None:
    """Return to the system what reading took: the library is loaded next, on top of it."""
    pa.default_memory_pool().release_unused()


def to_frame(columns: dict[str, pa.ChunkedArray | pa.DictionaryArray]) -> pd.DataFrame:
    """The columns as a table: nullable integers stay so, ids and films become numbers."""
    kinds = {pa.int8(): pd.Int8Dtype()}
    frame: dict[str, Any] = {}
    for name, column in columns.items():
        match name:
            case "split":
                names = column.dictionary.to_pylist()
                frame[name] = pd.Categorical.from_codes(numbers_of(column), names)
            case "id" | "film":
                numbers = numbers_of(column)
                frame[name] = pd.arrays.IntegerArray(numbers, numbers < 0)
            case _:
                frame[name] = column.to_pandas(types_mapper=kinds.get)
    rows = max(map(len, columns.values()), default=0)
    return pd.DataFrame(frame, index=pd.RangeIndex(rows))


def numbers_of(texts: pa.DictionaryArray) -> NDArray[np.int32]:
    """A number of each row, equal for equal texts; -1 where there is none."""
    found: NDArray[np.int32] = pc.fill_null(texts.indices, -1).to_numpy(zero_copy_only=False)
    return found


def cast_column(column: pa.ChunkedArray, wanted: pa.DataType, where: str) -> pa.ChunkedArray:
    """Return a column in another type; refuse one that cannot be."""
    try:
        return column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        # Arrow's own message may quote a cell.
        raise SourceError(
            f"{where} has type {column.type} and does not fit {wanted}: run the stage that"
            " writes the table again"
        ) from error
