"""One transfer over http: it goes on where it was cut off, and ends by stated limits.

It goes on only from what the server vouches for byte by byte (RFC 9110, 8.8): a strong ETag, or a
time of change so long before the answer that no second change can bear the same time. The part of
the answer that comes must bear the same mark, and belong to a file of the same size; else it is all
fetched anew.
"""

import hashlib
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from rnnpipe.errors import IntegrityError, NetworkError, RnnpipeError, SourceError, quoted
from rnnpipe.storage.files import read_json, write_json, writing

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
from rnnpipe.storage.file_version import (
    Version,
    content_range,
    seconds_since_1970,
    strong_validator,
)
from rnnpipe.storage.patience import Pace, Patience, patience

logger = logging.getLogger(__name__)

MAX_BYTES = 20 * 10**9
MAX_REDIRECTS = 10
CHUNK_BYTES = 1 << 18
LONGEST_WAIT_SECONDS = 60.0
CONNECT_SECONDS = 10
# So much must come in each window, or the connection is given up; and all must be here in the end.
WINDOW_SECONDS = 30.0
LEAST_WINDOW_BYTES = 30_000
MAX_SECONDS = 12 * 3600.0


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
        key = hashlib.sha256(address.encode(errors="surrogatepass")).hexdigest()[:16]
        self.part = partials / f"{key}.part"
        self.state = partials / f"{key}.json"
        self.most = self._size()
        self.fruitless = 0
        self.end = time.monotonic() + MAX_SECONDS

    def run(self) -> None:
        """Fetch until the part file is whole."""
        from tenacity import Retrying, retry_if_exception_type

        with writing(self.part):
            self.part.parent.mkdir(parents=True, exist_ok=True)
            self.part.touch()  # asked for the file, the place says what it has against it
        if not self._size():
            self.forget()
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
                f"{self.shown} cannot be fetched: {fault}. Try again later (what has come is kept,"
                f" if the server vouches for it), or {mirror}, or run `make demo`, which needs no download"
            ) from None

    def forget(self) -> None:
        """Remove what was kept for going on."""
        self.part.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    # A long file over a bad line breaks often: only tries that bring next to nothing count.

    def _given_up(self, _: "RetryCallState") -> bool:
        size = self._size()
        self.fruitless = 0 if size - self.most >= LEAST_WINDOW_BYTES else self.fruitless + 1
        self.most = max(self.most, size)
        return self.fruitless >= self.tries or time.monotonic() > self.end

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

        # Its warnings hold addresses with their queries.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        offset, known = self._size(), self._known()
        if known is None or not offset:
            self.forget()
            offset = 0
        # Compressed on the way, lengths and ranges would count other bytes than the file's.
        headers = {"Accept-Encoding": "identity"}
        if offset and known is not None:
            headers |= {"Range": f"bytes={offset}-", "If-Range": known.validator}
        with (
            patience() as patient,
            requests.Session() as session,
            self._opened(session, patient, headers) as response,
        ):
            if response.status_code == 416 and offset and known is not None:
                whole = response.headers.get("Content-Range") == f"bytes */{known.total}"
                if whole and offset == known.total and known.bears(response.headers, lenient=True):
                    return  # it was whole already
                self.forget()
                raise _TransientError("the file there is another one by now")
            self._check_status(response)
            end, total = self._begin(response, offset, known)
            self._receive(response, patient, end, total)

    @contextmanager
    def _opened(
        self, session: "requests.Session", patient: Patience, headers: dict[str, str]
    ) -> Iterator["requests.Response"]:
        """Follow redirects by hand, so that one from https to http is refused before it is made."""
        address = self.address
        for _ in range(MAX_REDIRECTS):
            with self._answer(session, patient, address, headers) as response:
                if not response.is_redirect:
                    yield response
                    return
                try:
                    following = urljoin(address, response.headers["Location"])
                except ValueError:
                    following = ""
            if not may_lead_to(address, following):
                raise SourceError(
                    f"{shown_address(address)} leads on to {shown_address(following) or 'no URL'}, which"
                    " is not secure; it is not followed"
                )
            address = following
        raise SourceError(f"{self.shown} leads on more than {MAX_REDIRECTS} times; not followed")

    def _answer(
        self, session: "requests.Session", patient: Patience, address: str, headers: dict[str, str]
    ) -> "requests.Response":
        """Ask for an address; its body is still to come."""
        import requests
        import urllib3

        most = CONNECT_SECONDS + WINDOW_SECONDS

        def get() -> requests.Response:
            return session.get(
                address,
                headers=headers,
                stream=True,
                timeout=(CONNECT_SECONDS, 2 * most),  # the later one ends what was given up
                allow_redirects=False,
            )

        try:
            return patient.wait_for(get, most)
        except TimeoutError:
            raise _TransientError(f"no answer began within {most:g} s") from None
        except (requests.ConnectionError, requests.Timeout) as error:
            raise _TransientError(_reason(error)) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise SourceError(
                f"{shown_address(address)} cannot be asked for ({type(error).__name__}): check the"
                " address"
            ) from None

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
        # An archive may be labelled so, since what is in the body is still the .gz file itself.
        allowed = ("identity",) if is_table else ("identity", "gzip", "x-gzip")
        if encoding.strip().lower() not in allowed:
            raise SourceError(
                f"{self.shown}: the server packs the file (Content-Encoding {quoted(encoding)}),"
                " although asked not to: download it by hand and give its path"
            )

    def _known(self) -> "Version | None":
        """The version that the bytes so far are of, if the server vouched for it."""
        try:
            state = read_json(self.state)
            known = Version(str(state["validator"]), int(state["total"]))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return known if known.is_whole else None

    def _begin(
        self, response: "requests.Response", offset: int, known: "Version | None"
    ) -> tuple[int | None, int | None]:
        """Make the part file ready for what comes: where that ends, and where the file does."""
        if response.status_code == 206:
            start, end, size = content_range(response.headers.get("Content-Range", ""))
            # Some servers heed Range but not If-Range, and would mix two versions.
            if (
                known is None
                or (start, size) != (offset, known.total)
                or not known.bears(response.headers)
            ):
                self.forget()
                raise _TransientError("the server sends another part than was asked for")
            logger.info("%s: going on at byte %s", self.shown, f"{offset:,}")
            return end, size
        self.forget()
        total = _content_length(response.headers.get("Content-Length"))
        if total is None and "chunked" not in response.headers.get("Transfer-Encoding", "").lower():
            logger.warning("%s: nothing says how long it is, nor whether it is whole", self.shown)
        version = Version(strong_validator(response.headers), total or 0)
        # The address stays out: it may hold a token.
        write_json(self.state, {"validator": version.validator, "total": version.total})
        return total, total

    def _receive(
        self, response: "requests.Response", patient: Patience, end: int | None, total: int | None
    ) -> None:
        limit = self.card.bytes if self.card else MAX_BYTES
        if total is not None and total > limit:
            raise self._too_large(f"{total:,}", limit)
        size = self._size()
        pace = Pace(WINDOW_SECONDS, LEAST_WINDOW_BYTES, size)
        with self.part.open("ab") as part, _progress(self.shown, size, total) as advance:
            for chunk in _chunks(response, patient):
                size += len(chunk)
                if size > limit:
                    part.close()
                    raise self._too_large(f"more than {limit:,}", limit)
                part.write(chunk)
                advance(len(chunk))
                if pace.is_too_slow(size):
                    raise _TransientError(
                        f"it came slower than {LEAST_WINDOW_BYTES:,} bytes in {WINDOW_SECONDS:g} s"
                    )
                if time.monotonic() > self.end:
                    raise _TransientError(f"it took longer than {MAX_SECONDS:g} s in all")
        if end is not None and size > end:
            self.forget()
            raise _TransientError("the server sends more than it announced")
        if total is not None and size != total:
            raise _TransientError(f"it broke off at {size:,} of {total:,} bytes")

    def _too_large(self, found: str, limit: int) -> RnnpipeError:
        self.forget()
        fault = f"{self.shown}: found {found} bytes, expected at most {limit:,}; nothing is kept"
        return IntegrityError(fault) if self.card else SourceError(fault)


