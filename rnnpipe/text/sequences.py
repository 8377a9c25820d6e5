"""Sequences as they are stored: a table of rows beside their token ids, split by split."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rnnpipe.text.tokens import Ragged, StoredIds

SPLITS = ("train", "validation", "test", "unlabelled")


@dataclass(frozen=True)
class Split:
    """The sequences of one split.

    Attributes:
        ids: the reviews' ids, ``n`` of them.
        labels: ``int8[n]``; -1 where there is none.
        sequences: their token ids, ragged; they stay on disk.
    """

    ids: list[str]
    labels: NDArray[np.int8]
    sequences: Ragged

    def __len__(self) -> int:
        return len(self.ids)


def open_sequences(folder: Path) -> tuple[pd.DataFrame, Ragged]:
    """Open a folder written by :func:`build_sequences`; token ids stay on disk.

    Returns:
        A table of id, split and label (missing where there is none), sorted by split, and the
        token ids of the same rows.
    """
    table = pq.read_table(
        folder / "index.parquet", columns=["id", "split", "label"], read_dictionary=["split"]
    )
    index = table.to_pandas(types_mapper={pa.string(): pd.ArrowDtype(pa.string())}.get)
    values = StoredIds.open(folder / "token_ids.npy").as_values()
    return index, Ragged(values, np.load(folder / "offsets.npy"))


def load_split(folder: Path, name: str) -> Split:
    """Open one split of a folder written by :func:`build_sequences`; token ids stay on disk."""
    index, everything = open_sequences(folder)
    rows = np.flatnonzero(index["split"] == name)  # one run: the table is sorted by split
    first, last = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
    offsets = everything.offsets[first : last + 1]
    values = StoredIds.open(folder / "token_ids.npy").between(int(offsets[0]), int(offsets[-1]))
    return Split(
        index["id"].iloc[first:last].tolist(),
        index["label"].iloc[first:last].fillna(-1).to_numpy(np.int8),
        Ragged(values.as_values(), offsets - offsets[0]),
    )
