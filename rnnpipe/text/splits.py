"""Who learns from what: texts divided into splits, their words counted and encoded."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
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
from rnnpipe.errors import SourceError
from rnnpipe.runtime.progress import track
from rnnpipe.storage.files import atomic_directory
from rnnpipe.text.held_out import held_out, place_of
from rnnpipe.text.sequences import SPLITS
from rnnpipe.text.tokens import CHUNK, UNKNOWN_ID, Ragged, split_words_in_chunks
from rnnpipe.text.vocabulary import DistinctWords, Vocabulary

VALIDATION_SHARE = 0.15
_DROPPED = (
    "dropped_train_in_test",
    "dropped_train_contradicting",
    "dropped_train_repeated",
    "dropped_train_read_alike",
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

    A fixed hash decides, so a group stays where it is when the data grow, in every problem; but see
    :func:`rnnpipe.text.held_out.held_out`.
    """
    return _validation_place(group) < VALIDATION_SHARE


def _validation_place(group: str) -> float:
    return place_of(f"validation:{group}".encode())


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
    dropped_train_read_alike: int
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

    Texts are the same where their words are: case, blanks and marks tell the network nothing. Test
    is never altered. What also stands in test, or stands twice, leaves train and the unlabelled
    reviews; where two labels contradict each other, all such reviews leave. An unlabelled review
    leaves also where its text has a label, or its film is in validation. At last reviews leave
    train that differ from one of validation or test only in words that the vocabulary lacks.

    Args:
        reviews: the table written by ``prepare``.
        out: the folder to write: ``vocabulary.json``, ``index.parquet``, ``token_ids.npy``
            (``int32[total]``), ``offsets.npy`` (``int64[n + 1]``). What the schema of the reviews
            tells beside the columns, under keys that begin with ``rnnpipe.``, the index tells, too.
        params: how many words, how frequent, counted where.

    Raises:
        SourceError: train holds no word that is frequent enough to be known.
    """
    table = pq.ParquetFile(reviews, read_dictionary=["film"])
    rows = table.read(columns=["id", "split", "label", "film"])
    rows = rows.unify_dictionaries().combine_chunks()
    with atomic_directory(out) as folder, tempfile.TemporaryFile(dir=folder) as waiting:
        # The words wait on disk, in a file without a name, until the vocabulary is known.
        words, lengths, same = _set_aside_words(table, waiting)
        starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        numbers = StoredNumbers(waiting, starts)
        status = _assign_splits(rows, table, same)
        learn_from = [_TRAIN, _UNLABELLED] if params.use_unlabelled else [_TRAIN]
        for learnt in numbers.of(np.flatnonzero(np.isin(status, learn_from))):
            words.count(learnt.values)
        vocabulary = Vocabulary.learn(
            words.occurrences(params.min_count), params.vocabulary_size, params.min_count
        )
        vocabulary.save(folder / "vocabulary.json")
        ids = words.ids_of(vocabulary)
        _require_known_words(numbers, np.flatnonzero(status == _TRAIN), ids, params)
        _drop_read_alike(status, numbers, ids)

        order = np.concatenate([np.flatnonzero(status == split) for split in range(len(SPLITS))])
        lengths = lengths[order]
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        np.save(folder / "offsets.npy", offsets)
        unknown = []
        with (folder / "token_ids.npy").open("wb") as file:
            _write_header(file, int(offsets[-1]))
            for split in range(len(SPLITS)):
                unknown.append(0)
                for texts in numbers.of(np.flatnonzero(status == split)):
                    values = ids[texts.values]
                    file.write(values.data)
                    unknown[-1] += int(np.count_nonzero(values == UNKNOWN_ID))
        schema = _INDEX.with_metadata(_own_metadata(table.schema_arrow))
        with pq.ParquetWriter(folder / "index.parquet", schema, compression="zstd") as writer:
            for start in range(0, len(order), _INDEX_ROWS) or [0]:
                part = slice(start, start + _INDEX_ROWS)
                writer.write_table(_index(rows, status, order[part], lengths[part]))
    return _report(status, lengths, unknown, len(vocabulary))


def _own_metadata(schema: pa.Schema) -> dict[bytes, bytes]:
    """Return what a problem tells of its rows in a schema; only the problem knows what it means."""
    told = schema.metadata or {}
    return {key: value for key, value in told.items() if key.startswith(b"rnnpipe.")}


class StoredNumbers:
    """The words of all texts by number, on disk.

    Args:
        file: ``int32[total]``, a text after the other.
        starts: ``int64[n + 1]``, where each begins.
    """

    def __init__(self, file: IO[bytes], starts: NDArray[np.int64]) -> None:
        self._file, self._starts = file, starts

    def of(self, rows: NDArray[np.int64]) -> Iterator[Ragged]:
        """Yield the numbers of some texts, whose rows rise, some whole texts at a time."""
        size, starts = np.dtype(np.int32).itemsize, self._starts
        for low, end in _runs(rows):
            while low < end:
                fitting = int(np.searchsorted(starts, starts[low] + _BLOCK, side="right")) - 1
                high = min(max(fitting, low + 1), end)
                self._file.seek(int(starts[low]) * size)
                content = self._file.read(int(starts[high] - starts[low]) * size)
                yield Ragged(np.frombuffer(content, np.int32), starts[low : high + 1] - starts[low])
                low = high


def _runs(rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield the bounds of each run of neighbours among rising numbers.

    >>> list(_runs(np.array([1, 2, 3, 7])))
    [(1, 4), (7, 8)]
    """
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    for run in np.split(rows, breaks):
        if len(run):
            yield int(run[0]), int(run[-1]) + 1


