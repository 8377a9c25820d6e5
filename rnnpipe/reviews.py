"""From what was downloaded, an archive or a table, to one sorted parquet table of reviews.

The archive is the one of Maas et al., "Learning Word Vectors for Sentiment Analysis", ACL 2011:
``aclImdb/{train,test}/{pos,neg}/ID_RATING.txt``, ``aclImdb/train/unsup/ID_0.txt``, and beside
those folders ``urls_{pos,neg,unsup}.txt``, whose line ID (from 0) names the film. It is read as
a stream, and no name in it is trusted. The texts wait on disk until their order is known, in a
file without a name: in memory a review takes some dozens of bytes, however long it is.
"""

import bz2
import gzip
import hashlib
import io
import logging
import lzma
import math
import os
import re
import tarfile
import tempfile
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rnnpipe.errors import IntegrityError, SourceError, quoted
from rnnpipe.files import atomic_file
from rnnpipe.params import Prepare
from rnnpipe.tables import read_batches

logger = logging.getLogger(__name__)

ROW_GROUP = 5_000
TEST_SHARE = 0.2

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

# What an honest archive never reaches; a bomb does.
MAX_REVIEW_BYTES = 1 << 20
MAX_OTHER_BYTES = 64 << 20
MAX_UNPACKED_BYTES = 4 << 30
MAX_MEMBERS = 5_000_000

Split = Literal["train", "test", "unlabelled"]
SPLITS: tuple[Split, ...] = ("train", "test", "unlabelled")
LABELS = {"neg": 0, "pos": 1, "unsup": None}

_ROOT = "aclImdb/"
_FOLDER = re.compile(r"(?:train|test)/(?:pos|neg|unsup)/")
_NUMBER = r"(0|[1-9][0-9]{0,8})"
_REVIEW = re.compile(
    rf"(?:(train|test)/(pos|neg)/{_NUMBER}_(10|[0-9])|(train)/(unsup)/{_NUMBER}_(0))\.txt"
)
_URLS = re.compile(r"(train|test)/urls_(pos|neg|unsup)\.txt")
_FILM = re.compile(rb"tt[0-9]+")
_FOLDERS = ("test/neg", "test/pos", "train/neg", "train/pos", "train/unsup")  # sorted
_KEY_BYTES = len("0999999999_10")


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


class _Review(NamedTuple):
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
    return _digest_in_order(sorted(files, key=lambda file: file[0].encode()))


