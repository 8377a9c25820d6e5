"""What can go wrong, each with the exit code the command line ends with.

A message says what was found, what was expected, and what to do; it is printed
as it stands, without a traceback.
"""


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


def shown(name: object) -> str:
    """A path or a name as it stands, if it is short and all of it can be printed; else quoted."""
    text = str(name)
    return text if len(text) <= 300 and text.isprintable() else quoted(text)
