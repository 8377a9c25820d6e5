"""Fetch what everything is read from: a file by its card, or a table by path or URL.

A transfer that broke goes on where it stopped, also in a later run: the bytes so far lie in a
``.part`` file outside the stage's outputs, which DVC removes before each run. It goes on only if
the server confirms (``If-Range``) that the file is still the same.
"""

import dataclasses
import hashlib
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit, urlunsplit
from urllib.request import url2pathname

from rnnpipe.errors import IntegrityError, NetworkError, RnnpipeError, SourceError, quoted
from rnnpipe.files import atomic_directory, read_json, sha256_file, write_json

if TYPE_CHECKING:
    import requests
    from tenacity import RetryCallState

logger = logging.getLogger(__name__)

MIRROR_VARIABLE = "RNNPIPE_MIRROR"
TABLE_SUFFIXES = (".csv", ".parquet")

MAX_BYTES = 20 * 10**9
MAX_REDIRECTS = 10
CHUNK_BYTES = 1 << 18
TIMEOUT_SECONDS = (10, 60)  # to connect; between two bytes
LONGEST_WAIT_SECONDS = 60.0


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


@dataclass(frozen=True)
class Fetched:
    """A file that is whole and lies where it belongs."""

    path: Path
    origin: str
    """Where it came from, without passwords and tokens."""
    bytes: int


