"""A program that is asked and must answer: within a time, and in so many words."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence

from rnnpipe.errors import RnnpipeError

MOST_BYTES = 1 << 16  # of what it prints, the rest is read and forgotten
_PAUSE_SECONDS = 0.02
_LAST_WORDS_SECONDS = 1.0


class ChildError(RnnpipeError):
    """A program could not be started, failed, or gave no answer in time."""


def ask(command: Sequence[str], seconds: float) -> str:
    """Run a program to its end and return what it prints, on standard output and error.

    It reads nothing, and whatever it has started in turn ends with it.

    Args:
        command: program and arguments.
        seconds: after which it is killed.

    Raises:
        ChildError: it cannot be started, does not end in time, or ends badly.
    """
    name = command[0]
    output, theirs = os.pipe()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,  # a group of its own, to be killed as one
        )
    except (OSError, ValueError) as error:
        os.close(output)
        reason = getattr(error, "strerror", None) or str(error)
        raise ChildError(f"{name!r} cannot be started ({reason})") from None
    finally:
        os.close(theirs)
    printed, over = bytearray(), threading.Event()

    def read() -> None:
        with os.fdopen(output, "rb", buffering=0) as pipe:
            while not over.is_set() and (chunk := pipe.read(MOST_BYTES)):
                printed.extend(chunk[: MOST_BYTES - len(printed)])

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        ended = _wait(process.pid, seconds)
    finally:
        # Before the process is waited for: until then its number is no other's.
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # Something that has left the group may hold the pipe still.
        reader.join(_LAST_WORDS_SECONDS)
        over.set()
    said = "".join(
        sign if sign.isprintable() or sign == "\n" else " "
        for sign in bytes(printed).decode(errors="replace")
    )
    if not ended:
        raise ChildError(f"{name!r} did not end within {seconds:g} s")
    if process.returncode:
        raise ChildError(f"{name!r} ended with {process.returncode}: {said.strip()[-400:]}")
    return said


def _wait(pid: int, seconds: float) -> bool:
    """Tell whether a child ends in time; its state is left for whoever waits for it."""
    end = time.monotonic() + seconds
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True
