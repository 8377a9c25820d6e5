"""What a server calls a version of a file by, and what of that vouches for its bytes (RFC 9110, 8.8)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime

# A file may change twice within a second, and clocks differ.
_STRONG_AFTER_SECONDS = 60


@dataclass(frozen=True)
class Version:
    """What a server calls a version of a file by, and how long it is."""

    validator: str
    total: int

    @property
    def is_whole(self) -> bool:
        """Whether it is known well enough to go on from a part."""
        return bool(self.validator) and self.total > 0

    def bears(self, headers: Mapping[str, str], lenient: bool = False) -> bool:
        """Whether an answer is about this version; a lenient look lets one pass that says nothing."""
        name = "ETag" if self.validator.startswith('"') else "Last-Modified"
        found = headers.get(name)
        return found == self.validator or (lenient and found is None)


def strong_validator(headers: Mapping[str, str]) -> str:
    """What stands for these very bytes (RFC 9110, 8.8); empty if nothing does."""
    etag = headers.get("ETag", "")
    if re.fullmatch(r'"[\x21\x23-\x7e]+"', etag):  # not W/"…", which names a meaning
        return etag
    last = headers.get("Last-Modified", "")
    modified, answered = seconds_since_1970(last), seconds_since_1970(headers.get("Date"))
    if modified is None or answered is None or formatdate(modified, usegmt=True) != last:
        return ""
    return last if answered - modified >= _STRONG_AFTER_SECONDS else ""


def seconds_since_1970(date: str | None) -> float | None:
    """A header's date in seconds since 1970; None if it is none."""
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, OverflowError, TypeError):
        return None


def content_range(header: str) -> tuple[int, int, int]:
    """First byte, the one behind the last, and size of all; nothing if the header does not tell."""
    found = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", header)
    if found is None:
        return -1, -1, -1
    first, last, total = map(int, found.groups())
    return (first, last + 1, total) if first <= last < total else (-1, -1, -1)