def read_card(path: Path) -> Card:
    """Read and check a source's card, a JSON file with those fields of :class:`Card` that its kind has.

    Raises:
        SourceError: the file is missing or no JSON, a key is unknown or missing, or a value
            cannot be what it should be.
    """
    try:
        values = read_json(path)
    except FileNotFoundError:
        raise SourceError(f"{path} is not here: set download.source in params.yaml") from None
    except (JSONDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise SourceError(f"{path}: found {type(values).__name__}, expected an object")
    kinds = {field.name: field.type for field in dataclasses.fields(Card)}
    # What has another kind, or none, is told what an archive has; its kind is the next to go.
    found_kind = values.get("kind")
    fields = _KINDS.get(found_kind if isinstance(found_kind, str) else "", _KINDS["archive"])
    for found, expected, word in ((values, fields, "unknown"), (fields, values, "missing")):
        keys = [key for key in found if key not in expected]
        if keys:
            raise SourceError(
                f"{path}: {word} {', '.join(map(quoted, keys))}; expected {', '.join(fields)}"
            )
    for key in fields:
        value, kind = values[key], kinds[key]
        if type(value) is not kind or value in ("", 0) or (kind is int and value < 0):
            word = "a positive number" if kind is int else "text"
            raise SourceError(f"{path}: {key} is {quoted(value)}, expected {word}")
    card = Card(**values)
    if card.kind not in _KINDS:
        raise SourceError(
            f"{path}: kind is {quoted(card.kind)}, expected {' or '.join(map(quoted, _KINDS))}"
        )
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", card.file_name):
        raise SourceError(f"{path}: file_name is {quoted(card.file_name)}, expected a plain name")
    if card.kind == "table" and not card.file_name.lower().endswith(TABLE_SUFFIXES):
        raise SourceError(
            f"{path}: file_name is {quoted(card.file_name)}, expected a table's, which ends in"
            f" {' or '.join(TABLE_SUFFIXES)}"
        )
    for key, length in (("md5", 32), ("content_digest", 64), ("sha256", 64)):
        if key in fields and not re.fullmatch(rf"[0-9a-f]{{{length}}}", values[key]):
            raise SourceError(
                f"{path}: {key} is {quoted(values[key])}, expected {length} hex digits"
            )
    return card


def fetch(
    source: str,
    into: Path,
    partials: Path,
    *,
    table_name: str = "reviews",
    tries: int = 5,
    wait_seconds: float = 1.0,
) -> Fetched:
    """Put the file behind ``source`` alone into the folder ``into``, whole or not at all.

    The variable ``RNNPIPE_MIRROR``, a folder or a URL, stands in for a card's http(s) address.
    An archive that comes from a mirror may be packed differently: the stage prepare judges it by
    the digest of its reviews, so only what comes from the card's own address must have its size
    and MD5. A table must have its size and SHA-256 wherever it comes from.

    Args:
        source: a card (a path that ends in ``.json``), or a ``.csv`` or ``.parquet`` file by
            path or URL.
        into: the folder, replaced; in it the card's file name, or ``table_name`` with ``.csv`` or
            ``.parquet`` behind it.
        partials: where unfinished transfers lie.
        table_name: what a file without a card is called.
        tries: attempts in a row that may bring no new byte before the network is given up.
        wait_seconds: pause after the first of them; it doubles with each.

    Raises:
        NetworkError: the network failed in a way that may pass.
        IntegrityError: the file is not the one of the card; nothing is kept.
        SourceError: there is no such file, or the source cannot be used.
    """
    expected: Card | None = None
    if source.endswith(".json"):
        if _is_http(source):
            raise SourceError(f"{_shown(source)}: a card is read by path; download it first")
        card = read_card(Path(source).expanduser())
        address, name = card.address, card.file_name
        mirror = os.environ.get(MIRROR_VARIABLE, "")
        if mirror and _is_http(card.address):
            address = _on_mirror(mirror, card.file_name)
            expected = card if card.kind == "table" else None
        else:
            expected = card
    else:
        address, name = source, f"{table_name}{_table_suffix(source)}"
    with atomic_directory(into) as folder:
        target = folder / name
        if _is_http(address):
            transfer = _Transfer(address, partials, expected, tries, wait_seconds)
            transfer.run()
            _check(transfer.part, address, expected)
            shutil.move(transfer.part, target)
            transfer.forget()
        else:
            _copy(_local_path(address), target)
            _check(target, address, expected)
        size = target.stat().st_size
    logger.info("%s: %s bytes from %s", into / name, f"{size:,}", _shown(address))
    return Fetched(into / name, _shown(address), size)


# --- Addresses ----------------------------------------------------------------------------------


def _is_http(address: str) -> bool:
    return address.lower().startswith(("http://", "https://"))


def _may_lead_to(address: str, following: str) -> bool:
    """Whether a redirect stays as secure as it was."""
    if address.lower().startswith("https://"):
        return following.lower().startswith("https://")
    return _is_http(following)


def _parts(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError as error:
        raise SourceError(
            f"download.source or {MIRROR_VARIABLE} holds no URL that can be read: {error}"
        ) from None


def _table_suffix(source: str) -> str:
    path = _parts(source).path if _is_http(source) else source
    suffix = Path(path).suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise SourceError(
            f"{_shown(source)}: download.source ends in {quoted(suffix)}, expected .json (a card),"
            f" {' or '.join(TABLE_SUFFIXES)} (a table of your own)"
        )
    return suffix


def _on_mirror(mirror: str, file_name: str) -> str:
    if not _is_http(mirror):
        return str(_local_path(mirror) / file_name)
    parts = _parts(mirror)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(file_name)}"))


def _local_path(address: str) -> Path:
    if not address.lower().startswith("file:"):
        if "://" in address:
            raise SourceError(f"{_shown(address)}: expected a path, a file: or an http(s) URL")
        return Path(address).expanduser()
    parts = _parts(address)
    if parts.netloc not in ("", "localhost"):
        raise SourceError(f"{_shown(address)}: a file: URL with three slashes names a file here")
    return Path(url2pathname(parts.path))


def _shown(address: str) -> str:
    """An address fit for messages: without user, password and query, which may hold a token.

    >>> _shown("https://me:secret@host:8080/a.csv?token=secret")
    'https://host:8080/a.csv?…'
    """
    if "://" not in address:
        return address
    parts = _parts(address)
    query = "…" if parts.query else ""
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, unquote(parts.path), query, ""))


# --- Local files --------------------------------------------------------------------------------


def _copy(path: Path, target: Path) -> None:
    try:
        if not path.is_file():
            raise SourceError(
                f"{path} is no file here: check download.source in params.yaml and the variable"
                f" {MIRROR_VARIABLE} (a folder that holds the file, or a URL)"
            )
        with path.open("rb") as read, target.open("wb") as written:
            shutil.copyfileobj(read, written, CHUNK_BYTES)
    except PermissionError:
        raise SourceError(f"{path} may not be read: mend its permissions") from None


def _check(path: Path, address: str, card: Card | None) -> None:
    """Compare size and hash with the card, if there is one; remove the file if they differ."""
    if card is None:
        return
    size = path.stat().st_size
    if card.kind == "table":
        hashes = "sha256", sha256_file(path), card.sha256
    else:
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        hashes = "md5", md5.hexdigest(), card.md5
    for what, found, expected in (("bytes", size, card.bytes), hashes):
        if found != expected:
            path.unlink()
            raise IntegrityError(
                f"{_shown(address)}: {what} found {found}, expected {expected}; nothing of it is"
                " kept. Try again; if it stays so, the file was replaced, and a mirror"
                f" ({MIRROR_VARIABLE}) may still have the one of the card"
            )


