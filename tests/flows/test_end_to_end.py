"""Real server, worker, schedule, DVC and stages, on a generated corpus in a copy of the project."""

import html
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import FlowRun, StateType, TaskRun
from prefect.states import Cancelling
from projects import DVC, keep_root, make_small, quicken, trains
from running import ACTIVE, Up, wait_for

from flows.serving import access
from flows.serving.children import marked
from flows.serving.environment import STATE, environment
from rnnpipe.commands.project_copy import ProjectCopy

ROOT = Path(__file__).parents[2]
STAGES = tuple(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
OFTEN = "often"
# Training that is still at work when it is killed.
LONG = {"train.epochs": 1000, "train.patience": 1000}
BEGUN = (StateType.RUNNING, StateType.COMPLETED, StateType.FAILED, StateType.CRASHED)
STOP_SECONDS = 30  # one that still imports TensorFlow looks up late
pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


@pytest.fixture(scope="module")
def sandbox(finished: ProjectCopy, tmp_path_factory: pytest.TempPathFactory) -> ProjectCopy:
    """A project in which nothing has run, with one more deployment and the finished one's cache.

    What is killed in it dies in the midst of a quick stage; tests/pipeline kills the real ones.
    """
    made = make_small(tmp_path_factory.mktemp("whole") / "project")
    made.run(*DVC, "cache", "dir", "--local", str(finished.folder / ".dvc/cache"))
    keep_root(made)
    quicken(made, finished)
    path = made.folder / "prefect.yaml"
    deployments = yaml.safe_load(path.read_text())
    nightly = deployments["deployments"][0]
    deployments["deployments"].append(
        {
            **nightly,
            "name": OFTEN,
            "schedules": [{"slug": "every-few-seconds", "interval": 15, "active": True}],
        }
    )
    path.write_text(yaml.safe_dump(deployments))
    made.commit("Begin")
    return made


@pytest.fixture(scope="module")
def up(sandbox: ProjectCopy, empty_database: Path) -> Iterator[Up]:
    """The one server of this module; at the end nothing of it may be left."""
    running = Up(sandbox.folder, outer=sandbox.environment, database=empty_database)
    try:
        yield running.ready()
    finally:
        if running.process.poll() is None:  # else a test has seen to that
            running.stop()


@pytest.fixture(scope="module")
def scheduled(up: Up) -> FlowRun:
    """The first run that the schedule began, at its end; the schedule then rests."""
    with up.client() as client:
        deployment = client.read_deployment_by_name(f"pipeline/{OFTEN}")
        only = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))

        def begun() -> FlowRun | None:
            runs = client.read_flow_runs(deployment_filter=only)
            # One that found the first still at work is cancelled, and has a time of start, too.
            return next((run for run in runs if run.state_type in BEGUN), None)

        run = wait_for("the schedule to begin a run", 120, begun)
        client.pause_deployment(deployment.id)
    return up.finished(run.id, 240)


@pytest.fixture(scope="module")
def applied(sandbox: ProjectCopy, scheduled: FlowRun) -> None:
    """The tree holds what the scheduled run made: from now on a run has nothing to do."""
    (name,) = [
        line.split("/")[-1]
        for line in sandbox.run(
            "git", "for-each-ref", "--format=%(refname)", "refs/exps/*/*/*"
        ).split()
        if not line.startswith("refs/exps/exec/")
    ]
    sandbox.run(*DVC, "exp", "apply", name)
    sandbox.commit("Take what the night brought")


@dataclass(frozen=True)
class Killed:
    """A run whose worker and engine were killed hard while it trained."""

    run: Any
    at: datetime
    seconds_of_children: float


@pytest.fixture(scope="module")
def killed(up: Up, applied: None) -> Killed:
    """Kill a second worker, on a pool of its own, and its engine; what they started must end."""
    settings = environment(up.folder, up.port, up_environment(up))
    log = (up.folder / STATE / "logs" / "second.log").open("wb")
    command = ["worker", "start", "--pool", "second", "--name", "second", "--type", "process"]
    worker = subprocess.Popen(
        [sys.executable, "-m", "prefect", *command],
        cwd=up.folder,
        env=settings,
        stdout=log,
        stderr=log,
    )
    try:
        with up.client() as client:
            wait_for(
                "the second pool",
                60,
                lambda: "second" in [p.name for p in client.read_work_pools()],
            )
            manual = client.read_deployment_by_name("pipeline/manual")
            deployment = client.create_deployment(
                flow_id=manual.flow_id,
                name="second",
                work_pool_name="second",
                entrypoint=manual.entrypoint,
                pull_steps=manual.pull_steps,
                job_variables=manual.job_variables,
            )
            run = client.create_flow_run_from_deployment(deployment, parameters={"overrides": LONG})
        training(up)
        for pid in (worker.pid, *engines(up)):
            os.kill(pid, signal.SIGKILL)
        at = datetime.now(UTC)
    finally:
        worker.kill()
        worker.wait()
    return Killed(run, at, seconds_until_idle(up))


def up_environment(up: Up) -> dict[str, str]:
    raw = Path(f"/proc/{up.process.pid}/environ").read_bytes().decode()
    return dict(item.split("=", 1) for item in raw.split("\0") if "=" in item)


def engines(up: Up) -> set[int]:
    return up.children(r"^prefect\.(flow_)?engine$")


def training(up: Up) -> set[int]:
    """Wait for the stage's own process, which is in the midst of its work."""
    return wait_for("training", 120, lambda: set(filter(trains, up.children("^train$"))), every=0.2)


def seconds_until_idle(up: Up) -> float:
    """Wait until of a run no process is left, only server and worker."""
    began = time.monotonic()
    own = up.children("^(server|worker)$")
    wait_for("the run's processes to end", STOP_SECONDS, lambda: marked(up.folder / STATE) == own)
    return time.monotonic() - began


