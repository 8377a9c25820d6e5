"""No stage works on after the ``dvc`` that started it was killed.

DVC starts a stage through a shell. When ``dvc`` alone is killed, shell and stage would go on:
burning two cores, and writing outputs that a second ``dvc repro`` is about to write too.
"""

import os
import signal
import threading
import time
from pathlib import Path

_PAUSE_SECONDS = 0.5


def die_with_dvc() -> None:
    """Watch the chain of parents up to DVC, and end this process when a link is gone.

    Does nothing where DVC did not start this process, or where there is no ``/proc``.
    """
    if "DVC_STAGE" not in os.environ or not Path("/proc/self/stat").exists():
        return
    parent = os.getppid()
    # Some shells stay between DVC and the stage, others give way to it.
    above = _parent_of(parent) if _is_shell(parent) else None

    def watch() -> None:
        while os.getppid() == parent and (above is None or _parent_of(parent) == above):
            time.sleep(_PAUSE_SECONDS)
        # Outputs are written to temporary files and renamed, so a hard end leaves nothing half.
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="die-with-dvc", daemon=True).start()


def _is_shell(pid: int) -> bool:
    """Tell whether a process is a shell that runs the command given after ``-c``."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return arguments[0].endswith(b"sh") and b"-c" in arguments


def _parent_of(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command's name, in brackets, may itself hold spaces and brackets.
    return int(stat.rpartition(")")[2].split()[1])
