"""No stage works on after the ``dvc`` that started it was killed.

DVC starts a stage through a shell. When ``dvc`` alone is killed, shell and stage would go on:
burning two cores, and writing outputs that a second ``dvc repro`` is about to write too.
"""

import os
import signal
import threading
import time

import psutil

# Pid of the process whose end is this one's too: DVC's, where we start it, or another stage's.
# Without it a parent that is gone before anybody watches is not missed.
PARENT_VARIABLE = "RNNPIPE_PARENT"
_PAUSE_SECONDS = 0.5


def watch_parent() -> None:
    """Watch the chain of parents up to DVC, and end this process when a link is gone.

    Does nothing where neither DVC nor another process of ours (``RNNPIPE_PARENT``) started this
    one.
    """
    if not {"DVC_STAGE", PARENT_VARIABLE} & os.environ.keys():
        return
    parent = os.getppid()
    # Some shells stay between DVC and the stage, others give way to it.
    above = _parent_of(parent) if _is_shell(parent) else None
    named = os.environ.get(PARENT_VARIABLE)
    gone = named is not None and int(named) not in (parent, above)

    def watch() -> None:
        while (
            not gone and os.getppid() == parent and (above is None or _parent_of(parent) == above)
        ):
            time.sleep(_PAUSE_SECONDS)
        # Outputs are written to temporary files and renamed, so a hard end leaves nothing half.
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="die-with-dvc", daemon=True).start()


def _is_shell(pid: int) -> bool:
    """Tell whether a process is a shell that runs the command given after ``-c``."""
    try:
        arguments = psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
    return bool(arguments) and arguments[0].endswith("sh") and "-c" in arguments


def _parent_of(pid: int) -> int | None:
    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return None
