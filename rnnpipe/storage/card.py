"""A source's card: where the data come from, and what they must be."""

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path

from rnnpipe.errors import SourceError, quoted, shown
from rnnpipe.storage.addresses import TABLE_SUFFIXES
from rnnpipe.storage.reading import reading

MAX_CARD_BYTES = 1 << 20
MAX_NUMBER = 10**15


@dataclass(frozen=True)
class Card:
    """What is known of a source before it is fetched."""

    name: str
    kind: str
    """How it is read: ``archive``, of reviews, or ``table``, a CSV or parquet file."""
    address: str
    """An http(s) or file URL, or a path; a mirror stands in for http(s) only."""
    file_name: str
    """What the file is called, here and on a mirror."""
    bytes: int
    """Size of the file at ``address``; a mirror may pack an archive differently, never a table."""
    citation: str
    md5: str = ""
    """MD5 of the archive at ``address``, in hex."""
    content_digest: str = ""
    """SHA-256 of all reviews in an archive, in hex, the same for every packing."""
    reviews: int = 0
    """How many an archive holds."""
    sha256: str = ""
    """SHA-256 of a table's bytes, in hex."""

    @property
    def content(self) -> dict[str, object]:
        """What stands in its file: the fields that its kind has."""
        return {name: getattr(self, name) for name in _KINDS[self.kind]}


_ALWAYS = ("name", "kind", "address", "file_name", "bytes")
_KINDS = {
    "archive": (*_ALWAYS, "md5", "content_digest", "reviews", "citation"),
    "table": (*_ALWAYS, "sha256", "citation"),
}


def read_card(path: Path) -> Card:
    """Read and check a source's card, a JSON file with those fields of :class:`Card` that its kind has.

    Raises:
        SourceError: the file is missing or no JSON, a key is unknown or missing, or a value
            cannot be what it should be.
    """
    missing = "set download.source in params.yaml"
    with reading(path, "is not valid JSON: {reason}", missing):
        if (size := path.stat().st_size) > MAX_CARD_BYTES:
            raise SourceError(
                f"{shown(path)} has {size:,} bytes, expected a card, of at most {MAX_CARD_BYTES:,}"
            )
        values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise SourceError(f"{shown(path)}: found {type(values).__name__}, expected an object")
    kinds = {field.name: field.type for field in dataclasses.fields(Card)}
    # What has another kind, or none, is told what an archive has; its kind is the next to go.
    found_kind = values.get("kind")
    fields = _KINDS.get(found_kind if isinstance(found_kind, str) else "", _KINDS["archive"])
    for found, expected, word in ((values, fields, "unknown"), (fields, values, "missing")):
        keys = [key for key in found if key not in expected]
        if keys:
            raise SourceError(
                f"{shown(path)}: {word} {', '.join(map(quoted, keys[:5]))}; expected {', '.join(fields)}"
            )
    for key in fields:
        value, kind = values[key], kinds[key]
        if (
            type(value) is not kind
            or value in ("", 0)
            or (kind is int and not 0 < value <= MAX_NUMBER)
        ):
            word = "a positive number" if kind is int else "text"
            raise SourceError(f"{shown(path)}: {key} is {quoted(value)}, expected {word}")
    card = Card(**values)
    if card.kind not in _KINDS:
        raise SourceError(
            f"{shown(path)}: kind is {quoted(card.kind)}, expected {' or '.join(map(quoted, _KINDS))}"
        )
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", card.file_name):
        raise SourceError(
            f"{shown(path)}: file_name is {quoted(card.file_name)}, expected a plain name"
        )
    if card.kind == "table" and not card.file_name.lower().endswith(TABLE_SUFFIXES):
        raise SourceError(
            f"{shown(path)}: file_name is {quoted(card.file_name)}, expected a table's, which ends in"
            f" {' or '.join(TABLE_SUFFIXES)}"
        )
    for key, length in (("md5", 32), ("content_digest", 64), ("sha256", 64)):
        if key in fields and not re.fullmatch(rf"[0-9a-f]{{{length}}}", values[key]):
            raise SourceError(
                f"{shown(path)}: {key} is {quoted(values[key])}, expected {length} hex digits"
            )
    return card
