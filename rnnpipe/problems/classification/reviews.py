"""From what was downloaded, an archive or a table, to one sorted parquet table of reviews.

The archive is the one of Maas et al., "Learning Word Vectors for Sentiment Analysis", ACL 2011:
``aclImdb/{train,test}/{pos,neg}/ID_RATING.txt``, ``aclImdb/train/unsup/ID_0.txt``, and beside
those folders ``urls_{pos,neg,unsup}.txt``, whose line ID (from 0) names the film. It is read as
a stream, and no name in it is trusted. The texts wait on disk until their order is known, in a
file without a name: in memory a review takes some dozens of bytes, however long it is.
"""

import hashlib
import logging
import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnnpipe.errors import quoted
from rnnpipe.problems.classification.classes import with_classes
from rnnpipe.storage.files import atomic_file, temporary_file

logger = logging.getLogger(__name__)

ROW_GROUP = 5_000
_MOST_TOLD = 10  # classes in one line of the log
GROUP_BYTES = 256 << 20  # of texts; 5,000 reviews of a book's length are more than fits into memory

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("label", pa.int8()),
        ("rating", pa.int8()),
        ("film", pa.string()),
        ("text", pa.string()),
        ("duplicate_of", pa.string()),
    ]
)

Split = Literal["train", "test", "unlabelled", "validation"]
SPLITS: tuple[Split, ...] = ("train", "test", "unlabelled", "validation")


@dataclass(frozen=True)
class Prepared:
    """What stands in the table of reviews."""

    reviews: dict[str, int]
    """Number of reviews in each of train, test and unlabelled."""
    duplicates: int
    """Reviews whose text stands in a row before."""
    text_bytes: int
    """Bytes of all texts, UTF-8."""
    digest: str
    """SHA-256 of all reviews, in hex; see :func:`content_digest`."""
    left_out: int = 0
    """Rows of a table whose label ``prepare.labels`` maps to null."""


class Review(NamedTuple):
    """One row before it is written; a tuple because there are 100,000 of them and more."""

    id: str
    split: Split
    label: int | None
    rating: int | None
    film: str | None
    text: bytes
    sha256: bytes


def content_digest(files: Iterable[tuple[str, bytes]]) -> str:
    r"""SHA-256 over the lines ``PATH<TAB>SHA256-HEX<NEWLINE>`` sorted by path as bytes, in hex.

    Args:
        files: the path of each review inside ``aclImdb/`` and the SHA-256 of its bytes, raw.

    >>> content_digest([])
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    """
    return digest_in_order(sorted(files, key=lambda file: file[0].encode()))


def digest_in_order(files: Iterable[tuple[str, bytes]]) -> str:
    """Return the digest of files that come in the order of their paths."""
    digest = hashlib.sha256()
    for path, sha in files:
        digest.update(b"%s\t%s\n" % (path.encode(), sha.hex().encode()))
    return digest.hexdigest()


class TextSpool:
    """Texts in a file, numbered from 0; 16 bytes of each stay in memory.

    A mark is the beginning of a SHA-256: texts of unlike marks differ, those of like marks may.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._ends = array("q", [0])
        self._marks = array("Q")

    def append(self, text: bytes) -> None:
        """Put a text behind the others."""
        sha = hashlib.sha256(text).digest()
        self._file.write(sha + text)
        self._ends.append(self._ends[-1] + len(sha) + len(text))
        self._marks.append(_mark(sha))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> tuple[bytes, bytes]:
        """Return the SHA-256 of a text, raw, and the text."""
        start, end = self._ends[number], self._ends[number + 1]
        return self.sha256(number), self._read(start + hashlib.sha256().digest_size, end)

    def sha256(self, number: int) -> bytes:
        """Return the SHA-256 of a text by its number."""
        start = self._ends[number]
        return self._read(start, start + hashlib.sha256().digest_size)

    def repeated_marks(self) -> set[int]:
        """Marks that several texts bear, others stand once; asked once, when all texts are in."""
        marks = np.frombuffer(self._marks, np.uint64)
        marks.sort()
        self._marks = array("Q")
        return set(marks[1:][marks[1:] == marks[:-1]].tolist())

    def _read(self, start: int, end: int) -> bytes:
        self._file.flush()
        return os.pread(self._file.fileno(), end - start, start)


def _mark(sha256: bytes) -> int:
    return int.from_bytes(sha256[:8], "big")


@contextmanager
def text_spool(out: Path) -> Iterator[TextSpool]:
    """Open an empty file beside ``out`` that has no name: it ends with the process at the latest."""
    with temporary_file(out) as file:
        yield TextSpool(file)


def write_reviews(
    out: Path,
    reviews: Iterable[Review],
    texts: TextSpool,
    digest: str,
    classes: Sequence[str],
    left_out: int = 0,
) -> Prepared:
    """Write rows that come in the order of their ids.

    Args:
        out: the table.
        reviews: its rows.
        texts: that they are among.
        digest: of all rows, in hex.
        classes: the names of the labels, 0 first.
        left_out: how many rows were left out, for the log.
    """
    splits: Counter[str] = Counter()
    of_label: Counter[int | None] = Counter()
    repeated = texts.repeated_marks()
    first_with: dict[bytes, str] = {}  # of texts that may stand twice alone: most do not
    duplicates = text_bytes = 0
    with (
        atomic_file(out) as partial,
        pq.ParquetWriter(
            partial,
            with_classes(SCHEMA, classes),
            compression="zstd",
            use_dictionary=["split", "label", "film"],
        ) as writer,
    ):
        for batch in _batches(reviews):
            duplicates_of: list[str | None] = []
            for review in batch:
                first = review.id
                if _mark(review.sha256) in repeated:
                    first = first_with.setdefault(review.sha256, review.id)
                duplicates_of.append(None if first == review.id else first)
                splits[review.split] += 1
                of_label[review.label] += 1
                text_bytes += len(review.text)
            duplicates += len(batch) - duplicates_of.count(None)
            ids, parts, labels, ratings, films, contents, _ = zip(*batch, strict=True)
            columns = (ids, parts, labels, ratings, films, contents, duplicates_of)
            writer.write_table(
                pa.table(
                    [
                        pa.array(column, kind)
                        for column, kind in zip(columns, SCHEMA.types, strict=True)
                    ],
                    schema=SCHEMA,
                ),
                row_group_size=ROW_GROUP,
            )
        writer.add_key_value_metadata({"content_digest": digest})
    counts: dict[str, int] = {
        split: splits[split] for split in SPLITS if splits[split] or split != "validation"
    }
    told = [f"{count:,} {split}" for split, count in counts.items()]
    if left_out:
        told.append(f"{left_out:,} left out by prepare.labels")
    logger.info("%s: %s; classes: %s", out, ", ".join(told), _told(classes, of_label))
    return Prepared(counts, duplicates, text_bytes, digest, left_out)


def _told(classes: Sequence[str], labels: Mapping[int | None, int]) -> str:
    told = [f"{quoted(name)} {labels[label]:,}" for label, name in enumerate(classes)]
    more = f", and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
    return ", ".join(told[:_MOST_TOLD]) + more


def _batches(reviews: Iterable[Review]) -> Iterator[list[Review]]:
    batch: list[Review] = []
    size = 0
    for review in reviews:
        batch.append(review)
        size += len(review.text)
        if len(batch) == ROW_GROUP or size >= GROUP_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
