"""A Prefect server that dies under a run: for good, or until it is started again."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects import DVC, is_stage, processes
from running import free_port, wait_for

from flows.lifeline import seconds_to_wait
from flows.serving.own_server import is_healthy
from flows.workspace import RUNS
from rnnpipe.commands.project_copy import ProjectCopy
from rnnpipe.errors import ParameterError

# Seconds that a run waits for a server that is gone, and those that the end itself may take: with
# them, too, it is less than a run waits for unless told otherwise.
PATIENCE, END = 8, 60


class Server:
    """A Prefect server on a port and a database of its own, which may die and come back."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        self.address = f"http://127.0.0.1:{self.port}/api"
        self.start()

    def start(self) -> None:
        app = ("--factory", "prefect.server.api.server:create_app", "--lifespan", "on")
        port = ("--host", "127.0.0.1", "--port", str(self.port), "--log-level", "error")
        # Nothing of another test's server, but what a server does not do as it starts.
        kept = {
            name: value
            for name, value in os.environ.items()
            if "PREFECT" not in name or name.startswith("PREFECT_SERVER_")
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *app, *port],
            env={**kept, "PREFECT_HOME": str(self.home), "PREFECT_UI_ENABLED": "0"},
            cwd=self.home,
        )
        wait_for("the server", 180, lambda: is_healthy(self.port))

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def asked(self, question: str) -> list[tuple[str, ...]]:
        """Answer of its database to a question in SQL."""
        with sqlite3.connect(self.home / "prefect.db") as database:
            return database.execute(question).fetchall()


@pytest.fixture(scope="module")
def server(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(empty_database, home)
    server = Server(home)
    yield server
    server.end(signal.SIGKILL)


def start(
    project: ProjectCopy, server: Server, epochs: int, **environment: str
) -> "subprocess.Popen[str]":
    """Begin a run, and wait for its training."""
    longer = (f"train.{name}={epochs}" for name in ("epochs", "patience"))
    run = subprocess.Popen(
        [sys.executable, "-m", "flows.run", *(word for text in longer for word in ("--set", text))],
        cwd=project.folder,
        env={**project.environment, "PREFECT_API_URL": server.address, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def training() -> bool:
        assert run.poll() is None, run.communicate()[0]
        return any(is_stage(command, "train") for _, command in processes(project.folder))

    wait_for("the training", 120, training, 0.1)
    return run


def test_a_server_that_comes_back_during_a_stage_costs_nothing(project, server):
    # However long a busy machine takes to start the server anew.
    patience = {"RNNPIPE_SERVER_SECONDS": "600", "PREFECT_CLIENT_MAX_RETRIES": "9"}
    run = start(project, server, 20, **patience)
    server.end(signal.SIGKILL)
    away, printed = "does not answer: the run waits for it, 600 s at most", ""
    try:
        assert run.stdout
        while away not in printed:
            line = run.stdout.readline()
            assert line, printed
            printed += line
        server.start()
        printed += run.stdout.read()
        run.wait(60)
    finally:
        run.kill()
    assert run.returncode == 0, printed
    assert "answers again" in printed
    # Not of its log: on a busy machine Prefect's own sender of log lines may give up before.
    for lost in ("An artifact is missing", "failed to process"):
        assert lost not in printed
    assert server.asked("select state_type from flow_run") == [("COMPLETED",)]

    def tasks() -> dict[str, str]:
        return dict(server.asked("select name, state_name from task_run"))

    # The server records them from events, a moment later than the run's own state.
    ended = {"Ran", "Cached", "Skipped"}
    wait_for("the task runs", 60, lambda: set(tasks().values()) <= ended and "report" in tasks())
    assert tasks()["train"] == tasks()["evaluate"] == tasks()["register"] == "Ran"
    keys = {key for (key,) in server.asked("select key from artifact")}
    assert {"dag", "training", "training-progress", "metrics", "verdict", "summary"} <= keys
    (table,) = server.asked("select data from artifact where key = 'training'")
    assert "| 20 |" in json.loads(table[0])


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc")
@pytest.mark.parametrize("way", [signal.SIGSTOP, signal.SIGKILL], ids=["silent", "dead"])
def test_a_run_whose_server_is_gone_ends_in_a_stated_time_and_says_so(project, server, way):
    run = start(project, server, 1000, RNNPIPE_SERVER_SECONDS=str(PATIENCE))
    server.end(way)
    try:
        printed, _ = run.communicate(timeout=PATIENCE + END)
    finally:
        run.kill()
        server.end(signal.SIGCONT)
    assert run.returncode == 1
    assert f"has not answered for {PATIENCE} s, so this run ends, and stops train." in printed
    assert "Traceback" not in printed
    wait_for("the end of the stage", 10, lambda: not list(processes(project.folder)))
    (clone,) = [path for path in (project.folder / RUNS).iterdir() if path.is_dir()]
    status = json.loads(ProjectCopy(clone, project.environment).run(*DVC, "status", "--json"))
    assert "train" in status
    assert not {"download", "prepare", "sequences"} & status.keys()


@pytest.mark.parametrize("text", ["soon", "-1", "0", "inf", "nan"])
def test_a_patience_that_is_no_number_of_seconds_is_refused(monkeypatch, text):
    monkeypatch.setenv("RNNPIPE_SERVER_SECONDS", text)
    with pytest.raises(ParameterError, match=f"RNNPIPE_SERVER_SECONDS: found '{text}'"):
        seconds_to_wait()
