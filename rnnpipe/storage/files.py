"""Files that are either whole or not there: write beside the target, then rename."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rnnpipe.errors import FileError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block ends well.

    On an exception the temporary file is removed and what stood at ``path`` stays.
    """
    path = Path(path)
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
    """
    path = Path(path)
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