def _digest_in_order(files: Iterable[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for path, sha in files:
        digest.update(b"%s\t%s\n" % (path.encode(), sha.hex().encode()))
    return digest.hexdigest()


class _SetAside:
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
        """Give the SHA-256 of a text, raw, and the text."""
        start, end = self._ends[number], self._ends[number + 1]
        return self.sha256(number), self._read(start + hashlib.sha256().digest_size, end)

    def sha256(self, number: int) -> bytes:
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
def _set_aside(out: Path) -> Iterator[_SetAside]:
    """Open an empty file beside ``out`` that has no name: it ends with the process at the latest."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out.parent) as file:
        yield _SetAside(file)


def prepare_archive(archive: Path, out: Path, content_digest: str) -> Prepared:
    """Write the reviews of an archive in the IMDB layout to one parquet table.

    The same reviews give the same bytes, however the archive was packed.

    Args:
        archive: a tar file, plain or compressed with gzip, bzip2 or xz.
        out: the table; the schema is :data:`SCHEMA`, rows are sorted by id.
        content_digest: what the digest of all reviews must be, in hex.

    Raises:
        SourceError: the archive is broken, hostile, or not in the IMDB layout.
        IntegrityError: the reviews are not those of the digest.
    """
    archive, out = Path(archive), Path(out)
    keys, urls = bytearray(), dict[str, IO[bytes]]()
    with _set_aside(out) as texts, ExitStack() as stack:
        for path, content in _members(archive):
            if not _URLS.fullmatch(path):
                keys += _key(path).ljust(_KEY_BYTES, b"\0")
                texts.append(content)
            elif path in urls:
                raise _twice(archive, path)
            else:
                urls[path] = stack.enter_context(tempfile.TemporaryFile(dir=out.parent))
                urls[path].write(content)
        named = np.frombuffer(keys, f"S{_KEY_BYTES}")
        order = np.argsort(named).astype(np.uint32)  # MAX_MEMBERS fits
        found = _digest_in_order(_in_order(archive, named, order, texts))
        if found != content_digest:
            raise IntegrityError(
                f"{archive}: the digest of its {len(named):,} reviews is {found}, expected"
                f" {content_digest}: reviews were added, removed or changed. Delete it and download"
                " it again; if you changed the reviews on purpose, put the new digest into the card"
            )
        return _write(out, _archive_reviews(named, order, texts, urls), texts, found)


def prepare_table(table: Path, out: Path, params: Prepare) -> Prepared:
    """Write the reviews of a CSV (UTF-8, commas) or parquet file to one parquet table.

    Values of labels and groups are compared as text without the blanks around them; a number
    without fraction loses its ``.0``, a truth value becomes ``true`` or ``false``. Rows are
    counted from 0, the first below the header.

    Args:
        table: the file; its suffix, ``.csv`` or ``.parquet``, says which.
        out: the table; the schema is :data:`SCHEMA`, rows are sorted by id.
        params: the names of the columns, and which label value means what.

    Raises:
        SourceError: the file is broken, a column is missing, or a value cannot be used.
    """
    table = Path(table)
    chosen = {
        "text": params.text_column,
        "label": params.label_column,
        "split": params.split_column,
        "group": params.group_column,
    }
    columns = {role: name for role, name in chosen.items() if name is not None}
    labels, groups, given = _Column(), _Column(), _Column()
    splits = bytearray()  # of each row, its place in SPLITS
    with _set_aside(out := Path(out)) as texts:
        for batch in read_batches(
            table, columns, advice="Set prepare.{role}_column in params.yaml"
        ):
            for role, column in (("label", labels), ("group", groups), ("split", given)):
                if role in batch:
                    column.extend(batch[role])
            for text in _texts(table, batch["text"], first_row=len(texts)):
                if "split" not in batch:
                    group = groups[len(texts)] if "group" in batch else None
                    splits.append(SPLITS.index(_hashed_split(group, text)))
                texts.append(text)
        if not len(texts):
            raise SourceError(f"{table} has no rows below its header")
        meanings = _meanings(table, labels, params)
        if "split" in columns:
            splits = _given_splits(table, given, labels, params)
        rows = _TableRows(splits, labels, meanings, groups if "group" in columns else None)
        digest = _digest_in_order((path, texts.sha256(row)) for row, path in rows.paths())
        return _write(out, rows.reviews(texts), texts, digest)


# --- The archive --------------------------------------------------------------------------------


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (path inside aclImdb/, bytes) of every review and urls file, in archive order."""
    try:
        with _unpacked(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            count = 0
            while (member := tar.next()) is not None:
                count += 1
                if count > MAX_MEMBERS:
                    raise SourceError(f"{archive} holds more than {MAX_MEMBERS:,} members")
                # tarfile remembers every member; millions of them fill the memory.
                tar.members.clear()  # type: ignore[attr-defined]
                path = _checked(archive, member)
                if path is None:
                    continue
                file = tar.extractfile(member)
                assert file is not None  # a regular file, as checked
                yield path, file.read()
            # tarfile ends quietly at a damaged header; only zeros may follow the real end.
            stream.finish()
    except FileNotFoundError:
        raise SourceError(f"{archive} is not here: run the download stage first") from None
    except (EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, gzip.BadGzipFile) as error:
        raise SourceError(_broken(archive, str(error))) from error
    except OSError as error:
        if error.errno is not None:  # the disk's fault
            raise
        raise SourceError(_broken(archive, str(error))) from error  # bz2 has no error of its own
    except (ValueError, OverflowError, RecursionError) as error:  # absurd headers
        raise SourceError(_broken(archive, str(error))) from error


def _broken(archive: Path, reason: str) -> str:
    return (
        f"{archive} is truncated or damaged ({quoted(reason)}):"
        " delete it and run the download stage again"
    )


def _checked(archive: Path, member: tarfile.TarInfo) -> str | None:
    """The path inside aclImdb/ of a review or urls file; None for what is of no interest."""
    name = member.name.removeprefix("./")  # `tar -c .` writes it
    if name.startswith("/") or ".." in name.split("/"):
        raise _refused(archive, member, "points outside the archive; such an archive is not read")
    if member.isdir():
        return None
    if not member.isreg() or member.issparse():
        raise _refused(archive, member, "is a link, a device or the like, expected a plain file")
    path = name.removeprefix(_ROOT) if name.startswith(_ROOT) else ""
    is_review = _FOLDER.match(path) is not None
    limit = MAX_REVIEW_BYTES if is_review else MAX_OTHER_BYTES
    if member.size > limit:
        raise _refused(
            archive, member, f"unpacks to {member.size:,} bytes, expected at most {limit:,}"
        )
    if is_review and not _REVIEW.fullmatch(path):
        raise _refused(archive, member, "is not named like a review: ID_RATING.txt, as in 0_9.txt")
    return path if is_review or _URLS.fullmatch(path) else None


def _refused(archive: Path, member: tarfile.TarInfo, reason: str) -> SourceError:
    return SourceError(f"{archive}: member {quoted(member.name)} {reason}")


def _twice(archive: Path, path: str) -> SourceError:
    return SourceError(f"{archive}: member {quoted(_ROOT + path)} stands in it twice")


class _Forward(io.RawIOBase):
    """The unpacked bytes of an archive, read forwards only, a bounded number of them."""

    def __init__(self, raw: IO[bytes], name: str) -> None:
        self._raw = raw
        self._name = name
        self._position = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= MAX_OTHER_BYTES + tarfile.BLOCKSIZE:
            # A header that announces gigabytes would have tarfile fetch them at once.
            raise SourceError(f"{self._name}: a header announces {size:,} bytes; it is not read")
        content = self._raw.read(size)
        self._position += len(content)
        if self._position > MAX_UNPACKED_BYTES:
            raise SourceError(
                f"{self._name} unpacks to more than {MAX_UNPACKED_BYTES:,} bytes; it is not read on"
            )
        return content

    def readinto(self, buffer: Any) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset < self._position:
            raise tarfile.ReadError("a header points backwards")
        while offset > self._position:
            if not self.read(min(offset - self._position, 1 << 20)):
                break
        return self._position

    def finish(self) -> None:
        """Read what is left, which also checks the packing's own sums; only zeros may come."""
        while rest := self.read(1 << 20):
            if rest.strip(b"\0"):
                raise tarfile.ReadError("there is no header where one was expected")

    def close(self) -> None:
        self._raw.close()
        super().close()


def _unpacked(archive: Path) -> _Forward:
    """Open an archive by what its first bytes say, whatever its suffix."""
    with archive.open("rb") as file:
        magic = file.read(6)
    opener: Callable[..., Any] = open
    for start, known in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open)):
        if magic.startswith(start):
            opener = known
    return _Forward(opener(archive, "rb"), str(archive))


def _key(path: str) -> bytes:
    """A review's path in half its bytes: keys sort as the paths do."""
    folder, _, name = path.rpartition("/")
    return b"%d%s" % (_FOLDERS.index(folder), name.removesuffix(".txt").encode())


def _path(key: bytes) -> str:
    name = key.decode()
    return f"{_FOLDERS[int(name[0])]}/{name[1:]}.txt"


def _in_order(
    archive: Path, keys: NDArray[np.bytes_], order: NDArray[np.uint32], texts: _SetAside
) -> Iterator[tuple[str, bytes]]:
    """Yield path and SHA-256 of each review, and refuse a path that stands twice."""
    before = None
    for number in order:
        path = _path(keys[number])
        if path == before:
            raise _twice(archive, path)
        yield path, texts.sha256(number)
        before = path


def _archive_reviews(
    keys: NDArray[np.bytes_],
    order: NDArray[np.uint32],
    texts: _SetAside,
    urls: dict[str, IO[bytes]],
) -> Iterator[_Review]:
    """Yield the rows in the order of their ids."""
    films = {name: _Films(name, lines) for name, lines in urls.items()}
    for number_in_archive in order:
        path = _path(keys[number_in_archive])
        match = _REVIEW.fullmatch(path)
        assert match is not None  # as checked
        part, kind, number, rating = (group for group in match.groups() if group is not None)
        list_name = f"{part}/urls_{kind}.txt"
        if list_name not in films:
            raise SourceError(f"the archive lacks {_ROOT}{list_name}, which names the films")
        films_of_kind = films[list_name]
        if int(number) >= len(films_of_kind):
            raise SourceError(
                f"{_ROOT}{list_name} has {len(films_of_kind):,} lines; {path} needs line"
                f" {int(number) + 1:,} to name its film"
            )
        sha256, text = texts[number_in_archive]
        yield _Review(
            id=path,
            split="unlabelled" if kind == "unsup" else part,  # type: ignore[arg-type]
            label=LABELS[kind],
            rating=int(rating) or None,
            film=films_of_kind[int(number)],
            text=_readable(path, text),
            sha256=sha256,
        )


class _Films:
    """The films that the lines of a file name; 4 bytes of each line stay in memory."""

    def __init__(self, name: str, lines: IO[bytes]) -> None:
        self._lines = lines
        self._ends = array("I", [0])  # up to MAX_OTHER_BYTES
        lines.seek(0)
        # A file ends its lines at newlines alone, bytes also at carriage returns.
        for number, line in enumerate((part for run in lines for part in run.splitlines(True)), 1):
            if not _FILM.search(line):
                raise SourceError(f"{_ROOT}{name}, line {number:,}: no film (tt and digits) in it")
            self._ends.append(self._ends[-1] + len(line))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> str:
        start, end = self._ends[number], self._ends[number + 1]
        film = _FILM.search(os.pread(self._lines.fileno(), end - start, start))
        assert film is not None  # as checked
        return film[0].decode()


def _readable(path: str, content: bytes) -> bytes:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{_ROOT}{path} is not UTF-8 at byte {error.start:,}: save it as UTF-8"
        ) from None
    if not text or text.isspace():
        raise SourceError(f"{_ROOT}{path} is empty: a review needs text")
    return content


