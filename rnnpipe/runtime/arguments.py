"""What commands take as arguments."""

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path


def path(text: str) -> Path:
    """A path; a ``~`` at its beginning is a home folder, also where no shell has seen to it."""
    return Path(path_or_name(text))


def path_or_name(text: str) -> str:
    """A path, as :func:`path` takes it, or what is no path but a version, a stage, or ``-``."""
    if not text.startswith("~"):
        return text
    try:
        return str(Path(text).expanduser())
    except RuntimeError:
        raise ArgumentTypeError(
            f"found {text[:100]!r}, whose home folder nobody knows: write it out, or with ./ before"
            " it if it is a name"
        ) from None


def add_csv_arguments(parser: ArgumentParser) -> None:
    """Add how a CSV is written, as the parameters of the same names tell it to the pipeline."""
    parser.add_argument(
        "--quoting",
        choices=("double", "none"),
        default="double",
        help="of a CSV; none: a quote is a sign",
    )
    parser.add_argument("--encoding", default="utf-8", help="of a CSV, such as cp1252 (utf-8)")
    parser.add_argument(
        "--escape", choices=("none", "backslash"), default="none", help="of a CSV; before a quote"
    )