def _set_aside_words(
    table: pq.ParquetFile, file: IO[bytes]
) -> tuple[DistinctWords, NDArray[np.int32], NDArray[np.int64]]:
    """Write the numbers of all words to a file.

    Returns:
        The words; ``int32[n]``, how many each text has; ``int64[n]``, equal for texts of the same
        words.
    """
    distinct = DistinctWords()
    lengths = np.empty(table.metadata.num_rows, np.int32)
    digests: list[bytes] = []
    chunks = split_words_in_chunks(_texts(table))
    for words in track(chunks, "splitting texts", "chunks", -(-len(lengths) // CHUNK)):
        numbered = distinct.number(words)
        lengths[len(digests) :][: len(numbered)] = numbered.lengths
        digests += [_digest(numbered[row]) for row in range(len(numbered))]
        file.write(numbered.values.data)
    return distinct, lengths, pd.factorize(np.array(digests, object))[0].astype(np.int64)


def _digest(numbers: NDArray[np.int32]) -> bytes:
    return hashlib.blake2b(numbers.tobytes(), digest_size=16).digest()


def _require_known_words(
    numbers: StoredNumbers, train: NDArray[np.int64], ids: NDArray[np.int32], params: Sequences
) -> None:
    """Refuse texts that would all read alike, before a network is trained on them."""
    if len(train) and all((ids[part.values] == UNKNOWN_ID).all() for part in numbers.of(train)):
        raise SourceError(
            f"found no word in train that stands {params.min_count} times, so that every text would"
            " read alike; expected texts that share words: look at the column that"
            " prepare.text_column names, lower sequences.min_count, or take more texts"
        )


def _drop_read_alike(
    status: NDArray[np.int8],
    numbers: StoredNumbers,
    ids: NDArray[np.int32],
) -> None:
    """Return reviews of train whose token ids stand in validation or test the reason to go."""

    def digests(*splits: int) -> Iterator[bytes]:
        for part in numbers.of(np.flatnonzero(np.isin(status, splits))):
            known = Ragged(ids[part.values], part.offsets)
            yield from (_digest(known[row]) for row in range(len(known)))

    judging = set(digests(_VALIDATION, _TEST))
    here = np.flatnonzero(status == _TRAIN)
    alike = np.fromiter((digest in judging for digest in digests(_TRAIN)), bool, len(here))
    status[here[alike]] = ROW_STATUS.index("dropped_train_read_alike")


def _write_header(file: IO[bytes], total: int) -> None:
    header = {"descr": np.dtype(np.int32).str, "fortran_order": False, "shape": (total,)}
    np.lib.format.write_array_header_1_0(file, header)


def _index(
    rows: pa.Table,
    status: NDArray[np.int8],
    order: NDArray[np.int64],
    lengths: NDArray[np.int32],
) -> pa.Table:
    taken = rows.select(["id", "label", "film"]).take(pa.array(order))
    split = pa.array(SPLITS, pa.string()).take(pa.array(status[order]))
    columns = [taken["id"], split, taken["label"], taken["film"].cast(pa.string())]
    return pa.table([*columns, pa.array(lengths)], schema=_INDEX).combine_chunks()


def _texts(table: pq.ParquetFile) -> Iterator[pa.Array]:
    # Asked for all row groups at once, Arrow keeps the bytes of each one until the last is read.
    for group in range(table.num_row_groups):
        for batch in table.iter_batches(CHUNK, row_groups=[group], columns=["text"]):
            yield batch.column(0)


def _assign_splits(
    rows: pa.Table, table: pq.ParquetFile, text: NDArray[np.int64]
) -> NDArray[np.int8]:
    """Return the split of each review, or why it is dropped, as its place in ``ROW_STATUS``."""
    split = pc.index_in(rows["split"], pa.array(SPLITS, pa.string()))
    status: NDArray[np.int8] = split.to_numpy().astype(np.int8)
    _drop_from_train(rows, text, status)
    film = rows["film"].combine_chunks()
    names = film.dictionary.to_pylist()
    numbers = pc.fill_null(film.indices, len(names)).to_numpy(zero_copy_only=False)
    places = np.array([*(_validation_place(f"film:{name}") for name in names), 1.0])[numbers]
    filmless = (numbers == len(names)) & (status == _TRAIN)
    if filmless.any():
        start = 0
        for texts in _texts(table):
            for row in np.flatnonzero(filmless[start : start + len(texts)]).tolist():
                places[start + row] = _validation_place(f"text:{texts[row].as_py()}")
            start += len(texts)
    here = np.flatnonzero(status == _TRAIN)
    given = status == _VALIDATION  # a split of one's own is kept
    if len(here) and not given.any():
        labels = pc.fill_null(rows["label"], -1).to_numpy()[here]
        chosen = held_out(places[here], VALIDATION_SHARE, "validation", labels)
        status[here[chosen]] = _VALIDATION
    judges = np.isin(np.arange(len(names) + 1), numbers[status == _VALIDATION])
    judges[-1] = False  # no film is no film in common
    _drop_from_unlabelled(text, judges[numbers], status)
    return status


def _drop_from_train(rows: pa.Table, text: NDArray[np.int64], status: NDArray[np.int8]) -> None:
    """Return reviews of train whose text stands elsewhere, too, their reason to go."""
    here = np.flatnonzero(status == _TRAIN)
    found = pd.DataFrame(
        {"text": text[here], "label": rows["label"].take(pa.array(here)).to_pandas()}
    )
    reason = status[here]
    # Rows are sorted by id, so the first is the lowest.
    reason[found["text"].duplicated()] = ROW_STATUS.index("dropped_train_repeated")
    labels = found.groupby("text")["label"].transform("nunique")
    reason[labels > 1] = ROW_STATUS.index("dropped_train_contradicting")
    in_test = np.isin(found["text"], text[status == _TEST])
    reason[in_test] = ROW_STATUS.index("dropped_train_in_test")
    status[here] = reason


def _drop_from_unlabelled(
    text: NDArray[np.int64], film_in_validation: NDArray[np.bool_], status: NDArray[np.int8]
) -> None:
    """Return unlabelled reviews that would tell of test or validation, or stand twice, a reason."""
    here = np.flatnonzero(status == _UNLABELLED)
    texts, reason = text[here], status[here]
    reason[pd.Series(texts).duplicated()] = ROW_STATUS.index("dropped_unlabelled_repeated")
    for split in (_TRAIN, _VALIDATION, _TEST):
        gone = np.isin(texts, text[status == split])
        if split == _VALIDATION:
            gone |= film_in_validation[here]
        reason[gone] = ROW_STATUS.index(f"dropped_unlabelled_in_{SPLITS[split]}")
    status[here] = reason


def _report(
    status: NDArray[np.int8],
    lengths: NDArray[np.int32],
    unknown: Sequence[int],
    vocabulary_size: int,
) -> SequencesReport:
    numbers = np.bincount(status, minlength=len(ROW_STATUS)).tolist()
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
