"""Reviews to sequences: who learns from what, and token ids padded a batch at a time.

The standing convention is right-padded and masked: under it a prediction depends neither on
the padded width nor on the batch it rides in.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rnnpipe.files import atomic_directory
from rnnpipe.params import Sequences, Train
from rnnpipe.tokens import (
    CHUNK,
    PADDING_ID,
    UNKNOWN_ID,
    Ragged,
    Vocabulary,
    Words,
    concatenate,
    split_words_in_chunks,
)

SPLITS = ("train", "validation", "test", "unlabelled")
VALIDATION_SHARE = 0.15
_DROPPED = (
    "dropped_train_in_test",
    "dropped_train_contradicting",
    "dropped_train_repeated",
    "dropped_unlabelled_in_test",
    "dropped_unlabelled_repeated",
)
_BUCKET_BATCHES = 64  # batches of like length are cut from a shuffled run of so many


def in_validation(group: str) -> bool:
    """Tell whether a group (film, author, or a text by itself) belongs to validation.

    A fixed hash decides, so a group stays where it is when the data grow, in every problem.
    """
    digest = hashlib.sha256(f"validation:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < VALIDATION_SHARE


@dataclass(frozen=True)
class SequencesReport:
    """What became of the reviews, by number."""

    train: int
    validation: int
    test: int
    unlabelled: int
    dropped_train_in_test: int
    dropped_train_contradicting: int
    dropped_train_repeated: int
    dropped_unlabelled_in_test: int
    dropped_unlabelled_repeated: int
    vocabulary_size: int
    words: int
    unknown_share: dict[str, float]
    length_quantiles: dict[str, int]


def build_sequences(reviews: Path, out: Path, params: Sequences) -> SequencesReport:
    """Divide the reviews, learn the vocabulary from train, and write every split's token ids.

    Test is never altered. What also stands in test, or stands twice, leaves train and the
    unlabelled reviews; where two labels contradict each other, all such reviews leave.

    Args:
        reviews: the table written by ``prepare``.
        out: the folder to write: ``vocabulary.json``, ``index.parquet``, ``token_ids.npy``
            (``int32[total]``), ``offsets.npy`` (``int64[n + 1]``).
        params: how many words, how frequent, counted where.
    """
    table = pq.ParquetFile(reviews)
    rows = table.read(columns=["id", "split", "label", "film", "duplicate_of"]).to_pandas()
    rows["fate"] = _divide(rows, table)
    learn_from = ["train", "unlabelled"] if params.use_unlabelled else ["train"]
    learnt = rows["fate"].isin(learn_from).to_numpy()

    chunks: list[Words] = []
    counts: Counter[str] = Counter()
    start = 0
    for words in split_words_in_chunks(_texts(table)):
        lengths = words.codes.lengths
        counted = np.repeat(learnt[start : start + len(lengths)], lengths)
        occurrences = np.bincount(words.codes.values[counted], minlength=len(words.distinct))
        counts.update(dict(zip(words.distinct.to_pylist(), occurrences.tolist(), strict=True)))
        chunks.append(words)
        start += len(lengths)

    vocabulary = Vocabulary.learn(counts, params.vocabulary_size, params.min_count)
    encoded = concatenate([vocabulary.encode(words) for words in chunks])
    del chunks
    fates = rows["fate"].to_numpy()
    order = np.concatenate([np.flatnonzero(fates == split) for split in SPLITS])
    sequences = encoded.take(order)
    index = rows.iloc[order][["id", "label", "film"]]
    index.insert(1, "split", fates[order])
    index["length"] = sequences.lengths.astype(np.int32)

    with atomic_directory(out) as folder:
        vocabulary.save(folder / "vocabulary.json")
        np.save(folder / "token_ids.npy", sequences.values)
        np.save(folder / "offsets.npy", sequences.offsets)
        schema = pa.schema(
            [
                ("id", pa.string()),
                ("split", pa.string()),
                ("label", pa.int8()),
                ("film", pa.string()),
                ("length", pa.int32()),
            ]
        )
        pq.write_table(
            pa.Table.from_pandas(index, schema, preserve_index=False).replace_schema_metadata(),
            folder / "index.parquet",
            compression="zstd",
        )
    return _report(rows["fate"], index, sequences, vocabulary)


def _texts(table: pq.ParquetFile) -> Iterator[pa.Array]:
    for batch in table.iter_batches(batch_size=CHUNK, columns=["text"]):
        yield batch.column(0)


def _divide(rows: pd.DataFrame, table: pq.ParquetFile) -> pd.Series:
    """Give each review its split, or the reason why it is dropped."""
    fate = rows["split"].astype(object)
    text = rows["duplicate_of"].fillna(rows["id"])  # equal for equal texts
    in_test = text.isin(set(text[rows["split"] == "test"]))
    for split in ("train", "unlabelled"):
        here = rows["split"] == split
        fate[here & in_test] = f"dropped_{split}_in_test"
        left = here & ~in_test
        # Rows are sorted by id, so the first is the lowest.
        fate[left & text.where(left).duplicated()] = f"dropped_{split}_repeated"
        if split == "train":
            contradicting = rows["label"].where(left).groupby(text).transform("nunique") > 1
            fate[left & contradicting] = "dropped_train_contradicting"
    train = fate == "train"
    group = ("film:" + rows["film"]).astype(object)
    filmless = np.flatnonzero(train & rows["film"].isna())
    if len(filmless):
        texts = table.read(columns=["text"]).column(0).take(pa.array(filmless))
        group[filmless] = ["text:" + value for value in texts.to_pylist()]
    chosen = {value for value in group[train].unique() if in_validation(value)}
    fate[train & group.isin(chosen)] = "validation"
    return fate


def _report(
    fate: pd.Series, index: pd.DataFrame, sequences: Ragged, vocabulary: Vocabulary
) -> SequencesReport:
    numbers = fate.value_counts()
    unknown = np.add.reduceat(sequences.values == UNKNOWN_ID, sequences.offsets[:-1])
    sums = pd.DataFrame({"unknown": unknown, "words": sequences.lengths}).groupby(
        index["split"].to_numpy()
    )
    shares = sums["unknown"].sum() / sums["words"].sum()
    learnt = sequences.lengths[(index["split"] == "train").to_numpy()]
    quantiles = {"50 %": 0.5, "90 %": 0.9, "99 %": 0.99, "100 %": 1.0}
    return SequencesReport(
        **{name: int(numbers.get(name, 0)) for name in (*SPLITS, *_DROPPED)},
        vocabulary_size=len(vocabulary),
        words=len(sequences.values),
        unknown_share={name: round(float(shares[name]), 6) for name in SPLITS if name in shares},
        length_quantiles={
            name: int(np.quantile(learnt, share, method="higher")) if len(learnt) else 0
            for name, share in quantiles.items()
        },
    )


@dataclass(frozen=True)
class Split:
    """The sequences of one split.

    Attributes:
        ids: the reviews' ids, ``n`` of them.
        labels: ``int8[n]``; -1 where there is none.
        sequences: their token ids, ragged, memory-mapped.
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
    index = pq.read_table(folder / "index.parquet", columns=["id", "split", "label"]).to_pandas()
    values = np.load(folder / "token_ids.npy", mmap_mode="r")
    return index, Ragged(values, np.load(folder / "offsets.npy"))


