"""Files that are either whole or not there: write beside the target, then rename.

Where the target is a symbolic link, what it leads to is replaced, and the link stays.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rnnpipe.errors import RnnpipeError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block ends well.

    On an exception the temporary file is removed and what stood at ``path`` stays.

    Raises:
        RnnpipeError: ``path`` is a symbolic link that leads nowhere, or to a folder.
    """
    path = _behind_link(Path(path), folder=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty directory beside ``path`` that replaces it when the block ends well.

    On an exception the new directory is removed and what stood at ``path`` stays.

    Raises:
        RnnpipeError: ``path`` is a symbolic link that leads nowhere, or to no folder.
    """
    path = _behind_link(Path(path), folder=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    previous = path.with_name(f".{path.name}.previous")
    if previous.exists() and not path.exists():
        previous.replace(path)  # an earlier process died between the two renames below
    for leftover in (partial, previous):
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


def _behind_link(path: Path, *, folder: bool) -> Path:
    """Return where a path leads, if it is a link to a file or folder that may be replaced there."""
    if not path.is_symlink():
        return path
    try:
        target = path.resolve()
        # An earlier process may have died between the two renames of a folder.
        died = folder and not target.exists()
        found = target.with_name(f".{target.name}.previous") if died else target
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
    """Read one JSON document."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


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