def task_runs(up: Up, run: FlowRun) -> list[TaskRun]:
    with up.client() as client:
        found = client.request(
            "POST",
            "/task_runs/filter",
            json={
                "flow_runs": FlowRunFilter(id=FlowRunFilterId(any_=[run.id])).model_dump(
                    mode="json"
                )
            },
        )
    return TaskRun.model_validate_list(found.json())


def stage_states(up: Up, run: FlowRun) -> dict[str, str]:
    """Name of the state of each stage's task run; there is just one for each."""
    # Task runs are recorded from events, a moment later than the run's own state.
    tasks = wait_for(
        "the task runs",
        20,
        lambda: (
            (found := task_runs(up, run))
            and all(task.state_type not in (None, *ACTIVE) for task in found)
            and found
        ),
    )
    counts = Counter(task.name for task in tasks)
    assert {name: counts[name] for name in STAGES} == dict.fromkeys(STAGES, 1), counts
    return {task.name: task.state_name for task in tasks if task.name in STAGES}


# The tests, in the order in which they share the server ----------------------------------------


def test_a_run_that_the_schedule_began_completes(up, scheduled):
    assert scheduled.state_type == StateType.COMPLETED, up.log_of(scheduled.id)
    assert scheduled.auto_scheduled
    assert scheduled.created_by.type == "SCHEDULE"
    assert scheduled.created_by.display_value == "every-few-seconds"
    assert scheduled.start_time
    # What outlasts a network that fails is never taken from the cache.
    expected = dict.fromkeys(STAGES, "Cached") | {"download": "Ran"}
    assert stage_states(up, scheduled) == expected


def test_the_run_left_the_work_tree_alone(sandbox, scheduled):
    assert sandbox.run("git", "status", "--porcelain") == ""
    assert not (sandbox.folder / "dvc.lock").exists()


def test_children_of_a_killed_worker_and_engine_end(killed):
    assert killed.seconds_of_children < STOP_SECONDS


def test_cancelling_ends_the_whole_tree(up, killed):
    run = up.run(overrides=LONG)
    training(up)
    with up.client() as client:
        client.set_flow_run_state(run.id, Cancelling())
    assert seconds_until_idle(up) < STOP_SECONDS
    assert up.finished(run.id, 20).state_type == StateType.CANCELLED


@pytest.fixture(scope="module")
def skipped(up: Up, applied: None) -> FlowRun:
    """A run with nothing left to do, after others that were ended in every way."""
    return up.finished(up.run().id, 120)


def test_after_all_this_what_a_run_made_comes_back_and_the_next_one_skips_all(up, skipped):
    assert skipped.state_type == StateType.COMPLETED, up.log_of(skipped.id)
    states = stage_states(up, skipped)
    assert set(states.values()) == {"Skipped"}
    assert "nothing new" in (skipped.state.message or "").lower()


@pytest.fixture(scope="module")
def chromium() -> str:
    if not shutil.which("chromium"):
        if "CI" not in os.environ:
            pytest.skip("chromium is not installed; CI=1 installs it")
        install = ["apt-get", "install", "--yes", "--no-install-recommends", "chromium"]
        subprocess.run(["apt-get", "update", "--quiet"], check=True)
        subprocess.run(install, check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    return shutil.which("chromium") or pytest.fail("chromium cannot be found")


def rendered(chromium: str, address: str, profile: Path) -> str:
    """The text of a page after its scripts have run."""
    done = subprocess.run(
        [
            chromium,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={profile}",
            "--virtual-time-budget=15000",
            "--timeout=25000",
            "--dump-dom",
            address,
        ],
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", done.stdout, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_the_pages_show_tasks_skipped_count_and_artifact(up, chromium, skipped, tmp_path):
    page = f"{up.address}/v2/runs/flow-run/{skipped.id}"
    # The link that was printed logs this browser in: from now on it knows the password.
    rendered(chromium, f"{up.address}{access.LOGIN}#{up.link}", tmp_path / "profile")

    def tasks() -> str | None:
        text = rendered(chromium, f"{page}?tab=TaskRuns", tmp_path / "profile")
        return text if f"{len(STAGES)} Skipped" in text else None

    text = wait_for("the page of the run", 60, tasks)
    # The page lists a few at a time; the rest stand on the run's first page, in its graph.
    assert sum(stage in text for stage in STAGES) >= 5, text
    with up.client() as client:
        body = {"artifacts": {"flow_run_id": {"any_": [str(skipped.id)]}}}
        artifacts = client.request("POST", "/artifacts/filter", json=body).json()
    dag = next(artifact for artifact in artifacts if artifact["key"] == "dag")
    address = f"{up.address}/v2/artifacts/artifact/{dag['id']}"
    text = rendered(chromium, address, tmp_path / "profile")
    assert all(stage in text for stage in STAGES), text


def test_a_killed_worker_is_noticed_by_the_automation(up, killed):
    patience = max(10.0, 150 - (datetime.now(UTC) - killed.at).total_seconds())
    run = up.finished(killed.run.id, patience)
    assert run.state_type == StateType.CRASHED
    assert "no sign of life" in (run.state.message or "")
    took = run.state.timestamp - killed.at
    print(f"noticed after {took.total_seconds():.0f} s")
    assert took < timedelta(seconds=150)


def test_a_killed_worker_of_its_own_ends_it_all(up):
    (worker,) = up.children("^worker$")
    os.kill(worker, signal.SIGKILL)
    assert up.ended(15) == 1
    assert "the worker was killed by signal 9" in up.printed
    assert "the last lines of worker.log" in up.printed
    assert not marked(up.folder / STATE)
