"""Who learns from what: texts divided into splits, their words counted and encoded."""

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

from rnnpipe.config.text import Sequences
from rnnpipe.runtime.progress import track
from rnnpipe.storage.files import atomic_directory
from rnnpipe.text.sequences import SPLITS
from rnnpipe.text.tokens import (
    CHUNK,
    UNKNOWN_ID,
    split_words_in_chunks,
)
from rnnpipe.text.vocabulary import DistinctWords, Vocabulary

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
ROW_STATUS = (*SPLITS, *_DROPPED)
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
    fate = _assign_splits(rows, table)
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


def _set_aside_words(
    table: pq.ParquetFile,
    fate: NDArray[np.int8],
    learnt: NDArray[np.bool_],
    files: Sequence[IO[bytes]],
) -> tuple[NDArray[np.int32], DistinctWords]:
    """Write the numbers of each split's words to its file, and return each review's length."""
    distinct = DistinctWords()
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


def _assign_splits(rows: pa.Table, table: pq.ParquetFile) -> NDArray[np.int8]:
    """Return each review its split, or the reason why it is dropped, as its place in the fates."""
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
    """Return each review a number, equal for equal texts, and -1 where its text stands once."""
    firsts = rows["duplicate_of"].combine_chunks().drop_null().unique()
    numbers = pc.coalesce(
        pc.index_in(rows["duplicate_of"], firsts), pc.index_in(rows["id"], firsts)
    )
    found: NDArray[np.int64] = pc.fill_null(numbers, -1).to_numpy().astype(np.int64)
    return found


def _drop_from_train(rows: pa.Table, text: NDArray[np.int64], fate: NDArray[np.int8]) -> None:
    """Return reviews of train whose text stands elsewhere, too, their reason to go."""
    here = np.flatnonzero((fate == _TRAIN) & (text >= 0))
    found = pd.DataFrame(
        {"text": text[here], "label": rows["label"].take(pa.array(here)).to_pandas()}
    )
    reason = fate[here]
    # Rows are sorted by id, so the first is the lowest.
    reason[found["text"].duplicated()] = ROW_STATUS.index("dropped_train_repeated")
    labels = found.groupby("text")["label"].transform("nunique")
    reason[labels > 1] = ROW_STATUS.index("dropped_train_contradicting")
    in_test = np.isin(found["text"], text[fate == _TEST])
    reason[in_test] = ROW_STATUS.index("dropped_train_in_test")
    fate[here] = reason


def _drop_from_unlabelled(
    text: NDArray[np.int64], film_in_validation: NDArray[np.bool_], fate: NDArray[np.int8]
) -> None:
    """Return unlabelled reviews that would tell of test or validation, or stand twice, a reason."""
    here = np.flatnonzero(fate == _UNLABELLED)
    texts, reason = text[here], fate[here]
    reason[pd.Series(texts).duplicated() & (texts >= 0)] = ROW_STATUS.index(
        "dropped_unlabelled_repeated"
    )
    for split in (_TRAIN, _VALIDATION, _TEST):
        gone = (texts >= 0) & np.isin(texts, text[fate == split])
        if split == _VALIDATION:
            gone |= film_in_validation[here]
        reason[gone] = ROW_STATUS.index(f"dropped_unlabelled_in_{SPLITS[split]}")
    fate[here] = reason


def _report(
    fate: NDArray[np.int8],
    lengths: NDArray[np.int32],
    unknown: Sequence[int],
    vocabulary_size: int,
) -> SequencesReport:
    numbers = np.bincount(fate, minlength=len(ROW_STATUS)).tolist()
    of_split = np.split(lengths, np.cumsum(numbers[: len(SPLITS)])[:-1])
    learnt = of_split[_TRAIN]
    quantiles = {"50 %": 0.5, "90 %": 0.9, "99 %": 0.99, "100 %": 1.0}
    return SequencesReport(
        **dict(zip(ROW_STATUS, numbers, strict=True)),
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