# --- Own tables ---------------------------------------------------------------------------------


class _Column:
    """A column's values as text, each distinct one kept once."""

    def __init__(self) -> None:
        self._codes = array("i")
        self._code_of: dict[str | None, int] = {}
        self._values: list[str | None] = []

    def extend(self, cells: pa.Array) -> None:
        for cell in cells.to_pylist():
            value = _plain(cell)
            code = self._code_of.setdefault(value, len(self._values))
            if code == len(self._values):
                self._values.append(value)
            self._codes.append(code)

    def __getitem__(self, row: int) -> str | None:
        return self._values[self._codes[row]]

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def distinct(self) -> set[str]:
        return {value for value in self._values if value is not None}

    def first_row(self, value: str) -> int:
        return self._codes.index(self._code_of[value])


def _texts(table: Path, column: pa.Array, first_row: int) -> list[bytes]:
    if not pa.types.is_large_string(column.type):
        raise SourceError(f"{table}: the text column holds {column.type}, expected text")
    length = pc.utf8_length(pc.utf8_trim_whitespace(column))
    empty = pc.index(pc.equal(pc.fill_null(length, 0), 0), value=True).as_py()
    if empty >= 0:
        raise SourceError(
            f"{table}, row {first_row + empty}: the text is empty; fill it or delete the row"
        )
    texts: list[bytes] = column.cast(pa.large_binary()).to_pylist()
    return texts


