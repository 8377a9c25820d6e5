"""Addresses of sources: paths, URLs, and how a message shows them without secrets."""

import re
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit
from urllib.request import url2pathname

from rnnpipe.errors import SourceError, quoted, shown

MIRROR_VARIABLE = "RNNPIPE_MIRROR"
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".csv.gz", ".tsv.gz", ".jsonl.gz", ".parquet")


def is_http(address: str) -> bool:
    """Tell whether an address is one of http or https."""
    return address.lower().startswith(("http://", "https://"))


def may_lead_to(address: str, following: str) -> bool:
    """Whether a redirect stays as secure as it was."""
    if address.lower().startswith("https://"):
        return following.lower().startswith("https://")
    return is_http(following)


def url_parts(address: str) -> SplitResult:
    """Return the parts of a URL; refuse one that is none."""
    try:
        return urlsplit(address)
    except ValueError:  # its words may hold a password
        raise SourceError(
            f"download.source or {MIRROR_VARIABLE} holds no URL that can be read: expected one such as"
            " https://host/path, an IPv6 address in brackets"
        ) from None


def table_suffix(source: str) -> str:
    """Return the suffix of a table's address; refuse what is no table."""
    path = url_parts(source).path if is_http(source) else source
    name = Path(path).name.lower()
    for suffix in TABLE_SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise SourceError(
        f"{shown_address(source)}: download.source ends in {quoted(Path(path).suffix.lower())}, expected"
        f" .json (a card), {' or '.join(TABLE_SUFFIXES)} (a table of your own)"
    )


def on_mirror(mirror: str, file_name: str) -> str:
    """Return where a file lies on a mirror."""
    if not is_http(mirror):
        return str(local_path(mirror) / file_name)
    parts = url_parts(mirror)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(file_name)}"))


def local_path(address: str) -> Path:
    """Return the path that an address without http names."""
    if not address.lower().startswith("file:"):
        if "://" in address:
            raise SourceError(
                f"{shown_address(address)}: expected a path, a file: or an http(s) URL"
            )
        path = home_path(address)
        if _CREDENTIALS.search(address) and "\0" not in address and not path.exists():
            raise SourceError(
                f"{shown_address(address)}: found an address with a password, expected http:// or"
                " https:// before it"
            )
        return path
    parts = url_parts(address)
    if parts.netloc not in ("", "localhost"):
        raise SourceError(
            f"{shown_address(address)}: a file: URL with three slashes names a file here"
        )
    return Path(url2pathname(parts.path))


def home_path(path: str) -> Path:
    """Return a path whose ``~`` stands for a person's own folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise SourceError(
            f"{shown(path)}: nothing says what folder ~ stands for: write it out, or set HOME"
        ) from None


# A user and a password before a host, in what is no URL for want of a colon or a slash.
_CREDENTIALS = re.compile(r"[^/@\s]*:[^/@\s]*@")


def shown_address(address: str) -> str:
    """An address fit for messages: one line, without user, password and query, which may hold a token.

    >>> shown_address("https://me:secret@host:8080/a.csv?token=secret")
    'https://host:8080/a.csv?…'
    """
    if "://" not in address:
        return shown(_CREDENTIALS.sub("", address))
    parts = url_parts(address)
    query = "…" if parts.query else ""
    host, path = parts.netloc.rpartition("@")[2], unquote(parts.path)
    name, colon, port = host.partition(":") if not host.startswith("[") else (host, "", "")
    if colon and not port.isdecimal():
        # A password with a slash, a ? or a # in it makes a port of its beginning.
        host, path = f"{name}:…", "…"
    return shown(urlunsplit((parts.scheme, host, _CREDENTIALS.sub("", path), query, "")))
