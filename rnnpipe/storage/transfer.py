"""One transfer over http: it goes on where it was cut off, and ends by stated limits."""

import hashlib
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from rnnpipe.errors import IntegrityError, NetworkError, RnnpipeError, SourceError, quoted
from rnnpipe.storage.files import read_json, write_json

if TYPE_CHECKING:
    import requests
    from tenacity import RetryCallState

from rnnpipe.storage.addresses import (
    MIRROR_VARIABLE,
    TABLE_SUFFIXES,
    may_lead_to,
    shown_address,
    url_parts,
)
from rnnpipe.storage.card import Card

logger = logging.getLogger(__name__)

MAX_BYTES = 20 * 10**9
MAX_REDIRECTS = 10
CHUNK_BYTES = 1 << 18
TIMEOUT_SECONDS = (10, 60)  # to connect; between two bytes
LONGEST_WAIT_SECONDS = 60.0


class _TransientError(Exception):
    """A fault that may pass; ``wait_seconds`` is what the server asked for, if it did."""

    def __init__(self, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class Transfer:
    """One file on its way, with what is needed to go on after a break."""

    def __init__(
        self, address: str, partials: Path, card: Card | None, tries: int, wait_seconds: float
    ) -> None:
        self.address = address
        self.shown = shown_address(address)
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
                    f"{shown_address(address)} cannot be asked for ({type(error).__name__}): check the"
                    " address"
                ) from None
            with response:
                if not response.is_redirect:
                    yield response
                    return
                following = urljoin(address, response.headers["Location"])
            if not may_lead_to(address, following):
                raise SourceError(
                    f"{shown_address(address)} leads on to {shown_address(following)}, which is not secure;"
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
        is_table = url_parts(self.address).path.lower().endswith(TABLE_SUFFIXES)
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
