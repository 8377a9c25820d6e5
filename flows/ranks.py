"""The workers of one training on the workers of a task runner: rank 0 is the stage itself.

All meet in a folder of the run's clone (:func:`rnnpipe.networks.distributed.cluster.rendezvous`), which each must see under
the same path. The stage writes there when it has ended: where nothing had to be trained, or the
training failed early, nobody waits for it.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from flows.serving.own_server import HOST
from flows.stage import environment
from rnnpipe.runtime.parent import PARENT_VARIABLE

MEETING = Path(".rnnpipe/meeting")
_ENDED = "ended"
_PAUSE_SECONDS, _GRACE_SECONDS = 0.5, 15.0


@dataclass(frozen=True)
class Spread:
    """A training that tasks of one run take part in.

    Attributes:
        folder: the run's clone.
        params: file of the parameters, relative to it.
        workers: how many take part.
        address: of the cluster that they run on; None for one on this machine.
    """

    folder: Path
    params: Path
    workers: int
    address: str | None

    def variables(self, rank: int) -> dict[str, str]:
        """What a worker's environment must hold, on the machine that this is called on."""
        return {
            "RNNPIPE_MEETING": str(self.folder / MEETING),
            "RNNPIPE_RANK": str(rank),
            "RNNPIPE_HOST": os.environ.get("RNNPIPE_HOST") or own_address(self.address),
        }

    def end(self) -> None:
        """Say that the stage has ended, in whatever way."""
        meeting = self.folder / MEETING
        meeting.mkdir(parents=True, exist_ok=True)
        (meeting / _ENDED).touch()

    @property
    def ended(self) -> bool:
        """Whether the stage has."""
        return (self.folder / MEETING / _ENDED).exists()

    @property
    def trained(self) -> bool:
        """Whether the stage has come to the meeting; what DVC brings back from its cache does not."""
        return (self.folder / MEETING / "0").exists()


def own_address(cluster: str | None) -> str:
    """Return the address by which machines of a cluster reach this one: that which leads there.

    Args:
        cluster: its address, such as ``tcp://10.0.0.5:8786``; None for one on this machine.
    """
    host = urlsplit(cluster).hostname if cluster else None
    if host is None:
        return HOST
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))  # sends nothing
        return str(probe.getsockname()[0])


def run_rank(spread: Spread, rank: int, on_line: Callable[[str], None]) -> str:
    """Train as one of the workers until the stage has ended, and say what became of it.

    It never fails by itself: the stage, whose training is lost without it, says so.

    Args:
        spread: the training.
        rank: of this worker, from 1.
        on_line: called with each line of output, at once.
    """
    if spread.ended:
        return "not needed"
    child = subprocess.Popen(
        [sys.executable, "-m", "rnnpipe", "train", "--params", spread.params.as_posix()],
        cwd=spread.folder,
        env=environment() | spread.variables(rank) | {PARENT_VARIABLE: str(os.getpid())},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )

    def read() -> None:
        for line in child.stdout or ():
            on_line(line.rstrip())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while child.poll() is None and not spread.ended:
            time.sleep(_PAUSE_SECONDS)
        if spread.trained:  # it ends with the training, a little before the stage or after
            child.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        child.kill()
        code = child.wait()
        reader.join(_GRACE_SECONDS)
    if code == 0:
        return "trained"
    return "not needed any more" if spread.ended and code < 0 else f"ended with {code}"
