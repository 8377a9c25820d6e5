"""What the files of a model folder are: their sizes and hashes, written with it, checked at each use.

A folder is copied, mailed and fetched alone, so it carries this itself. The registration names the
hash of the whole folder, manifest included: who alters both is found out by that.
"""

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from rnnpipe.config.document import Name, Sha256, read_document
from rnnpipe.config.section import Section
from rnnpipe.errors import RegistryError
from rnnpipe.storage.files import atomic_file, sha256_file

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
_AGAIN = "take the folder anew from where it came from, by dvc checkout or from the registry"


class Entry(Section):
    """What a file must be."""

    bytes: int = Field(ge=0)
    sha256: Sha256


class Manifest(Section):
    """Every file of a folder but the manifest, by its name."""

    files: Annotated[dict[Name, Entry], Field(max_length=100)]


def write_manifest(folder: Path) -> None:
    """Write down what the files of a folder are; the bytes depend on nothing but them."""
    with atomic_file(folder / MANIFEST) as partial:
        partial.write_text(_text(_of(folder)), encoding="utf-8")


def verify(folder: Path, needed: Sequence[str] = (), registered: str | None = None) -> None:
    """Make sure that a model's files are those that were registered.

    A folder from before there were manifests is let through with a note. Files that a manifest
    does not name are not looked at, and not used.

    Args:
        folder: a whole model folder.
        needed: files that will be used.
        registered: SHA-256 of the folder as its registration has it, where there is one.

    Raises:
        RegistryError: a file is missing, was altered, or is none of the model's.
    """
    manifest = _read(folder)
    if manifest is None:
        logger.warning(
            "%s carries no %s, as before rnnpipe 0.2: %s",
            folder,
            MANIFEST,
            "it is checked against its registration alone"
            if registered
            else "whether its files were altered cannot be told",
        )
        faults = []
    else:
        faults = [_fault(folder / name, entry) for name, entry in manifest.files.items()]
        faults += [f"{name} is none of its files" for name in needed if name not in manifest.files]
    if found := [fault for fault in faults if fault]:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise RegistryError(
            f"{folder} is not the model that was registered: {'; '.join(found[:3])}{more}; {_AGAIN}"
        )
    if registered and registered not in _hashes(folder, manifest):
        raise RegistryError(
            f"{folder} is not the model of its registration, which names SHA-256"
            f" {registered[:12]}…: {_AGAIN}, or judge it by dvc repro -f -s register"
        )


def _read(folder: Path) -> Manifest | None:
    path = folder / MANIFEST
    if not path.exists() and not path.is_symlink():
        return None
    return read_document(Manifest, path, f"{path} is no manifest of a model", _AGAIN)


def _of(folder: Path) -> Manifest:
    """What a manifest would say of a folder's files now."""
    # What else a person or a system laid there (.DS_Store, "copy (1)") is none of the model's.
    names = sorted(
        path.name for path in folder.iterdir() if path.is_file() and _is_plain(path.name)
    )
    return Manifest(
        files={
            name: Entry(bytes=(folder / name).stat().st_size, sha256=sha256_file(folder / name))
            for name in names
            if name != MANIFEST
        }
    )


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", name) is not None


def _text(manifest: Manifest) -> str:
    return manifest.model_dump_json(indent=2) + "\n"


def _fault(path: Path, entry: Entry) -> str | None:
    """What is wrong with a file, None if nothing is; a wrong size is found without reading."""
    if not path.is_file():
        return f"{path.name} is missing"
    size = path.stat().st_size
    if size != entry.bytes:
        return f"{path.name} has {size:,} bytes, expected {entry.bytes:,}"
    found = sha256_file(path)
    if found != entry.sha256:
        return f"{path.name} has SHA-256 {found[:12]}…, expected {entry.sha256[:12]}…"
    return None


def _hashes(folder: Path, manifest: Manifest | None) -> set[str]:
    """What :func:`rnnpipe.storage.files.sha256_directory` says of the files that a model has.

    Of a folder without a manifest: as it is, and as it would be with one, which says no more.
    """
    known = manifest or _of(folder)
    hashes = {name: entry.sha256 for name, entry in known.files.items()}
    if manifest is not None:
        return {_digest(hashes | {MANIFEST: sha256_file(folder / MANIFEST)})}
    written = hashlib.sha256(_text(known).encode()).hexdigest()
    return {_digest(hashes), _digest(hashes | {MANIFEST: written})}


def _digest(hashes: Mapping[str, str]) -> str:
    lines = sorted(f"{name}\t{digest}\n" for name, digest in hashes.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()
