"""A real ``python -m flows.serving.up`` in a folder of its own, for tests."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, StateType

from flows.serving import access
from flows.serving.children import marked
from flows.serving.environment import STATE

T = TypeVar("T")
READY_SECONDS = 180
ACTIVE = (StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


def free_port() -> int:
    """A port that is free, as the next one is: `make ui` takes two in a row."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):  # taken, or beyond the last
                continue
            return port


def wait_for(what: str, seconds: float, find: Callable[[], T | None], every: float = 0.5) -> T:
    """The first true value of ``find``; fails when none comes in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := find():
            return found
        time.sleep(every)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")


class Up:
    """The command, what it printed, and a client of its server."""

    def __init__(
        self,
        folder: Path,
        password: str | None = None,
        outer: Mapping[str, str] = os.environ,
        database: Path | None = None,
        **environment: str,
    ) -> None:
        self.folder = folder.resolve()
        if database:  # one that is ready; else it is made, as at a first start
            (self.folder / STATE).mkdir(parents=True)
            shutil.copy(database, self.folder / STATE)
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        if password:
            environment["RNNPIPE_UI_PASSWORD"] = password
        self.lines: list[str] = []
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows.serving.up", "--port", str(self.port)],
            cwd=self.folder,
            env={**outer, "PYTHONPATH": "", **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def printed(self) -> str:
        return "\n".join(self.lines)

    def ready(self) -> "Up":
        """Wait for the line that says so."""
        wait_for(
            "ready", READY_SECONDS, lambda: "ready after" in self.printed or self.process.poll()
        )
        assert self.process.poll() is None, self.printed
        return self

    def ended(self, seconds: float) -> int:
        """Exit code of the command, when it ends within the time."""
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code

    def stop(self, number: int = signal.SIGTERM) -> float:
        """End it and return the seconds that took; whatever stays is killed, and fails the test."""
        began = time.monotonic()
        self.process.send_signal(number)
        try:
            self.ended(40)
            seconds = time.monotonic() - began
            left = marked(self.folder / STATE)
        finally:
            self.process.kill()
            for pid in marked(self.folder / STATE):
                os.kill(pid, signal.SIGKILL)
        assert not left, "processes outlive `make ui`"
        return seconds

    @property
    def credentials(self) -> str:
        """``user:password``, as it is kept."""
        return (self.folder / STATE / access.FILE).read_text().removesuffix("\n")

    @property
    def link(self) -> str:
        """What logs a browser in: the part behind the #."""
        (link,) = re.findall(rf"{re.escape(self.address + access.LOGIN)}#(\S+)", self.printed)
        return link

    def client(self) -> SyncPrefectClient:
        return SyncPrefectClient(api=f"{self.address}/api", auth_string=self.credentials)

    def run(self, deployment: str = "manual", **parameters: Any) -> FlowRun:
        """Ask for a run."""
        with self.client() as client:
            found = client.read_deployment_by_name(f"pipeline/{deployment}")
            return client.create_flow_run_from_deployment(found.id, parameters=parameters)

    def flow_run(self, run: UUID) -> FlowRun:
        with self.client() as client:
            return client.read_flow_run(run)

    def in_state(self, run: UUID, *types: StateType, seconds: float) -> FlowRun:
        """Wait until a run has come into one of the states."""

        def find() -> FlowRun | None:
            found = self.flow_run(run)
            return found if found.state_type in types else None

        return wait_for(f"run {run} to be {types}", seconds, find)

    def finished(self, run: UUID, seconds: float) -> FlowRun:
        """Wait until a run is over."""
        return self.in_state(run, *(set(StateType) - set(ACTIVE)), seconds=seconds)

    def log_of(self, run: UUID) -> str:
        from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

        with self.client() as client:
            logs = client.request(
                "POST",
                "/logs/filter",
                json={
                    "logs": LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run])).model_dump(
                        mode="json"
                    )
                },
            )
        return "\n".join(log["message"] for log in logs.json())

    def children(self, argument: str) -> set[int]:
        """Pids of its processes whose command line holds the argument."""
        found = set()
        for pid in marked(self.folder / STATE):
            with suppress(psutil.Error):  # it ended while we looked
                if any(re.search(argument, part) for part in psutil.Process(pid).cmdline()):
                    found.add(pid)
        return found
