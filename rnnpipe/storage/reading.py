"""The door that files of somebody else come in by: whatever is wrong with one becomes a sentence."""

import csv
import errno
import lzma
import os
import stat
import struct
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from rnnpipe.errors import SourceError, quoted, shown

# What readers say of content that they cannot make sense of. Not among them: what only a mistake of
# ours raises. A gzip that is none, and much of Arrow, says it by an OSError without a number.
_FAULTS = (
    pa.ArrowException,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    csv.Error,
    struct.error,
    EOFError,
    ArithmeticError,
    ValueError,  # of Unicode and JSON too
    RecursionError,
    MemoryError,
)
_PLACES = {
    errno.ENOTDIR: "lies below a file, expected a folder there",
    errno.EISDIR: "is a folder, expected a file",
    errno.EACCES: "may not be read: mend its permissions",
    errno.EPERM: "may not be read: mend its permissions",
    errno.ELOOP: "is a link that leads back to itself: mend it",
    errno.ENAMETOOLONG: "has too long a name for this file system: shorten it",
}
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def reading(
    path: Path,
    broken: str = "cannot be read: expected a whole file",
    missing: str = "check the path",
) -> Iterator[None]:
    """Turn whatever goes wrong in reading a file into one sentence about it.

    Args:
        path: the file; it is looked at first, for a pipe waits for who writes it, and a device may
            never end.
        broken: what to say of content that makes no sense; ``{reason}`` in it becomes the reader's
            own words, which may quote the content: leave it out where that is private.
        missing: what to do where there is no such file.

    Raises:
        SourceError: the file is not there, is no file, may not be read, or makes no sense.
    """
    try:
        _require_file(path, missing)
        yield
    except OSError as error:
        if error.errno in _FULL_DISK:  # of a file that is written meanwhile
            raise
        if error.errno is None:
            raise _broken(path, broken, error) from error
        raise SourceError(f"{shown(path)} {_misplaced(error, missing)}") from error
    except _FAULTS as error:
        raise _broken(path, broken, error) from error


def _require_file(path: Path, missing: str) -> None:
    if "\0" in str(path):
        raise SourceError(f"{shown(path)} is no path, for it holds a NUL: {missing}")
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise SourceError(f"{shown(path)} is a pipe, a device or the like, expected a file")


def _broken(path: Path, broken: str, error: BaseException) -> SourceError:
    return SourceError(f"{shown(path)} {broken.replace('{reason}', quoted(str(error)))}")


def _misplaced(error: OSError, missing: str) -> str:
    if error.errno == errno.ENOENT:
        return f"is not here: {missing}"
    fallback = f"cannot be read ({error.strerror}): mend that, or take another file"
    return _PLACES.get(error.errno or 0, fallback)
