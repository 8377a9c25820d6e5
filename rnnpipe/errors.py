"""What can go wrong, each with the exit code the command line ends with.

A message says what was found, what was expected, and what to do; it is printed
as it stands, without a traceback.
"""

import errno
import sqlite3

_ADVICE = {
    errno.EISDIR: "expected a file: name one",
    errno.ENOTDIR: "expected a folder on the way there: mend the path",
    errno.ELOOP: "its links lead in a circle: mend them",
    errno.ENAMETOOLONG: "expected a shorter name",
    errno.EROFS: "expected a disk that can be written: work elsewhere",
    errno.EACCES: "mend its permissions",
    errno.EPERM: "mend its permissions",
    errno.ENOENT: "expected it to be there: check the name, or make it by dvc repro",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}
_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# NumPy, HDF5 and SQLite (in which DVC keeps its state) tell it in words alone.
_WORDS_OF_A_FULL_DISK = (
    "requested and",
    "errno = 28",
    "errno = 27",
    "disk I/O error",
    "disk is full",
)


class RnnpipeError(Exception):
    """Root of every error a user can cause or mend."""

    exit_code = 1


class ParameterError(RnnpipeError):
    """A parameter is unknown, misspelt, or out of its range."""

    exit_code = 2


class NetworkError(RnnpipeError):
    """The network failed in a way that may pass: trying again later can help."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h; the flow retries on this code alone


class IntegrityError(RnnpipeError):
    """Bytes are not the ones that were promised: a hash or digest differs."""


class FileError(RnnpipeError, ValueError):
    """A file of the project's own cannot be read as what it is: damaged, merged, or altered."""


class InputsError(RnnpipeError):
    """What a stage read was changed while it ran, so that its result belongs to nothing."""


class SourceError(RnnpipeError):
    """A source's content cannot be used: broken archive, missing column, foreign label."""


class StorageError(RnnpipeError):
    """A file or folder cannot be written where it belongs."""


class DataValidationError(RnnpipeError):
    """A critical expectation about the data does not hold."""


class TrainingError(RnnpipeError):
    """Training cannot go on, for instance because the loss is not a number."""


class RegistryError(RnnpipeError):
    """A model cannot be registered, published, found, or loaded."""


def quoted(value: object) -> str:
    """A value that someone else chose, fit for a message: in quotes, and not too long."""
    shown = repr(value)
    return shown if len(shown) <= 100 else f"{shown[:99]}…"


def sentence_of(error: Exception) -> str | None:
    """Return what to say of an error of the system; none where it is a fault of the program.

    Args:
        error: as Python or a library raised it.
    """
    full = getattr(error, "errno", None) in _DISK_IS_FULL or any(
        words in str(error) for words in _WORDS_OF_A_FULL_DISK
    )
    if full and isinstance(error, OSError | sqlite3.OperationalError):
        return (
            f"cannot write: {error}; nothing was left half written: free some space and run the"
            " same command again"
        )
    if isinstance(error, OSError) and error.errno is not None:
        what = quoted(error.filename) if error.filename is not None else "a file or connection"
        advice = _ADVICE.get(error.errno, "mend that and run the same command again")
        return f"cannot use {what}: {error.strerror}; {advice}"
    if isinstance(error, ValueError) and "null byte" in str(error):
        return "found a name with a null byte, expected the name of a file: mend it"
    if isinstance(error, MemoryError):
        return "the memory is used up: take less at once, or a machine with more"
    return None


def shown(name: object) -> str:
    """A path or a name as it stands, if it is short and all of it can be printed; else quoted."""
    text = str(name)
    return text if len(text) <= 300 and text.isprintable() else quoted(text)
