"""The ``dvc.lock`` files: what DVC wrote, unless a kill, a full disk or a merge has damaged it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from rnnpipe.errors import RnnpipeError
from rnnpipe.pipeline.definition import parse_plain


class LockError(RnnpipeError):
    """A ``dvc.lock`` is not what DVC writes."""


def lock_files(root: Path) -> Iterator[Path]:
    """The locks of all pipelines that are there."""
    for path in (root / "dvc.lock", *sorted(root.glob("pipelines/*/dvc.lock"))):
        if path.is_symlink() or path.exists():
            yield path


def check_locks(root: Path) -> None:
    """Name the first lock of a project that is damaged, and what mends it.

    Raises:
        LockError: one is.
    """
    for path in lock_files(root):
        locked_stages(path, path.relative_to(root).as_posix())


def locked_stages(path: Path, name: str) -> dict[str, Any]:
    """Return the stages of a lock, each with what DVC noted of it.

    Args:
        path: of the lock.
        name: what it is called in git, from the project's folder.

    Raises:
        LockError: it is damaged, or cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise LockError(_damaged(name, "holds bytes that are no text")) from None
    except OSError as error:
        raise LockError(_damaged(name, f"cannot be read ({error.strerror})")) from None
    if not text.strip("\0 \r\n\t"):
        raise LockError(_damaged(name, "is empty, as a kill or a full disk leaves it"))
    if any(line.startswith(("<<<<<<<", ">>>>>>>")) for line in text.splitlines()):
        raise LockError(_damaged(name, "holds the conflict markers of a merge"))
    try:
        content = parse_plain(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise LockError(_damaged(name, "is no YAML, or only a part of it")) from None
    stages = content.get("stages") or {} if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not all(map(_is_stage, stages.values())):
        raise LockError(_damaged(name, "is not what DVC writes"))
    return stages


def _is_stage(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    outs = entry.get("outs", [])
    return isinstance(outs, list) and all(
        isinstance(out, dict) and isinstance(out.get("path"), str) for out in outs
    )


def _damaged(name: str, what: str) -> str:
    return (
        f"{name} {what}: bring back the last one with `git checkout HEAD -- {name}`, then run"
        f" `dvc repro`; if HEAD holds this one, too, `git log -- {name}` tells which commit has another"
    )
