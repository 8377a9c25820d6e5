"""The state of a training that was cut off, in one file that is believed only as far as it is proved.

The file is a line that names the format, a SHA-256 over the file's name and what follows, and an ``.npz``.
The name, which says what is trained, counts: another training's checkpoint under this one's name is not
this one's. What cannot be read, or is not whole, or does not fit, is set aside, and the training begins
anew.
"""

import hashlib
import io
import json
import logging
import os
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.storage.files import atomic_file

_MAGIC = b"rnnpipe checkpoint 1\n"
_HASH_BYTES = hashlib.sha256().digest_size
_SPARE_BYTES = 1 << 24  # for the epochs' figures and the names of arrays
_MOST_ASIDE = 100

_log = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]


class DamagedError(Exception):
    """A checkpoint is not what was written under its name; the text says why, without its path."""


class Checkpoint:
    """One file; see the module."""

    def __init__(self, path: Path) -> None:
        """Nothing is read yet; ``path`` names the training."""
        self.path = path
        self._cannot_write = False

    def read(self, use: Callable[[bytes], None], most: int) -> bytes:
        """Return the content; empty where there is none, or it was set aside, which the log says.

        Args:
            use: called with the content; it raises :class:`DamagedError` if that does not fit.
            most: bytes of all arrays together, beyond which it is none of ours.
        """
        try:
            content = self._verified(most + _SPARE_BYTES)
            if content:
                use(content)
        except DamagedError as error:
            self._set_aside(str(error))
            return b""
        return content

    def write(self, arrays: Arrays, epochs: Any) -> bool:
        """Write the state in place of an earlier one; tell whether that succeeded.

        Where it did not, the earlier one stays, and the log says so, once: a training need not end
        for want of room for what it may never need.
        """
        file = io.BytesIO()
        np.savez(file, **arrays, epochs=np.array(json.dumps(epochs)))  # type: ignore[arg-type]
        content = file.getbuffer()
        try:
            with atomic_file(self.path) as partial, partial.open("wb") as written:
                for part in (_MAGIC, self._hash(content), content):
                    written.write(part)
        except OSError as error:
            if not self._cannot_write:
                _log.warning(
                    "the training goes on, but its checkpoint %s cannot be written (%s): if it is cut"
                    " off, it begins again %s; make room, or see to the folder's rights",
                    self.path,
                    error.strerror or error,
                    "after the last that was" if self.path.is_file() else "from the first epoch",
                )
            self._cannot_write = True
            return False
        return True

    def remove(self) -> None:
        """Remove it, and what was set aside: the result is safe."""
        for path in (self.path, self._aside(0)):
            _remove(path)

    def remove_others(self) -> None:
        """Remove what other trainings have left beside it: parameters or data have changed since."""
        folder = self.path.parent
        left = {*folder.glob("*.npz"), *folder.glob("*.npz.damaged"), *folder.glob(".*.partial")}
        for path in left - {self.path, self._aside(0)}:
            _remove(path)

    def _aside(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.damaged{number or ''}")

    def _verified(self, most: int) -> bytes:
        """Return the ``.npz``; empty where there is no file."""
        try:
            found = os.lstat(self.path)
            if not stat.S_ISREG(found.st_mode):
                raise DamagedError("it is no file")
            if found.st_size > most:
                raise DamagedError(f"it has {found.st_size:,} bytes, expected at most {most:,}")
            content = self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return b""
        except OSError as error:
            raise DamagedError(f"it cannot be read ({error.strerror})") from None
        head = len(_MAGIC) + _HASH_BYTES
        if not content.startswith(_MAGIC) or len(content) < head:
            raise DamagedError(f"its {len(content):,} bytes do not begin as a checkpoint")
        if content[len(_MAGIC) : head] != self._hash(memoryview(content)[head:]):
            raise DamagedError("its bytes are not those that were written under this name")
        return content[head:]

    def _hash(self, content: "memoryview") -> bytes:
        digest = hashlib.sha256(os.fsencode(self.path.name) + b"\0")
        digest.update(content)
        return digest.digest()

    def _set_aside(self, reason: str) -> None:
        # In place of an earlier one; but a folder, which is none of ours, keeps its place.
        is_file = not self.path.is_dir()
        free = (
            path
            for path in map(self._aside, range(_MOST_ASIDE))
            if not os.path.lexists(path) or (is_file and not path.is_dir())
        )
        aside = next(free, self._aside(0))
        try:
            self.path.replace(aside)
            became = f"set aside as {aside.name}"
        except OSError as error:
            became = f"left where it is ({error.strerror})"
        _log.warning(
            "the checkpoint %s is not used: %s; it is %s, and the training begins anew",
            self.path,
            reason,
            became,
        )


def read_arrays(content: bytes, expected: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Read a checkpoint's arrays and epochs.

    Args:
        content: that :meth:`Checkpoint.read` gives.
        expected: for each array one of its shape and dtype.

    Raises:
        DamagedError: an array is missing, or of another shape or dtype, or is no array.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in expected}
            epochs = json.loads(str(saved["epochs"]))
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile, RecursionError) as error:
        raise DamagedError(f"it does not hold what this training keeps ({error})") from None
    for name, array in arrays.items():
        like = expected[name]
        if array.shape != tuple(like.shape) or array.dtype != like.dtype:
            raise DamagedError(
                f"its {name} is {array.dtype}{list(array.shape)}, expected"
                f" {like.dtype}{list(like.shape)}"
            )
    return arrays, epochs


def _remove(path: Path) -> None:
    """Remove a file, as far as that is allowed; a folder is none of ours."""
    if path.is_dir() and not path.is_symlink():
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("%s cannot be removed (%s)", path, error.strerror)