def load_split(folder: Path, name: str) -> Split:
    """Open one split of a folder written by :func:`build_sequences`; token ids stay on disk."""
    index, everything = open_sequences(folder)
    rows = np.flatnonzero(index["split"] == name)  # one run: the table is sorted by split
    first, last = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
    offsets = everything.offsets[first : last + 1]
    return Split(
        index["id"].iloc[first:last].tolist(),
        index["label"].iloc[first:last].fillna(-1).to_numpy(np.int8),
        Ragged(everything.values[offsets[0] : offsets[-1]], offsets - offsets[0]),
    )


@dataclass(frozen=True)
class Padding:
    """How a batch of sequences becomes a rectangle.

    Attributes:
        length: most words kept of a sequence.
        side: where short sequences are filled up.
        truncation_side: which end of a long sequence is cut off.
        fixed: pad to ``length`` always, not only to the longest of the batch.
    """

    length: int
    side: str = "right"
    truncation_side: str = "left"
    fixed: bool = False

    @classmethod
    def of(cls, params: Train) -> "Padding":
        """Read the padding from the training parameters.

        Without a mask the padded width changes the prediction, so it is kept the same.
        """
        return cls(
            params.sequence_length,
            params.padding_side,
            params.truncation_side,
            fixed=not (params.bucket and params.mask),
        )

    def pad(self, sequences: Ragged, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Cut out rows of ragged sequences as ``int32[batch, time]``.

        >>> ragged = Ragged(np.array([5, 6, 7, 8], np.int32), np.array([0, 3, 4]))
        >>> Padding(2).pad(ragged, np.array([0, 1])).tolist()
        [[6, 7], [8, 0]]
        >>> Padding(4, "left", fixed=True).pad(ragged, np.array([0, 1])).tolist()
        [[0, 5, 6, 7], [0, 0, 0, 8]]
        """
        starts, ends = sequences.offsets[rows], sequences.offsets[rows + 1]
        lengths = np.minimum(ends - starts, self.length)
        if self.truncation_side == "left":
            starts = ends - lengths
        width = self.length if self.fixed else int(lengths.max(initial=1))
        padded = np.full((len(rows), width), PADDING_ID, np.int32)
        for line, start, length in zip(padded, starts, lengths, strict=True):
            place = slice(0, length) if self.side == "right" else slice(width - length, width)
            line[place] = sequences.values[start : start + length]
        return padded


def draw_batches(
    lengths: NDArray[np.int64], batch_size: int, *, bucket: bool, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Divide all rows into random batches; the same (seed, epoch) gives the same batches.

    Args:
        lengths: ``int64[n]``, length of each sequence after truncation.
        batch_size: rows a batch; the last one may be smaller.
        bucket: form batches of like length, so that little is padded.
        seed: seed of the training.
        epoch: counted from 0.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    if bucket:
        run = batch_size * _BUCKET_BATCHES
        runs = [order[start : start + run] for start in range(0, len(order), run)]
        order = np.concatenate(
            [rows[np.argsort(lengths[rows], kind="stable")] for rows in runs] or [order]
        )
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [batches[i] for i in random.permutation(len(batches))]


def sorted_batches(lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Divide all rows into batches of like length, for prediction.

    Args:
        lengths: ``int64[n]``, length of each sequence after truncation.
        batch_size: rows a batch; the last one may be smaller.
    """
    order = np.argsort(lengths, kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