# --- Transfers over http ------------------------------------------------------------------------


class _TransientError(Exception):
    """A fault that may pass; ``wait_seconds`` is what the server asked for, if it did."""

    def __init__(self, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class _Transfer:
    """One file on its way, with what is needed to go on after a break."""

    def __init__(
        self, address: str, partials: Path, card: Card | None, tries: int, wait_seconds: float
    ) -> None:
        self.address = address
        self.shown = _shown(address)
        self.card = card
        self.tries = tries
        self.wait_seconds = wait_seconds
        # One file an address; the hash keeps tokens and odd characters out of the name.
        key = hashlib.sha256(address.encode()).hexdigest()[:16]
        self.part = partials / f"{key}.part"
        self.state = partials / f"{key}.json"
        self.most = self._size()
        self.fruitless = 0

    def run(self) -> None:
        """Fetch until the part file is whole."""
        from tenacity import Retrying, retry_if_exception_type

        self.part.parent.mkdir(parents=True, exist_ok=True)
        retrying = Retrying(
            retry=retry_if_exception_type(_TransientError),
            stop=self._given_up,
            wait=self._pause,
            before_sleep=self._log_fault,
            reraise=True,
        )
        try:
            retrying(self._attempt)
        except _TransientError as fault:
            mirror = f"set {MIRROR_VARIABLE} to a folder or URL that has the file"
            raise NetworkError(
                f"{self.shown} cannot be fetched: {fault}. Try again later (what has come is kept"
                f" and not fetched again), or {mirror}, or run `make demo`, which needs no download"
            ) from None

    def forget(self) -> None:
        """Remove what was kept for going on."""
        self.part.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    # A long file over a bad line breaks often: only tries that bring nothing new count.

    def _given_up(self, _: "RetryCallState") -> bool:
        size = self._size()
        self.fruitless = 0 if size > self.most else self.fruitless + 1
        self.most = max(self.most, size)
        return self.fruitless >= self.tries

    def _pause(self, state: "RetryCallState") -> float:
        fault = state.outcome.exception() if state.outcome else None
        asked = fault.wait_seconds if isinstance(fault, _TransientError) else None
        pause = self.wait_seconds * 2**self.fruitless if asked is None else asked
        return float(min(pause, LONGEST_WAIT_SECONDS))

    def _log_fault(self, state: "RetryCallState") -> None:
        fault = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0
        logger.warning("%s: %s; trying again in %.0f s", self.shown, fault, pause)

    def _attempt(self) -> None:
        import requests

        offset = self._size()
        validator = self._validator() if offset else None
        if validator is None:
            self.forget()
            offset = 0
        # Compressed on the way, lengths and ranges would count other bytes than the file's.
        headers = {"Accept-Encoding": "identity"}
        if validator is not None:
            headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
        with requests.Session() as session, self._opened(session, headers) as response:
            if response.status_code == 416:
                if response.headers.get("Content-Range") == f"bytes */{offset}":
                    return  # it was whole already
                self.forget()
                raise _TransientError("the file there is another one by now")
            self._check_status(response)
            total = self._begin(response, offset)
            self._receive(response, total)

    @contextmanager
    def _opened(
        self, session: "requests.Session", headers: dict[str, str]
    ) -> Iterator["requests.Response"]:
        """Follow redirects by hand, so that one from https to http is refused before it is made."""
        import requests

        address = self.address
        for _ in range(MAX_REDIRECTS):
            try:
                response = session.get(
                    address,
                    headers=headers,
                    stream=True,
                    timeout=TIMEOUT_SECONDS,
                    allow_redirects=False,
                )
            except (requests.ConnectionError, requests.Timeout) as error:
                raise _TransientError(_reason(error)) from None
            except (requests.RequestException, UnicodeError) as error:
                raise SourceError(
                    f"{_shown(address)} cannot be asked for ({type(error).__name__}): check the"
                    " address"
                ) from None
            with response:
                if not response.is_redirect:
                    yield response
                    return
                following = urljoin(address, response.headers["Location"])
            if not _may_lead_to(address, following):
                raise SourceError(
                    f"{_shown(address)} leads on to {_shown(following)}, which is not secure;"
                    " it is not followed"
                )
            address = following
        raise SourceError(f"{self.shown} leads on more than {MAX_REDIRECTS} times; not followed")

    def _check_status(self, response: "requests.Response") -> None:
        status = response.status_code
        if status in (408, 429) or status >= 500:
            wait = _retry_after(response.headers.get("Retry-After"))
            raise _TransientError(f"the server answers {status}", wait)
        if status not in (200, 206):
            raise SourceError(
                f"{self.shown}: the server answers {status}, expected 200: check the address,"
                f" or set {MIRROR_VARIABLE} if it stands in a card"
            )
        encoding = response.headers.get("Content-Encoding", "identity")
        is_table = _parts(self.address).path.lower().endswith(TABLE_SUFFIXES)
        # An archive may be sent so, since what is in the body is still the .gz file itself.
        if is_table and encoding != "identity":
            raise SourceError(
                f"{self.shown}: the server packs the file (Content-Encoding {quoted(encoding)}),"
                " although asked not to: download it by hand and give its path"
            )

    def _validator(self) -> str | None:
        """What the server called this version of the file, if it is known."""
        try:
            state = read_json(self.state)
        except (FileNotFoundError, ValueError):
            return None
        validator = state.get("validator") if isinstance(state, dict) else None
        return validator if isinstance(validator, str) else None

    def _begin(self, response: "requests.Response", offset: int) -> int | None:
        """Make the part file ready for what comes; the size it will have, if it is known."""
        etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
        if response.status_code == 206:
            answer = response.headers.get("Content-Range", "")
            range_ = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer)
            # Some servers heed Range but not If-Range, and would mix two versions.
            same = not (etag or modified) or self._validator() in (etag, modified)
            if range_ is None or int(range_[1]) != offset or not same:
                self.forget()
                raise _TransientError("the server sends another part than was asked for")
            logger.info("%s: going on at byte %s", self.shown, f"{offset:,}")
            return None if range_[2] == "*" else int(range_[2])
        self.forget()
        # A weak ETag names a meaning, not bytes; If-Range must not hold one.
        validator = etag if etag and etag.startswith('"') else modified
        # The address stays out: it may hold a token.
        write_json(self.state, {"validator": validator})
        length = response.headers.get("Content-Length", "")
        return int(length) if re.fullmatch(r"\d+", length) else None

    def _receive(self, response: "requests.Response", total: int | None) -> None:
        limit = self.card.bytes if self.card else MAX_BYTES
        if total is not None and total > limit:
            raise self._too_large(f"{total:,}", limit)
        size = self._size()
        with self.part.open("ab") as part, _progress(self.shown, size, total) as advance:
            for chunk in _chunks(response):
                size += len(chunk)
                if size > limit:
                    part.close()
                    raise self._too_large(f"more than {limit:,}", limit)
                part.write(chunk)
                advance(len(chunk))
        if total is not None and size != total:
            raise _TransientError(f"it broke off at {size:,} of {total:,} bytes")

    def _too_large(self, found: str, limit: int) -> RnnpipeError:
        self.forget()
        fault = f"{self.shown}: found {found} bytes, expected at most {limit:,}; nothing is kept"
        return IntegrityError(fault) if self.card else SourceError(fault)


