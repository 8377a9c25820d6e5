"""JSON that others wrote: read by what it must be, typed and of bounded size."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from rnnpipe.errors import RegistryError, quoted

MOST_BYTES = 2**22  # of a document, unless more is allowed

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$")]
"""A plain name: no separator, no step upwards, no more than a hundred characters."""

Kind = TypeVar("Kind")


def parse_document(
    kind: type[Kind], text: str | bytes, what: str, advice: str, most: int = MOST_BYTES
) -> Kind:
    """Turn JSON into what it must be.

    Args:
        kind: a model of pydantic, a dataclass, or any type that pydantic can check.
        text: of the document.
        what: how an error begins: ``FILE is no …``.
        advice: how it ends: what to do.
        most: bytes or characters that are read.

    Raises:
        RegistryError: it is too long, no JSON, or not of this kind; the first fault is named.
    """
    if len(text) > most:
        raise RegistryError(f"{what} (it is longer than {most:,} bytes): {advice}")
    try:
        found: Kind = TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise RegistryError(f"{what} ({_first_fault(error)}): {advice}") from None
    return found


def read_document(
    kind: type[Kind], path: Path, what: str, advice: str, most: int = MOST_BYTES
) -> Kind:
    """Read a file as :func:`parse_document` reads a text.

    Raises:
        RegistryError: also where the file is missing, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            text = file.read(most + 1)
    except OSError as error:
        raise RegistryError(
            f"{what} ({error.strerror or type(error).__name__}): {advice}"
        ) from None
    return parse_document(kind, text, what, advice, most)


def _first_fault(error: ValidationError) -> str:
    fault: dict[str, Any] = dict(error.errors(include_url=False)[0])
    place = ".".join(str(part)[:100] for part in fault["loc"][:10])
    said = str(fault["msg"])[:200]
    if fault["type"] in ("json_invalid", "missing"):
        return f"{place}: {said}" if place else said
    return f"{place or 'it'}: {said}, found {quoted(fault['input'])}"
