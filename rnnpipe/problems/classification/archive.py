"""An archive in the IMDB layout, read in one pass and trusted in nothing."""

import io
import os
import re
import tarfile
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.errors import IntegrityError, SourceError, quoted, shown
from rnnpipe.problems.classification.reviews import (
    Prepared,
    Review,
    TextSpool,
    digest_in_order,
    text_spool,
    write_reviews,
)
from rnnpipe.storage.files import temporary_file
from rnnpipe.storage.packing import open_unpacked
from rnnpipe.storage.reading import reading

# What an honest archive never reaches; a bomb does.
MAX_REVIEW_BYTES = 1 << 20
MAX_OTHER_BYTES = 64 << 20
MAX_HEADER_BYTES = 1 << 20
MAX_UNPACKED_BYTES = 4 << 30
MAX_MEMBERS = 5_000_000

CLASSES = ("neg", "pos")
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
    with text_spool(out) as texts, ExitStack() as stack:
        for path, content in _members(archive):
            if not _URLS.fullmatch(path):
                keys += _key(path).ljust(_KEY_BYTES, b"\0")
                texts.append(content)
            elif path in urls:
                raise _twice(archive, path)
            else:
                urls[path] = stack.enter_context(temporary_file(out))
                urls[path].write(content)
        named = np.frombuffer(keys, f"S{_KEY_BYTES}")
        order = np.argsort(named).astype(np.uint32)  # MAX_MEMBERS fits
        found = digest_in_order(_in_order(archive, named, order, texts))
        if found != content_digest:
            raise IntegrityError(
                f"{shown(archive)}: the digest of its {len(named):,} reviews is {found}, expected"
                f" {content_digest}: reviews were added, removed or changed. Delete it and download"
                " it again; if you changed the reviews on purpose, put the new digest into the card"
            )
        reviews = _archive_reviews(named, order, texts, urls)
        return write_reviews(out, reviews, texts, found, CLASSES)


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (path inside aclImdb/, bytes) of every review and urls file, in archive order."""
    broken = "is truncated or damaged ({reason}): delete it and run the download stage again"
    with (
        reading(archive, broken, missing="run the download stage first"),
        _Forward(open_unpacked(archive), shown(archive)) as stream,
        tarfile.open(fileobj=stream, mode="r:") as tar,
    ):
        count = 0
        while (member := _following(tar, stream)) is not None:
            count += 1
            if count > MAX_MEMBERS:
                raise SourceError(f"{shown(archive)} holds more than {MAX_MEMBERS:,} members")
            path = _checked(archive, member)
            if path is None:
                continue
            file = tar.extractfile(member)
            assert file is not None  # a regular file, as checked
            yield path, file.read()
        # tarfile ends quietly at a damaged header; only zeros may follow the real end.
        stream.finish()


def _following(tar: tarfile.TarFile, stream: "_Forward") -> tarfile.TarInfo | None:
    stream.most = MAX_HEADER_BYTES
    member = tar.next()
    stream.most = MAX_OTHER_BYTES
    # tarfile remembers every member, and what is said of all of them; both can fill the memory.
    tar.members.clear()  # type: ignore[attr-defined]
    tar.pax_headers.clear()  # type: ignore[attr-defined]
    return member


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
            archive,
            member,
            f"unpacks to {shown(f'{member.size:,}')} bytes, expected at most {limit:,}",
        )
    if is_review and not _REVIEW.fullmatch(path):
        raise _refused(archive, member, "is not named like a review: ID_RATING.txt, as in 0_9.txt")
    return path if is_review or _URLS.fullmatch(path) else None


def _refused(archive: Path, member: tarfile.TarInfo, reason: str) -> SourceError:
    return SourceError(f"{shown(archive)}: member {quoted(member.name)} {reason}")


def _twice(archive: Path, path: str) -> SourceError:
    return SourceError(f"{shown(archive)}: member {quoted(_ROOT + path)} stands in it twice")


class _Forward(io.RawIOBase):
    """The unpacked bytes of an archive, read forwards only, a bounded number of them."""

    def __init__(self, raw: IO[bytes], name: str) -> None:
        self._raw = raw
        self._name = name
        self._position = 0
        self.most = MAX_HEADER_BYTES
        """Bytes that may be asked for at once."""

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= self.most + tarfile.BLOCKSIZE:
            # A header that announces gigabytes would have tarfile fetch them at once.
            raise SourceError(
                f"{self._name}: a header announces {quoted(size)} bytes, expected at most"
                f" {self.most:,}; it is not read"
            )
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


def _key(path: str) -> bytes:
    """A review's path in half its bytes: keys sort as the paths do."""
    folder, _, name = path.rpartition("/")
    return b"%d%s" % (_FOLDERS.index(folder), name.removesuffix(".txt").encode())


def _path(key: bytes) -> str:
    name = key.decode()
    return f"{_FOLDERS[int(name[0])]}/{name[1:]}.txt"


def _in_order(
    archive: Path, keys: NDArray[np.bytes_], order: NDArray[np.uint32], texts: TextSpool
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
    texts: TextSpool,
    urls: dict[str, IO[bytes]],
) -> Iterator[Review]:
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
        yield Review(
            id=path,
            split="unlabelled" if kind == "unsup" else part,  # type: ignore[arg-type]
            label=CLASSES.index(kind) if kind in CLASSES else None,
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
