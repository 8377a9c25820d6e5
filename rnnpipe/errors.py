"""What can go wrong, each with the exit code the command line ends with.

A message says what was found, what was expected, and what to do; it is printed
as it stands, without a traceback; but for what would steer a terminal.
"""

import errno
import re
import sqlite3
import unicodedata

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
    several_lines = False  # where a message may have some: line breaks are ours then


class ParameterError(RnnpipeError):
    """A parameter is unknown, misspelt, or out of its range."""

    exit_code = 2
    several_lines = True


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


class StorageError(RnnpipeError, OSError):
    """A file or folder cannot be written where it belongs; an error of the system like others."""


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


# Signs that are format characters to Unicode, and are seen: Arabic, Syriac and Kaithi number signs.
_SEEN = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
_JOINERS = frozenset("\u200c\u200d")  # within Persian words, and between emoji
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]{1,16}\U000e007f")  # England, Scotland, Wales


def printable(value: object, several_lines: bool = False) -> str:
    r"""A text that someone else chose, fit for a terminal: what would steer it is escaped.

    Escaped are control characters (colours, the cursor, line breaks), what turns the direction of
    writing, and what is not seen at all. Letters of all languages and emoji stay.

    Args:
        value: any text.
        several_lines: let line breaks stand.

    >>> printable("fine\x1b[2J\nNo error"), printable("été 👩‍🚀")
    ('fine\\x1b[2J\\nNo error', 'été 👩\u200d🚀')
    """
    text = str(value)
    if text.isprintable():  # no format character, nor any control character
        return text
    parts = [*_FLAG.split(text)]
    flags = [*_FLAG.findall(text), ""]
    safe = ("".join(_escaped(char, several_lines) for char in part) for part in parts)
    return "".join(part + flag for part, flag in zip(safe, flags, strict=True))


def _escaped(char: str, several_lines: bool) -> str:
    if char.isprintable() or char in _JOINERS or char in _SEEN or (several_lines and char == "\n"):
        return char
    category = unicodedata.category(char)
    # Unassigned may be an emoji younger than Python; on plane 14 it would not be seen.
    if category in ("Zs", "Co") or (category == "Cn" and not 0xE0000 <= ord(char) <= 0xE0FFF):
        return char
    return char.encode("unicode_escape").decode()