def _meanings(table: Path, column: _Column, params: Prepare) -> dict[str | None, int | None]:
    """The label, 0 or 1, that each of a column's values stands for; None for none."""
    distinct = column.distinct
    foreign = sorted(distinct - params.labels.keys())
    if foreign:
        shown = ", ".join(
            f"{quoted(value)} (row {column.first_row(value)})" for value in foreign[:5]
        )
        classes = (
            f" The column holds {len(distinct)} different labels; rnnpipe learns two classes:"
            " map several to one class, or leave the other rows out."
            if len(distinct) > 2
            else ""
        )
        raise SourceError(
            f"{table}, column {params.label_column!r}: no meaning is known of {shown};"
            f" known: {', '.join(map(repr, params.labels))}.{classes}"
            " Set prepare.labels in params.yaml"
        )
    classes_found = {params.labels[value] for value in distinct}
    if len(classes_found) < 2:
        raise SourceError(
            f"{table}, column {params.label_column!r}: found"
            f" {'only ' + classes_found.pop() if classes_found else 'no'} labels, expected both"
            " neg and pos: there is nothing to tell apart"
        )
    return {None: None} | {value: LABELS[params.labels[value]] for value in distinct}


def _given_splits(table: Path, column: _Column, labels: _Column, params: Prepare) -> bytearray:
    splits = bytearray()
    for row in range(len(column)):
        split, label = column[row], labels[row]
        where = f"{table}, row {row}, column {params.split_column!r}"
        if split not in SPLITS:
            hint = "; validation is taken from train by itself" if split == "validation" else ""
            found = "nothing" if split is None else quoted(split)
            raise SourceError(f"{where}: found {found}, expected {', '.join(SPLITS)}{hint}")
        if label is None and split != "unlabelled":
            raise SourceError(
                f"{where}: {split}, but the row has no label; label it or write unlabelled"
            )
        splits.append(SPLITS.index(split))
    return splits