def _chunks(response: "requests.Response") -> Iterator[bytes]:
    """The body as it was sent: requests would unpack a .gz that is labelled as an encoding."""
    import urllib3

    try:
        yield from response.raw.stream(CHUNK_BYTES, decode_content=False)
    except urllib3.exceptions.HTTPError as error:
        raise _TransientError(f"it broke off ({type(error).__name__})") from None


def _reason(error: "requests.RequestException") -> str:
    # The error's own text repeats the address with its query: say it in our words.
    import requests

    kinds = {
        requests.exceptions.SSLError: "no secure connection",
        requests.exceptions.ProxyError: "the proxy lets nothing through",
        requests.Timeout: "no answer in time",
    }
    return next((said for kind, said in kinds.items() if isinstance(error, kind)), "no connection")


def _retry_after(header: str | None) -> float | None:
    """Seconds that a server asks to wait, from a number or a date; None if it does not."""
    if header is None:
        return None
    if re.fullmatch(r"\d{1,9}", header.strip()):
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None


@contextmanager
def _progress(name: str, start: int, total: int | None) -> Iterator[Callable[[int], object]]:
    """Yield a function that is told how many bytes came: a bar for people, lines for a log."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(
            desc=name.rpartition("/")[2], initial=start, total=total, unit="B", unit_scale=True
        ) as bar:
            yield bar.update
        return
    size = start
    step = max((total or 0) // 10, CHUNK_BYTES) if total else 100 * 10**6
    following = start + step

    def log(count: int) -> None:
        nonlocal size, following
        size += count
        if size >= following:
            of_total = f" of {total:,}" if total else ""
            logger.info("%s: %s%s bytes", name, f"{size:,}", of_total)
            following = size + step

    yield log
