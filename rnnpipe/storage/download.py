"""Fetch what everything is read from: a file by its card, or a table by path or URL.

A transfer that broke goes on where it stopped, also in a later run: the bytes so far lie in a
``.part`` file outside the stage's outputs, which DVC removes before each run. It goes on only if
the server confirms (``If-Range``) that the file is still the same.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from rnnpipe.errors import IntegrityError, SourceError, shown
from rnnpipe.storage.addresses import (
    MIRROR_VARIABLE,
    home_path,
    is_http,
    local_path,
    on_mirror,
    shown_address,
    table_suffix,
)
from rnnpipe.storage.card import Card, read_card
from rnnpipe.storage.content import require_content
from rnnpipe.storage.files import atomic_directory, sha256_file
from rnnpipe.storage.reading import reading
from rnnpipe.storage.table_folder import pack_folder
from rnnpipe.storage.transfer import CHUNK_BYTES, Transfer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fetched:
    """A file that is whole and lies where it belongs."""

    path: Path
    origin: str
    """Where it came from, without passwords and tokens."""
    bytes: int


def fetch(
    source: str,
    into: Path,
    partials: Path,
    *,
    table_name: str = "reviews",
    check_path: Callable[[Path], None] = lambda path: None,
    replacing: Callable[[Path], AbstractContextManager[Path]] = atomic_directory,
    tries: int = 5,
    wait_seconds: float = 1.0,
) -> Fetched:
    """Put the file behind ``source`` alone into the folder ``into``, whole or not at all.

    The variable ``RNNPIPE_MIRROR``, a folder or a URL, stands in for a card's http(s) address.
    An archive that comes from a mirror may be packed differently: the stage prepare judges it by
    the digest of its reviews, so only what comes from the card's own address must have its size
    and MD5. A table must have its size and SHA-256 wherever it comes from. What no hash vouches for
    must be a table or an archive by its looks, before it takes the place of what was there.

    Args:
        source: a card (a path that ends in ``.json``), a table by path or URL, or a folder, which
            becomes one table (:func:`pack_folder`).
        into: the folder, replaced; in it the card's file name, or ``table_name`` with the table's
            suffix behind it.
        partials: where unfinished transfers lie.
        table_name: what a file without a card is called.
        check_path: refuses a file of this machine that may not be the source.
        replacing: yields the folder to fill, which takes the place of ``into``.
        tries: attempts in a row that may bring no new byte before the network is given up.
        wait_seconds: pause after the first of them; it doubles with each.

    Raises:
        NetworkError: the network failed in a way that may pass.
        IntegrityError: the file is not the one of the card; nothing is kept.
        SourceError: there is no such file, or the source cannot be used.
    """
    expected: Card | None = None
    if source.endswith(".json"):
        if is_http(source):
            raise SourceError(f"{shown_address(source)}: a card is read by path; download it first")
        check_path(home_path(source))
        card = read_card(home_path(source))
        address, name = card.address, card.file_name
        mirror = os.environ.get(MIRROR_VARIABLE, "")
        if mirror and is_http(card.address):
            address = on_mirror(mirror, card.file_name)
            expected = card if card.kind == "table" else None
        else:
            expected = card
    # Unlike Path's own, it says no of what may not be looked at: the reading says why.
    elif not is_http(source) and os.path.isdir(local_path(source)):  # noqa: PTH112
        return _fetch_folder(source, into, table_name, check_path, replacing)
    else:
        address, name = source, f"{table_name}{table_suffix(source)}"
    if not is_http(address):
        check_path(local_path(address))
    with replacing(into) as folder:
        target = folder / name
        if is_http(address):
            transfer = Transfer(address, partials, expected, tries, wait_seconds)
            transfer.run()
            _check(transfer.part, address, expected)
            shutil.move(transfer.part, target)
            transfer.forget()
        else:
            _copy(local_path(address), target)
            _check(target, address, expected)
        if expected is None:
            require_content(target, shown_address(address), any_quotes=not is_http(address))
        size = target.stat().st_size
    logger.info("%s: %s bytes from %s", shown(into / name), f"{size:,}", shown_address(address))
    return Fetched(into / name, shown_address(address), size)


def _fetch_folder(
    source: str,
    into: Path,
    table_name: str,
    check_path: Callable[[Path], None],
    replacing: Callable[[Path], AbstractContextManager[Path]],
) -> Fetched:
    origin = local_path(source)
    check_path(origin)
    with replacing(into) as folder:
        target = pack_folder(origin, folder, table_name)
        require_content(target, shown_address(source), any_quotes=True)
        name, size = target.name, target.stat().st_size
    logger.info("%s: %s bytes from %s", shown(into / name), f"{size:,}", shown_address(source))
    return Fetched(into / name, shown_address(source), size)


def _copy(path: Path, target: Path) -> None:
    missing = (
        f"check download.source in params.yaml and the variable {MIRROR_VARIABLE} (a folder that"
        " holds the file, or a URL)"
    )
    with (
        reading(path, missing=missing),
        path.open("rb") as read,
        target.open("wb") as written,
    ):
        shutil.copyfileobj(read, written, CHUNK_BYTES)


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
                f"{shown_address(address)}: {what} found {found}, expected {expected}; nothing of it is"
                " kept. Try again; if it stays so, the file was replaced, and a mirror"
                f" ({MIRROR_VARIABLE}) may still have the one of the card"
            )
