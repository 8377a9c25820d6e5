"""Reviews to sequences: who learns from what, and token ids padded a batch at a time.

The standing convention is right-padded and masked: under it a prediction depends neither on
the padded width nor on the batch it rides in.
"""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rnnpipe.files import atomic_directory
from rnnpipe.params import Sequences, Train
from rnnpipe.progress import track
from rnnpipe.tokens import (
    CHUNK,
    FIRST_WORD_ID,
    PADDING_ID,
    UNKNOWN_ID,
    Ragged,
    StoredIds,
    Vocabulary,
    Words,
    split_words_in_chunks,
)

SPLITS = ("train", "validation", "test", "unlabelled")
VALIDATION_SHARE = 0.15
_DROPPED = (
    "dropped_train_in_test",
    "dropped_train_contradicting",
    "dropped_train_repeated",
    "dropped_unlabelled_in_test",
    "dropped_unlabelled_in_validation",
    "dropped_unlabelled_in_train",
    "dropped_unlabelled_repeated",
)
_FATES = (*SPLITS, *_DROPPED)
_TRAIN, _VALIDATION, _TEST, _UNLABELLED = range(len(SPLITS))
_INDEX = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("label", pa.int8()),
        ("film", pa.string()),
        ("length", pa.int32()),
    ]
)
_INDEX_ROWS = 1 << 17  # of one row group
_BLOCK = 1 << 20  # words that are given their ids at once
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
    dropped_unlabelled_in_validation: int
    dropped_unlabelled_in_train: int
    dropped_unlabelled_repeated: int
    vocabulary_size: int
    words: int
    unknown_share: dict[str, float]
    length_quantiles: dict[str, int]


def build_sequences(reviews: Path, out: Path, params: Sequences) -> SequencesReport:
    """Divide the reviews, learn the vocabulary from train, and write every split's token ids.

    Test is never altered. What also stands in test, or stands twice, leaves train and the
    unlabelled reviews; where two labels contradict each other, all such reviews leave. An
    unlabelled review leaves also where its text has a label, or its film is in validation.

    Args:
        reviews: the table written by ``prepare``.
        out: the folder to write: ``vocabulary.json``, ``index.parquet``, ``token_ids.npy``
            (``int32[total]``), ``offsets.npy`` (``int64[n + 1]``).
        params: how many words, how frequent, counted where.
    """
    table = pq.ParquetFile(reviews, read_dictionary=["film"])
    rows = table.read(columns=["id", "split", "label", "film", "duplicate_of"])
    rows = rows.unify_dictionaries().combine_chunks()
    fate = _divide(rows, table)
    learn_from = [_TRAIN, _UNLABELLED] if params.use_unlabelled else [_TRAIN]
    learnt = np.isin(fate, learn_from)
    with atomic_directory(out) as folder, ExitStack() as stack:
        # The words wait on disk, a file without a name a split, until the vocabulary is known.
        waiting = [stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in SPLITS]
        lengths, words = _set_aside_words(table, fate, learnt, waiting)
        vocabulary = Vocabulary.learn(
            words.occurrences(params.min_count), params.vocabulary_size, params.min_count
        )
        vocabulary.save(folder / "vocabulary.json")

        order = np.concatenate([np.flatnonzero(fate == split) for split in range(len(SPLITS))])
        lengths = lengths[order]
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        np.save(folder / "offsets.npy", offsets)
        with (folder / "token_ids.npy").open("wb") as file:
            unknown = _write_ids(file, int(offsets[-1]), waiting, words.ids_of(vocabulary))
        with pq.ParquetWriter(folder / "index.parquet", _INDEX, compression="zstd") as writer:
            for start in range(0, len(order), _INDEX_ROWS) or [0]:
                part = slice(start, start + _INDEX_ROWS)
                writer.write_table(_index(rows, fate, order[part], lengths[part]))
    return _report(fate, lengths, unknown, len(vocabulary))


