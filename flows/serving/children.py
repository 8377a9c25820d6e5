"""The processes that were started, watched and ended as one; only one set in a project."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import psutil

from flows.serving.database import NAME, database_fault, other_release
from flows.serving.environment import MARK, POOL, STATE
from flows.serving.own_server import HOST
from rnnpipe.errors import RnnpipeError

LOOK_SECONDS = 0.25

asked_to_stop = threading.Event()

LOGS = STATE / "logs"
_LAST_LINES = 15


class Stopped(BaseException):
    """Somebody asked to stop.

    KeyboardInterrupt would not do: where one has passed through ``exec``, as in many an import,
    Python ends the process by SIGINT although it was caught.
    """


class UpError(RnnpipeError):
    """The server cannot be started, or a part of it ended by itself."""


# What may stand in the way --------------------------------------------------------------------


@contextlib.contextmanager
def only_one(state: Path, address: str) -> Iterator[None]:
    """Hold the state folder, made if need be and closed to others, for one command at a time.

    The lock is the kernel's and dies with its holder: a pid left in the file bars nobody.

    Raises:
        UpError: another command holds it, it is not ours to close, or its database cannot be used.
    """
    try:
        state.mkdir(parents=True, exist_ok=True)
        state.chmod(0o700)
        lock = (state / "up.lock").open("a+")
    except OSError as error:
        raise UpError(
            f"{state} cannot be made a folder of yours alone ({error.strerror}): move away what"
            " stands there, or have its owner do so"
        ) from None
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UpError(f"already running: {_holder(file.read())}") from None
        if fault := database_fault(state):
            raise UpError(fault)
        file.truncate(0)
        json.dump({"pid": os.getpid(), "address": address}, file)
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _holder(text: str) -> str:
    try:
        found = json.loads(text)
        return f"pid {found['pid']} at {found['address']}; stop it with: kill {found['pid']}"
    except (ValueError, KeyError, TypeError):  # it holds the lock and has not yet signed
        return "it is just starting"


def check_port(port: int) -> None:
    """Refuse a port that another program holds."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UpError(
                f"port {port} is in use by another program ({error.strerror});"
                f" choose others: RNNPIPE_UI_PORT={port + 10} make ui (it takes two in a row)"
            ) from None


def marked(state: Path) -> set[int]:
    """Pids of the live processes that carry the mark of this state folder, but this one."""
    found = set()
    for process in psutil.process_iter():
        # Another user's, or ended while we looked.
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(state):
                found.add(process.pid)
    return found


def end_marked(state: Path) -> int:
    """End what an earlier command left behind, and return how many processes that were."""
    left = marked(state)
    _signal(left, signal.SIGTERM)
    _wait_until(lambda: not marked(state), 3)
    _signal(marked(state), signal.SIGKILL)
    _wait_until(lambda: not marked(state), 2)
    return len(left)


# The processes --------------------------------------------------------------------------------


