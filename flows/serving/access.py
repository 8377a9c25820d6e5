"""Who may ask our servers: who knows the password, and by which names.

Every user of a machine reaches its loopback interface, and so does each web page that its owner
opens. The password keeps the users out, the names keep out pages that point a name of their own at
127.0.0.1.
"""

import base64
import contextlib
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from rnnpipe.errors import RnnpipeError
from rnnpipe.storage.files import atomic_file

USER = "rnnpipe"
FILE = "password"  # in the folder of state: one line, user:password, as Prefect asks for it
OWN = "RNNPIPE_UI_PASSWORD"
LOGIN = "/rnnpipe/login"
LINK_VARIABLE = "RNNPIPE_UI_LINK"  # what stands behind the # of the link that logs a browser in

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
# What Prefect's comparison and the browser's btoa both take.
_WRITABLE = re.compile(rf"{USER}:[ -~]+")


class PasswordError(RnnpipeError):
    """The password cannot be used, or cannot be kept."""


def made() -> str:
    """A new ``user:password`` that nobody guesses."""
    return f"{USER}:{secrets.token_urlsafe(32)}"


def kept(state: Path, outer: Mapping[str, str]) -> str:
    """Return the ``user:password`` of the server, made at the first start and kept from then on.

    Args:
        state: the folder of state, which is there and closed to others.
        outer: ``RNNPIPE_UI_PASSWORD`` in it takes the place of the one that is kept.

    Raises:
        PasswordError: it holds characters that no header does, or the file cannot be written.
    """
    path = state / FILE
    stored = _stored(path)
    if own := outer.get(OWN):
        wanted = f"{USER}:{own}"
        if not _WRITABLE.fullmatch(wanted):
            raise PasswordError(
                f"{OWN}: found a character that is not plain ASCII, expected letters, digits,"
                " signs and spaces: choose another password, or unset it for one that is made"
            )
    else:
        wanted = stored or made()
        if not stored and path.exists():
            print(f"rnnpipe: {path} was empty or open to others; made a new password", flush=True)
    if wanted != stored:
        try:
            _write(path, wanted)
        except (OSError, RnnpipeError) as error:
            raise PasswordError(f"{path}: the password cannot be kept: {error}") from None
    return wanted


def found(state: Path, outer: Mapping[str, str]) -> str | None:
    """The ``user:password`` that a client in this project gives; None where none is known."""
    if own := outer.get(OWN):
        return f"{USER}:{own}"
    return _stored(state / FILE)


def _write(path: Path, line: str) -> None:
    """Write a file that is its owner's alone from its first byte on."""
    if path.is_symlink():  # it is not written through
        path.unlink()
    with atomic_file(path) as partial:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(partial, flags, 0o600), "w") as file:
            os.fchmod(file.fileno(), 0o600)  # one that a kill has left may have any
            file.write(f"{line}\n")


def _stored(path: Path) -> str | None:
    """What the file holds; None where it is not there, not ours alone, or holds no password."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            others = status.st_mode & 0o077 or status.st_uid != os.geteuid()
            if others or not stat.S_ISREG(status.st_mode):
                return None
            text = file.read(10_000).removesuffix("\n")
        return text if _WRITABLE.fullmatch(text) else None
    return None


def encoded(credentials: str) -> str:
    """``user:password`` as a header carries it, and as Prefect's pages keep it in the browser."""
    return base64.b64encode(credentials.encode()).decode()


def knows(authorization: str, credentials: str) -> bool:
    """Tell whether an ``Authorization`` header holds the password."""
    expected = f"Basic {encoded(credentials)}"
    return hmac.compare_digest(authorization.encode(), expected.encode())


def pages_key(credentials: str) -> str:
    """First part of the path of the runs' pages, which lets a link to them do without a password.

    Links are clicked, and carry no header. The key tells nothing of the password, not even to who
    tries many, and opens nothing but the pages.
    """
    key = hashlib.scrypt(credentials.encode(), salt=b"rnnpipe pages", n=2**14, r=8, p=1, dklen=24)
    return key.hex()


def names(host: str, port: int) -> frozenset[str]:
    """What the ``Host`` header of a request to a server on the loopback interface may say."""
    return frozenset(f"{name}:{port}" for name in (host, *_LOOPBACK))