class _DistinctWords:
    """All words that were met, numbered as they came, and how often each stands in what is learnt.

    Number 0 is no word: it stands in a text that holds none.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}
        self._occurrences = np.zeros(0, np.int64)

    def number(self, words: Words) -> Ragged:
        numbers = self._numbers
        distinct = [numbers.setdefault(word, len(numbers)) for word in words.distinct.to_pylist()]
        return words.numbered(np.array(distinct, np.int32), 0)

    def count(self, numbers: NDArray[np.int32]) -> None:
        found = np.bincount(numbers, minlength=len(self._numbers))
        found[: len(self._occurrences)] += self._occurrences
        self._occurrences = found

    def occurrences(self, least: int) -> dict[str, int]:
        """How often each word stands there that does so ``least`` times at the least."""
        return {
            word: count
            for (word, number), count in zip(
                self._numbers.items(), self._occurrences.tolist(), strict=False
            )
            if count >= least and number
        }

    def ids_of(self, vocabulary: Vocabulary) -> NDArray[np.int32]:
        """Give the token id of each number, ``int32``."""
        ids = np.full(len(self._numbers), UNKNOWN_ID, np.int32)
        for token_id, word in enumerate(vocabulary.words, FIRST_WORD_ID):
            ids[self._numbers[word]] = token_id
        return ids


def _set_aside_words(
    table: pq.ParquetFile,
    fate: NDArray[np.int8],
    learnt: NDArray[np.bool_],
    files: Sequence[IO[bytes]],
) -> tuple[NDArray[np.int32], _DistinctWords]:
    """Write the numbers of each split's words to its file, and return each review's length."""
    distinct = _DistinctWords()
    lengths = np.empty(len(fate), np.int32)
    start = 0
    chunks = split_words_in_chunks(_texts(table))
    for words in track(chunks, "splitting texts", "chunks", -(-len(fate) // CHUNK)):
        numbered = distinct.number(words)
        part = slice(start, start + len(numbered))
        lengths[part] = numbered.lengths
        distinct.count(numbered.values[np.repeat(learnt[part], numbered.lengths)])
        for split, file in enumerate(files):
            here = np.repeat(fate[part] == split, numbered.lengths)
            file.write(numbered.values[here].data)
        start = part.stop
    return lengths, distinct


def _write_ids(
    file: IO[bytes], total: int, waiting: Sequence[IO[bytes]], ids: NDArray[np.int32]
) -> list[int]:
    """Write all token ids as ``.npy``, a split after the other; how many of each are unknown."""
    header = {"descr": np.dtype(np.int32).str, "fortran_order": False, "shape": (total,)}
    np.lib.format.write_array_header_1_0(file, header)
    unknown = []
    for numbers in waiting:
        unknown.append(0)
        numbers.seek(0)
        while block := numbers.read(_BLOCK * np.dtype(np.int32).itemsize):
            values = ids[np.frombuffer(block, np.int32)]
            file.write(values.data)
            unknown[-1] += int(np.count_nonzero(values == UNKNOWN_ID))
    return unknown


def _index(
    rows: pa.Table,
    fate: NDArray[np.int8],
    order: NDArray[np.int64],
    lengths: NDArray[np.int32],
) -> pa.Table:
    taken = rows.select(["id", "label", "film"]).take(pa.array(order))
    split = pa.array(SPLITS, pa.string()).take(pa.array(fate[order]))
    columns = [taken["id"], split, taken["label"], taken["film"].cast(pa.string())]
    return pa.table([*columns, pa.array(lengths)], schema=_INDEX).combine_chunks()


def _texts(table: pq.ParquetFile) -> Iterator[pa.Array]:
    # Asked for all row groups at once, Arrow keeps the bytes of each one until the last is read.
    for group in range(table.num_row_groups):
        for batch in table.iter_batches(CHUNK, row_groups=[group], columns=["text"]):
            yield batch.column(0)


def _divide(rows: pa.Table, table: pq.ParquetFile) -> NDArray[np.int8]:
    """Give each review its split, or the reason why it is dropped, as its place in the fates."""
    split = pc.index_in(rows["split"], pa.array(SPLITS, pa.string()))
    fate: NDArray[np.int8] = split.to_numpy().astype(np.int8)
    text = _same_texts(rows)
    _drop_from_train(rows, text, fate)
    film = rows["film"].combine_chunks()
    names = film.dictionary.to_pylist()
    numbers = pc.fill_null(film.indices, len(names)).to_numpy(zero_copy_only=False)
    held_out = np.array([*(in_validation(f"film:{name}") for name in names), False])[numbers]
    filmless = (numbers == len(names)) & (fate == _TRAIN)
    if filmless.any():
        start = 0
        for texts in _texts(table):
            for row in np.flatnonzero(filmless[start : start + len(texts)]).tolist():
                held_out[start + row] = in_validation(f"text:{texts[row].as_py()}")
            start += len(texts)
    fate[(fate == _TRAIN) & held_out] = _VALIDATION
    judges = np.isin(np.arange(len(names) + 1), numbers[fate == _VALIDATION])
    judges[-1] = False  # no film is no film in common
    _drop_from_unlabelled(text, judges[numbers], fate)
    return fate


def _same_texts(rows: pa.Table) -> NDArray[np.int64]:
    """Give each review a number, equal for equal texts, and -1 where its text stands once."""
    firsts = rows["duplicate_of"].combine_chunks().drop_null().unique()
    numbers = pc.coalesce(
        pc.index_in(rows["duplicate_of"], firsts), pc.index_in(rows["id"], firsts)
    )
    found: NDArray[np.int64] = pc.fill_null(numbers, -1).to_numpy().astype(np.int64)
    return found


def _drop_from_train(rows: pa.Table, text: NDArray[np.int64], fate: NDArray[np.int8]) -> None:
    """Give reviews of train whose text stands elsewhere, too, their reason to go."""
    here = np.flatnonzero((fate == _TRAIN) & (text >= 0))
    found = pd.DataFrame(
        {"text": text[here], "label": rows["label"].take(pa.array(here)).to_pandas()}
    )
    reason = fate[here]
    # Rows are sorted by id, so the first is the lowest.
    reason[found["text"].duplicated()] = _FATES.index("dropped_train_repeated")
    labels = found.groupby("text")["label"].transform("nunique")
    reason[labels > 1] = _FATES.index("dropped_train_contradicting")
    in_test = np.isin(found["text"], text[fate == _TEST])
    reason[in_test] = _FATES.index("dropped_train_in_test")
    fate[here] = reason


def _drop_from_unlabelled(
    text: NDArray[np.int64], film_in_validation: NDArray[np.bool_], fate: NDArray[np.int8]
) -> None:
    """Give unlabelled reviews that would tell of test or validation, or stand twice, a reason."""
    here = np.flatnonzero(fate == _UNLABELLED)
    texts, reason = text[here], fate[here]
    reason[pd.Series(texts).duplicated() & (texts >= 0)] = _FATES.index(
        "dropped_unlabelled_repeated"
    )
    for split in (_TRAIN, _VALIDATION, _TEST):
        gone = (texts >= 0) & np.isin(texts, text[fate == split])
        if split == _VALIDATION:
            gone |= film_in_validation[here]
        reason[gone] = _FATES.index(f"dropped_unlabelled_in_{SPLITS[split]}")
    fate[here] = reason


def _report(
    fate: NDArray[np.int8],
    lengths: NDArray[np.int32],
    unknown: Sequence[int],
    vocabulary_size: int,
) -> SequencesReport:
    numbers = np.bincount(fate, minlength=len(_FATES)).tolist()
    of_split = np.split(lengths, np.cumsum(numbers[: len(SPLITS)])[:-1])
    learnt = of_split[_TRAIN]
    quantiles = {"50 %": 0.5, "90 %": 0.9, "99 %": 0.99, "100 %": 1.0}
    return SequencesReport(
        **dict(zip(_FATES, numbers, strict=True)),
        vocabulary_size=vocabulary_size,
        words=int(lengths.sum(dtype=np.int64)),
        unknown_share={
            name: round(count / int(here.sum(dtype=np.int64)), 6)
            for name, here, count in zip(SPLITS, of_split, unknown, strict=True)
            if len(here)
        },
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

    def cut(
        self, sequences: Ragged, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where that begins and ends in ``values`` which is kept of rows, ``int64[batch]``.

        >>> ragged = Ragged(np.array([5, 6, 7, 8], np.int32), np.array([0, 3, 4]))
        >>> Padding(2).cut(ragged, np.array([0, 1]))
        (array([1, 3]), array([3, 4]))
        """
        starts, ends = sequences.offsets[rows], sequences.offsets[rows + 1]
        if self.truncation_side == "left":
            return np.maximum(starts, ends - self.length), ends
        return starts, np.minimum(ends, starts + self.length)

    def pad(self, sequences: Ragged, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Cut out rows of ragged sequences as ``int32[batch, time]``.

        >>> ragged = Ragged(np.array([5, 6, 7, 8], np.int32), np.array([0, 3, 4]))
        >>> Padding(2).pad(ragged, np.array([0, 1])).tolist()
        [[6, 7], [8, 0]]
        >>> Padding(4, "left", fixed=True).pad(ragged, np.array([0, 1])).tolist()
        [[0, 5, 6, 7], [0, 0, 0, 8]]
        """
        starts, ends = self.cut(sequences, rows)
        lengths = ends - starts
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
