"""Server, worker and deployments, started, watched and stopped as one: ``python -m flows.up``.

Everything lives in ``.rnnpipe/prefect``: database, logs, lock. Every process that this command
starts, and every one that those start, carries the mark ``RNNPIPE_UP`` in its environment; so
what is left of a command that was killed is found and ended by the next one.
"""

import argparse
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from flows.own_server import HOST, is_healthy
from flows.pages import PAGES_VARIABLE, served_pages
from flows.workspace import RUNS
from rnnpipe.errors import RnnpipeError

STATE = Path(".rnnpipe") / "prefect"
PORT = 4200
POOL = "local"
USER = "rnnpipe"
MARK = "RNNPIPE_UP"
RETENTION_SECONDS = 90 * 24 * 3600  # of finished runs, their logs and artifacts

_LOGS = STATE / "logs"
_LAST_LINES = 15
_SERVER_SECONDS, _WORKER_SECONDS, _SCHEDULER_SECONDS = 180, 90, 90
_LOOK_SECONDS = 0.25

_asked_to_stop = threading.Event()


class Stopped(BaseException):
    """Somebody asked to stop.

    KeyboardInterrupt would not do: where one has passed through ``exec``, as in many an import,
    Python ends the process by SIGINT although it was caught.
    """


class UpError(RnnpipeError):
    """The server cannot be started, or a part of it ended by itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run in the foreground until Ctrl-C or SIGTERM, and return the exit code."""
    options = _parser().parse_args(arguments)
    project = Path(__file__).resolve().parents[1]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # SIGINT too: a shell without job control has it ignored.
        signal.signal(number, _stop)
    try:
        port = _port(options.port)
        with only_one(project / STATE, f"http://{HOST}:{port}"):
            _up(project, port)
    except Stopped:
        return 0
    except RnnpipeError as error:
        print(f"rnnpipe: {error}", file=sys.stderr)
        return error.exit_code


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    # Raised in the midst of an import it may be swallowed there: the next look finds the event.
    _asked_to_stop.set()
    raise Stopped


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m flows.up",
        description="Start Prefect's server, worker and deployments; Ctrl-C stops them.",
    )
    parser.add_argument("--port", help=f"port of the server (RNNPIPE_UI_PORT, else {PORT})")
    return parser


def _port(option: str | None) -> int:
    name = "--port" if option else "RNNPIPE_UI_PORT"
    text = option or os.environ.get("RNNPIPE_UI_PORT") or str(PORT)
    if not text.isdigit() or not 1024 <= int(text) < 65535:
        raise UpError(f"{name}: found {text[:100]!r}, expected a number from 1024 to 65534")
    return int(text)


def _up(project: Path, port: int) -> NoReturn:
    began = time.monotonic()
    state = project / STATE
    address = f"http://{HOST}:{port}"
    if ended := end_marked(state):
        print(f"rnnpipe: an earlier `make ui` was killed; ended {ended} processes that it left")
    _check_port(port)
    _check_port(port + 1)  # the runs' own pages
    # Prefect reads its settings from the environment, once, in this process too.
    settings = environment(project, port, os.environ)
    for name in os.environ.keys() - settings.keys():
        del os.environ[name]
    os.environ.update(settings)
    children = Children(project, state)
    credentials = settings.get("PREFECT_API_AUTH_STRING")
    pages = contextlib.ExitStack()
    try:
        pages.enter_context(served_pages(project / RUNS, HOST, port + 1, credentials))
        print("rnnpipe: starting server, worker and deployments", flush=True)
        children.start("server", "server", "start", "--host", HOST, "--port", str(port))
        from flows import server  # imports Prefect while the server does the same

        children.wait_until(lambda: is_healthy(port), _SERVER_SECONDS, "the server to answer")
        try:
            planned = _set_up(project, children)
        except server.ERRORS as error:
            first = str(error).splitlines()[0][:300]
            raise UpError(f"the server did not do as told: {first}; logs: {_LOGS}") from error
        for line in _ready(address, planned, time.monotonic() - began):
            print(line, flush=True)
        children.watch()
    finally:
        children.stop()
        pages.close()


def _set_up(project: Path, children: "Children") -> tuple[str, datetime] | None:
    """Give a running server its worker, deployments and automations; return the next run."""
    from flows import server

    for name in server.settle_runs(POOL, "It was cut off when `make ui` or the machine ended."):
        print(f"rnnpipe: run {name} had been cut off; now it says so")
    server.ensure_pool(POOL)
    now = datetime.now(UTC)
    children.start("worker", "worker", "start", "--pool", POOL, "--name", POOL)
    children.start("deploy", "--no-prompt", "deploy", "--all", ends=True)
    server.ensure_automations(os.environ.get("RNNPIPE_WEBHOOK"))
    children.wait_until(lambda: children.finished("deploy"), _WORKER_SECONDS, "the deployments")
    if missing := server.missing_deployments((project / "prefect.yaml").read_text()):
        raise UpError(f"not deployed: {', '.join(missing)}; {_last_lines(children.log('deploy'))}")
    children.wait_until(
        lambda: server.worker_is_ready(POOL, POOL, now), _WORKER_SECONDS, "the worker to report"
    )
    if server.has_active_schedule():
        # A scheduler that is broken looks healthy but for this.
        children.wait_until(
            lambda: server.next_run(now) is not None, _SCHEDULER_SECONDS, "a run to be scheduled"
        )
    return server.next_run(now)


