"""Files that are either whole or not there: write beside the target, then rename.

Where the target is a symbolic link, what it leads to is replaced, and the link stays.
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil

from rnnpipe.errors import FileError, RnnpipeError, StorageError, shown

# What a place says that takes no file; that a disk is full is told where all commands end.
_NO_PLACE = {
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.ENOTDIR: "a file stands where a folder should",
    errno.EEXIST: "a file stands where a folder should",
    errno.EISDIR: "a folder stands where a file should",
    errno.ELOOP: "a link leads back to itself",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EIO: "the disk reports a fault",
    errno.ENOENT: "what it is to stand in or to come from is gone",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the refusal of a place to be written to into one sentence.

    Raises:
        StorageError: ``path`` cannot be written; a full disk and other files' faults pass through.
    """
    try:
        yield
    except OSError as error:
        names = [name for name in (error.filename, error.filename2) if isinstance(name, str | Path)]
        ours = bool(names) and all(_belongs_to(path, name) for name in names)
        if error.errno not in _NO_PLACE or not ours:
            raise
        raise StorageError(
            f"{shown(path)} cannot be written, for {_NO_PLACE[error.errno]}: expected a place that can"
            " be written to; what stood there is as it was"
        ) from error


def _belongs_to(path: Path, name: str | Path) -> bool:
    """Whether a file is the one to write, a folder above it, or a temporary one beside it."""
    path, found = path.absolute(), Path(name).absolute()
    temporary = any(
        part.parent == path.parent and part.name.startswith(f".{path.name}.")
        for part in (found, *found.parents)
    )
    return temporary or found in (path, *path.parents)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block ends well.

    On an exception the temporary file is removed and what stood at ``path`` stays.

    Raises:
        RnnpipeError: ``path`` is a symbolic link that leads nowhere, or to a folder.
    """
    path = Path(path)
    with writing(path):
        path = _behind_link(path, folder=False)
    partial = _beside(path, "partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in _left_behind(path, "partial"):
            leftover.unlink(missing_ok=True)
        partial.touch()  # asked here, the place says no by name; libraries often do not
        partial.unlink()
        try:
            yield partial
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def temporary_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield an empty file beside ``path`` that has no name: it ends with the process at the latest."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(  # noqa: SIM115
            dir=path.parent, prefix=f".{path.name}."
        )
    with file:
        yield file


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty directory beside ``path`` that replaces it when the block ends well.

    On an exception the new directory is removed and what stood at ``path`` stays.

    Raises:
        RnnpipeError: ``path`` is a symbolic link that leads nowhere, or to no folder.
    """
    path = Path(path)
    with writing(path):
        path = _behind_link(path, folder=True)
    partial, previous = _beside(path, "partial"), _beside(path, "previous")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in _left_behind(path, "previous"):
            if not path.exists():  # a process died between the two renames below
                leftover.replace(path)
        for kind in ("partial", "previous"):
            for leftover in _left_behind(path, kind):
                shutil.rmtree(leftover, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
            if path.exists():
                path.replace(previous)
            try:
                partial.replace(path)
            except OSError:
                if previous.exists():
                    previous.replace(path)
                raise
        finally:
            for leftover in (partial, previous):
                shutil.rmtree(leftover, ignore_errors=True)


def _beside(path: Path, kind: str) -> Path:
    """Return a name beside a path that no other writer of it has, in this process or another."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.{kind}")


def _left_behind(path: Path, kind: str) -> list[Path]:
    """Return what writers of a path have left that are not alive any more."""
    begin, end = f".{path.name}.", f".{kind}"
    found = []
    for name in (other.name for other in path.parent.iterdir()):
        pid = name.removeprefix(begin).removesuffix(end).partition("-")[0]
        ours = name.startswith(begin) and name.endswith(end)
        # Earlier releases had one name for all writers.
        if (ours and pid.isdigit() and not psutil.pid_exists(int(pid))) or name == begin[:-1] + end:
            found.append(path.with_name(name))
    return found


def _behind_link(path: Path, *, folder: bool) -> Path:
    """Return where a path leads, if it is a link to a file or folder that may be replaced there."""
    if not path.is_symlink():
        return path
    try:
        target = path.resolve()
        # An earlier process may have died between the two renames of a folder.
        died = folder and not target.exists()
        found = next(iter(_left_behind(target, "previous")), target) if died else target
        fits = found.is_dir() if folder else found.is_file()
    except (OSError, RuntimeError):  # RuntimeError: a circle of links
        target, fits = path.readlink(), False
    if not fits:
        raise RnnpipeError(
            f"{path} is a link to {target}, expected one to a {'folder' if folder else 'file'} that"
            " is there: make that, or remove the link"
        )
    # DVC links to files of its cache, which nobody may write: such a link is replaced itself.
    return target if folder or target.stat().st_mode & 0o222 else path


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with a final newline, keys in the given order.

    Raises:
        ValueError: a number is NaN or infinite, which JSON does not know.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read one JSON document.

    Raises:
        FileError: it is none, for instance with git's marks of a conflict in it.
    """
    text = ""
    try:
        text = Path(path).read_text(encoding="utf-8")
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, endless digits, too deep
        found = "git's marks of a conflict" if "<<<<<<<" in text else str(error)[:200]
        raise FileError(
            f"{path} is not valid JSON: found {found}; bring it back (git checkout, dvc checkout) or make"
            " it anew (dvc repro)"
        ) from None


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_directory(path: Path) -> str:
    """SHA-256 over the sorted lines ``NAME<TAB>SHA256<NEWLINE>`` of a folder's files, in hex.

    NAME is the path relative to the folder with forward slashes. Modes and times do not count.
    """
    path = Path(path)
    lines = sorted(
        f"{file.relative_to(path).as_posix()}\t{sha256_file(file)}\n"
        for file in path.rglob("*")
        if file.is_file()
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()