def _hashed_split(film: str | None, text: bytes) -> Split:
    """Test for one row in five, by a hash of its group, else its text: fixed for ever."""
    # The prefix keeps it independent of the hash that chooses validation.
    key = b"test:" + (film.encode() if film is not None else text)
    share = int.from_bytes(hashlib.sha256(key).digest()[:8], "big") / 2**64
    return "test" if share < TEST_SHARE else "train"


class _TableRows:
    """The rows of a table but for their texts."""

    def __init__(
        self,
        splits: bytearray,
        labels: _Column,
        meanings: dict[str | None, int | None],
        films: _Column | None,
    ) -> None:
        self._splits = splits
        self._labels = labels
        self._meanings = meanings
        self._films = films

    def _side(self, row: int) -> tuple[Split, int | None]:
        """A row's split, and its label where the split has any."""
        split, label = SPLITS[self._splits[row]], self._meanings[self._labels[row]]
        return ("unlabelled", None) if label is None or split == "unlabelled" else (split, label)

    def paths(self) -> Iterator[tuple[int, str]]:
        """Yield each row with its path as a review of an archive, in the order of the paths."""
        rows: dict[str, array[int]] = {}
        for row in range(len(self._labels)):
            split, label = self._side(row)
            kind = "unsup" if label is None else ("neg", "pos")[label]
            rows.setdefault(f"{split}/{kind}", array("q")).append(row)
        for folder in sorted(rows):
            for row in rows[folder]:
                yield row, f"{folder}/{_row_id(row)}"

    def reviews(self, texts: _SetAside) -> Iterator[_Review]:
        """Yield the rows in the order of their ids."""
        for row in range(len(texts)):
            split, label = self._side(row)
            film = self._films[row] if self._films else None
            sha256, text = texts[row]
            yield _Review(_row_id(row), split, label, None, film, text, sha256)


def _row_id(row: int) -> str:
    return f"row/{row:08}"


def _plain(value: Any) -> str | None:
    """A label's, split's or group's value as text; None where there is none.

    >>> _plain(" pos "), _plain(1.0), _plain("1.0"), _plain(True), _plain(""), _plain(float("nan"))
    ('pos', '1', '1', 'true', None, None)
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    # pandas writes 1.0 for 1 as soon as one cell of the column is empty.
    return re.sub(r"^(-?[0-9]+)\.0$", r"\1", str(value).strip()) or None


# --- The table of reviews -----------------------------------------------------------------------


def _write(out: Path, reviews: Iterable[_Review], texts: _SetAside, digest: str) -> Prepared:
    """Write rows that come in the order of their ids."""
    splits: Counter[str] = Counter()
    repeated = texts.repeated_marks()
    first_with: dict[bytes, str] = {}  # of texts that may stand twice alone: most do not
    duplicates = text_bytes = 0
    with (
        atomic_file(out) as partial,
        pq.ParquetWriter(
            partial, SCHEMA, compression="zstd", use_dictionary=["split", "label", "film"]
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
    counts: dict[str, int] = {split: splits[split] for split in SPLITS}
    logger.info("%s: %s", out, ", ".join(f"{count:,} {split}" for split, count in counts.items()))
    return Prepared(counts, duplicates, text_bytes, digest)


def _batches(reviews: Iterable[_Review]) -> Iterator[list[_Review]]:
    batch: list[_Review] = []
    for review in reviews:
        batch.append(review)
        if len(batch) == ROW_GROUP:
            yield batch
            batch = []
    if batch:
        yield batch
