"""No stage removes what it did not write.

What a stage writes into is replaced whole, so a file of the user's in there would be gone: a source
has to lie elsewhere, and a folder that holds what nobody here wrote is left alone.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rnnpipe.errors import SourceError, quoted
from rnnpipe.pipeline.definition import definition_file, outputs
from rnnpipe.pipeline.locks import LockError, locked_stages
from rnnpipe.storage.files import atomic_directory, read_json, write_json

_WRITTEN = Path(".rnnpipe/written")


def require_outside(source: Path) -> None:
    """Refuse a source that lies where a stage writes, or around it, by whatever links it is reached.

    Raises:
        SourceError: names the output.
    """
    found = _real(source)
    for problem, stage, output in outputs():
        if found.is_relative_to(_real(output)):
            raise SourceError(
                f"found the source {quoted(str(source))} in {output}, which stage {stage} of"
                f" {problem} replaces; expected a source elsewhere: move it, for instance to data/,"
                " and name the new place in download.source"
            )
        if _real(output).is_relative_to(found):
            raise SourceError(
                f"found the source {quoted(str(source))} around {output}, which stage {stage} of"
                f" {problem} writes; expected a folder with nothing but the data: name, or make, one"
                " within it"
            )


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve raises where links lead in a circle


@contextmanager
def replace_own(folder: Path, problem: str) -> Iterator[Path]:
    """Yield an empty folder that takes the place of one in which lies only what stages wrote.

    Known are the files that were taken down here when they were written, and those of the folder
    that ``dvc.lock`` records.

    Args:
        folder: an output, relative to the project's folder.
        problem: whose stage writes it.

    Raises:
        SourceError: something else lies there; it is named, and nothing is touched.
    """
    known = _known(folder)
    _require_own(folder, problem, known)
    with atomic_directory(folder) as partial:
        yield partial
        # Before it takes its place: killed right after that, the next run has to know it.
        files = _files(partial, "sha256")
        write_json(_record(folder), {name: [*known.get(name, ()), files[name]] for name in files})


def _require_own(folder: Path, problem: str, known: Mapping[str, Sequence[str]]) -> None:
    if not folder.is_dir():
        return
    files = _files(folder, "md5")
    if not files or _recorded(folder, problem) == _directory_hash(files):
        return
    foreign = [
        name for name, found in _files(folder, "sha256").items() if found not in known.get(name, ())
    ]
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise SourceError(
            f"found {', '.join(quoted(name) for name in foreign[:3])}{more} in {folder}, which no"
            f" stage wrote; this folder is replaced whole: move what is yours elsewhere, for"
            " instance to data/, and run the same command again"
        )


def _known(folder: Path) -> dict[str, list[str]]:
    try:
        found = read_json(_record(folder))
        return {str(name): [str(value) for value in hashes] for name, hashes in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # not there, or damaged: it vouches for nothing


def _record(folder: Path) -> Path:
    return _WRITTEN / folder.parent / f"{folder.name}.json"


def _files(folder: Path, algorithm: str) -> dict[str, str]:
    """Return the hash, in hex, of each file below a folder, by its path there."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            # No secret depends on it: DVC names content by its MD5.
            digest = hashlib.file_digest(
                file, lambda: hashlib.new(algorithm, usedforsecurity=False)
            )
        found[path.relative_to(folder).as_posix()] = digest.hexdigest()
    return found


def _directory_hash(files: Mapping[str, str]) -> str:
    """Return the name that DVC has for a folder with these files (``dvc_data.hashfile.tree``)."""
    listing = [{"md5": md5, "relpath": name} for name, md5 in sorted(files.items())]
    content = json.dumps(listing, sort_keys=True).encode()
    return f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}.dir"


def _recorded(folder: Path, problem: str) -> str | None:
    """Return the hash of an output in ``dvc.lock``; none where there is none that can be read."""
    lock = definition_file(problem).with_name("dvc.lock")
    try:
        stages = locked_stages(lock, lock.name)
    except LockError:
        return None  # it is not there, or damaged: it vouches for nothing
    outs = (out for entry in stages.values() for out in entry.get("outs", ()))
    return next((str(out.get("md5")) for out in outs if Path(out["path"]) == folder), None)
