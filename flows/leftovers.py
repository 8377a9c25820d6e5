"""What a killed run left in its clone: gone on with where it is whole, else the clone is made anew."""

import json
import logging
import subprocess
import time
from pathlib import Path

from flows.stage import environment

_DVC_LOCK = Path(".dvc/tmp/rwlock")
_OLD_SECONDS = 10.0  # by then whatever the killed run had started has ended too
_GIT_SECONDS = 120.0

_log = logging.getLogger(__name__)


def can_go_on(folder: Path, note: Path, made_of: str) -> bool:
    """Tell whether a clone was made of just this, and can be worked in; mend what a kill leaves.

    Args:
        folder: the clone, whose lock this process holds: nobody else is at work there.
        note: file that says what it was made of, written when it was whole.
        made_of: what is asked for.
    """
    try:
        if note.read_text(encoding="utf-8") != made_of:
            return False
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        return _refuse(folder, str(error))
    try:
        _remove_dead_locks(folder)
        done = subprocess.run(
            ["git", "status", "--porcelain"],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _refuse(folder, str(error))
    if done.returncode:
        return _refuse(folder, done.stderr.strip()[:200])
    return True


def _remove_dead_locks(folder: Path) -> None:
    """Remove the locks of killed processes: git's own, and DVC's where it is only half there."""
    for lock in (folder / ".git").rglob("*.lock"):
        if time.time() - lock.lstat().st_mtime > _OLD_SECONDS:
            lock.unlink()
            _log.info("removed %s, which a killed git had left", lock)
    lock = folder / _DVC_LOCK
    try:
        json.loads(lock.read_bytes())
    except FileNotFoundError:
        return
    except ValueError:
        lock.unlink()
        _log.info("removed %s, of which a kill had left half", lock)


def _refuse(folder: Path, reason: str) -> bool:
    _log.warning("the clone %s cannot be gone on with (%s); it is made anew", folder.name, reason)
    return False