def _content_length(header: str | None) -> int | None:
    if header is None:
        return None
    if not re.fullmatch(r"\d{1,15}", header):
        raise _TransientError(f"the server says that it sends {quoted(header)} bytes")
    return int(header)


def _chunks(response: "requests.Response", patient: Patience) -> Iterator[bytes]:
    """The body as it was sent: requests would unpack a .gz that is labelled as an encoding."""
    import urllib3

    def read() -> bytes:
        return response.raw.read1(CHUNK_BYTES, decode_content=False) or b""

    try:
        while chunk := patient.wait_for(read, WINDOW_SECONDS):
            yield chunk
    except TimeoutError:
        with suppress(OSError, RuntimeError, ValueError):  # it may have ended by now
            response.raw.shutdown()  # else who closes it would wait for the same bytes
        raise _TransientError(f"nothing came for {WINDOW_SECONDS:g} s") from None
    except urllib3.exceptions.HTTPError as error:
        raise _TransientError(f"it broke off ({type(error).__name__})") from None


def _reason(error: "requests.RequestException") -> str:
    # The error's own text repeats the address with its query: say it in our words.
    import requests

    kinds = {
        requests.exceptions.SSLError: "no secure connection",
        requests.exceptions.ProxyError: "the proxy lets nothing through",
        requests.Timeout: f"no connection within {CONNECT_SECONDS:g} s",
    }
    return next((said for kind, said in kinds.items() if isinstance(error, kind)), "no connection")


def _retry_after(header: str | None) -> float | None:
    """Seconds that a server asks to wait, from a number or a date; None if it does not."""
    if header is None:
        return None
    if re.fullmatch(r"\d{1,9}", header.strip()):
        return float(header)
    date = seconds_since_1970(header)
    return None if date is None else max(0.0, date - time.time())


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