def _ready(address: str, planned: tuple[str, datetime] | None, seconds: float) -> Iterator[str]:
    protected = "PREFECT_API_AUTH_STRING" in os.environ
    if planned:
        name, moment = planned
        when = f"{name}, {moment.astimezone():%a %d %b %Y %H:%M:%S %Z}"
    else:
        when = "none: no schedule is active"
    yield f"rnnpipe: ready after {seconds:.0f} s"
    yield f"  address     {address}"
    yield (
        f"  password    {USER}:$RNNPIPE_UI_PASSWORD"
        if protected
        else "  password    none; RNNPIPE_UI_PASSWORD sets one"
    )
    yield f"  next run    {when}"
    yield f"  run now     PREFECT_API_URL={address}/api prefect deployment run pipeline/manual"
    yield f"  logs        {_LOGS}"
    yield "  stop        Ctrl-C"


def environment(project: Path, port: int, outer: Mapping[str, str]) -> dict[str, str]:
    """The environment of every process: Prefect's settings, in place of all that stood there.

    Args:
        project: the project's folder, absolute; runs begin there.
        port: the server's, on the loopback interface.
        outer: the environment to build on; ``RNNPIPE_UI_PASSWORD`` in it sets the password.
    """
    state = project / STATE
    # Another server's address or key, a profile, a database: none of it may leak in.
    kept = {
        name: value
        for name, value in outer.items()
        if not name.startswith("PREFECT_") or name.startswith("PREFECT_LOGGING_")
    }
    origins = ",".join(f"http://{name}:{port}" for name in (HOST, "localhost"))
    own = {
        MARK: str(state),
        "RNNPIPE_PROJECT": str(project),
        PAGES_VARIABLE: f"http://{HOST}:{port + 1}",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), outer.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "DO_NOT_TRACK": "1",
        "NO_PROXY": ",".join(filter(None, [outer.get("NO_PROXY"), HOST, "localhost"])),
        "no_proxy": ",".join(filter(None, [outer.get("no_proxy"), HOST, "localhost"])),
        "PREFECT_HOME": str(state),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": origins,
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(RETENTION_SECONDS),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_CLI_COLORS": "false",
        "PREFECT_CLI_WRAP_LINES": "false",
    }
    if password := outer.get("RNNPIPE_UI_PASSWORD"):
        own["PREFECT_SERVER_API_AUTH_STRING"] = f"{USER}:{password}"
        own["PREFECT_API_AUTH_STRING"] = f"{USER}:{password}"
    return kept | own


# What may stand in the way --------------------------------------------------------------------


@contextlib.contextmanager
def only_one(state: Path, address: str) -> Iterator[None]:
    """Hold the state folder, made if need be and closed to others, for one command at a time.

    The lock is the kernel's and dies with its holder: a pid left in the file bars nobody.

    Raises:
        UpError: another command holds it.
    """
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o700)
    with (state / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UpError(f"already running: {_holder(file.read())}") from None
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


def _check_port(port: int) -> None:
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
    mark = f"{MARK}={state}".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            # Another user's, or ended while we looked.
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
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

    def start(self, name: str, *arguments: str, ends: bool = False) -> None:
        """Start ``prefect ARGUMENTS``.

        Args:
            name: of the child in messages and of its log.
            arguments: of Prefect's command line.
            ends: it ends by itself when its work is done.
        """
        log = self.log(name)
        log.parent.mkdir(exist_ok=True)
        if log.exists():
            log.replace(log.with_suffix(".previous.log"))
        if ends:
            self.passing.add(name)
        with log.open("wb") as file:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "prefect", *arguments],
                cwd=self.project,
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
        if _asked_to_stop.is_set():
            raise Stopped
        for name, child in self.running.items():
            code = child.poll()
            if code is not None and not (name in self.passing and code == 0):
                raise UpError(self._ended(name, code))

    def _ended(self, name: str, code: int) -> str:
        log = self.log(name)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        text = log.read_text(errors="replace")
        database = STATE / "prefect.db"
        if "Can't locate revision" in text:
            from importlib.metadata import version

            return (
                f"{database} was written by another release of Prefect than the installed"
                f" {version('prefect')}, which cannot read it: install that release, or move the"
                " file away (it holds the history of runs; data and models are elsewhere)"
            )
        if "file is not a database" in text or "database disk image is malformed" in text:
            return f"{database} is damaged: move it away (it holds the history of runs)"
        return f"the {name} {how}; {_last_lines(log)}"

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
                raise UpError(f"waited {seconds:.0f} s for {what}; logs: {_LOGS}")
            time.sleep(_LOOK_SECONDS)

    def watch(self) -> NoReturn:
        """Stay until a child ends.

        Raises:
            Stopped: somebody asked to stop.
            UpError: one has.
        """
        while True:
            self.check()
            time.sleep(2 * _LOOK_SECONDS)

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
            from flows import server

            _within(1.5, lambda: server.settle_runs(POOL, "`make ui` was stopped."))
        _signal(self._pids("server"), signal.SIGTERM)
        _wait_until(lambda: not self._alive("server"), 2)
        _signal(marked(self.state) | self._pids("server"), signal.SIGKILL)
        for child in self.running.values():
            child.wait()
        _say(f"rnnpipe: stopped in {time.monotonic() - began:.1f} s")

    def _cancel_runs(self) -> None:
        from flows import server

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
        from flows import server

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
        time.sleep(_LOOK_SECONDS / 2)


def _last_lines(log: Path) -> str:
    with log.open(errors="replace") as file:
        lines: deque[str] = deque((line.rstrip() for line in file if line.strip()), _LAST_LINES)
    return "\n".join([f"the last lines of {log.name}:", *(f"  {line}" for line in lines)])


if __name__ == "__main__":
    sys.exit(main())