@dataclass
class Children:
    """Prefect's processes: each with a log of its own, all ended together."""

    project: Path
    state: Path
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    passing: set[str] = field(default_factory=set)

    def log(self, name: str) -> Path:
        """The file that a child writes to; the last one's is kept as ``.previous``."""
        return self.state / "logs" / f"{name}.log"

    def start(
        self,
        name: str,
        *arguments: str,
        ends: bool = False,
        module: str = "prefect",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Start ``prefect ARGUMENTS``, or another module.

        Args:
            name: of the child in messages and of its log.
            arguments: of its command line.
            ends: it ends by itself when its work is done.
            module: what is started.
            variables: more of them for this child alone.
        """
        log = self.log(name)
        log.parent.mkdir(exist_ok=True)
        if log.exists():
            log.replace(log.with_suffix(".previous.log"))
        if ends:
            self.passing.add(name)
        with log.open("wb") as file:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=self.project,
                env={**os.environ, **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                # Ctrl-C at the terminal is for this process, which then ends them in order.
                process_group=0,
            )

    def finished(self, name: str) -> bool:
        """Tell whether a child that ends by itself has done so."""
        return self.running[name].poll() == 0

    def check(self) -> None:
        """Raise when a child has ended that should not have.

        Raises:
            Stopped: somebody asked to stop.
            UpError: which one, why where that is known, and the last lines of its log.
        """
        if asked_to_stop.is_set():
            raise Stopped
        for name, child in self.running.items():
            code = child.poll()
            if code is not None and not (name in self.passing and code == 0):
                raise UpError(self._ended(name, code))

    def _ended(self, name: str, code: int) -> str:
        log = self.log(name)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        text = log.read_text(errors="replace")
        database = STATE / NAME
        if "Can't locate revision" in text:
            return other_release(database)
        if "file is not a database" in text or "database disk image is malformed" in text:
            return f"{database} is damaged: move it away (it holds the history of runs)"
        return f"the {name} {how}; {last_lines(log)}"

    def wait_until(self, ready: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for a condition, watching the children.

        Raises:
            Stopped: somebody asked to stop.
            UpError: a child ended, or the time is over.
        """
        end = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > end:
                raise UpError(f"waited {seconds:.0f} s for {what}; logs: {LOGS}")
            time.sleep(LOOK_SECONDS)

    def watch(self) -> NoReturn:
        """Stay until a child ends.

        Raises:
            Stopped: somebody asked to stop.
            UpError: one has.
        """
        while True:
            self.check()
            time.sleep(2 * LOOK_SECONDS)

    def stop(self) -> None:
        """End every process within 10 s: runs are cancelled, then worker, then server."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        began = time.monotonic()
        _say("rnnpipe: stopping")
        # Time limits add up to less than 10 s, whatever hangs.
        if self._alive("worker") and self._alive("server"):
            self._cancel_runs()
        _signal(self._pids("worker", "deploy"), signal.SIGTERM)
        _wait_until(lambda: not self._others(), 1.5)
        _signal(self._others(), signal.SIGKILL)
        if "worker" in self.running and self._alive("server"):
            from flows.serving import server

            _within(1.5, lambda: server.settle_runs(POOL, "`make ui` was stopped."))
        _signal(self._pids("server"), signal.SIGTERM)
        _wait_until(lambda: not self._alive("server"), 2)
        _signal(marked(self.state) | self._pids("server"), signal.SIGKILL)
        for child in self.running.values():
            child.wait()
        _say(f"rnnpipe: stopped in {time.monotonic() - began:.1f} s")

    def _cancel_runs(self) -> None:
        from flows.serving import server

        if _within(1.5, lambda: server.cancel_runs(POOL)):
            ours = self._pids("server", "worker", "deploy")
            _wait_until(lambda: not marked(self.state) - ours, 3)

    def _alive(self, name: str) -> bool:
        return name in self.running and self.running[name].poll() is None

    def _pids(self, *names: str) -> set[int]:
        return {self.running[name].pid for name in names if self._alive(name)}

    def _others(self) -> set[int]:
        """Every marked process but the server; asking reaps those of our own that ended."""
        self._pids(*self.running)
        return marked(self.state) - self._pids("server")


def _within(seconds: float, work: Callable[[], object]) -> object:
    """Result of the work, or None when it failed or the time is over: stopping goes on."""
    results: list[object] = []

    def run() -> None:
        from flows.serving import server

        # The server may be on its way down too.
        with contextlib.suppress(*server.ERRORS):
            results.append(work())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return results[0] if results else None


def _say(line: str) -> None:
    """Print a line, if anybody still listens: the terminal may be what is gone."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait_until(done: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(LOOK_SECONDS / 2)


def last_lines(log: Path) -> str:
    """Return what a log says last."""
    with log.open(errors="replace") as file:
        lines: deque[str] = deque((line.rstrip() for line in file if line.strip()), _LAST_LINES)
    return "\n".join([f"the last lines of {log.name}:", *(f"  {line}" for line in lines)])
