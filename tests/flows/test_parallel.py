"""One training by two tasks of a Dask cluster, through the real flow, DVC and stages."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from projects import make_quick, processes, set_params
from running import wait_for

from flows import ranks
from flows.pipeline import pipeline
from flows.ranks import MEETING, Spread, own_address, run_rank
from flows.workspace import RUNS
from rnnpipe.commands.project_copy import ProjectCopy


@pytest.mark.usefixtures("prefect_server")
def test_a_training_by_two_tasks_of_dask(finished_root: ProjectCopy, tmp_path):
    project = make_quick(finished_root, tmp_path / "project", real=["train"])
    overrides = {"train.workers": 2, "train.epochs": 1, "train.fraction": 0.5}
    state = pipeline(overrides, runner="dask", repository=str(project.folder), return_state=True)
    assert state.is_completed(), state.message
    story = state.result()
    assert story.outcomes["train"].state == "Ran"
    assert story.outcomes["register"].state == "Ran"
    meeting = project.folder / RUNS / story.name / MEETING
    # Both were tasks: where the stage starts the others, they meet elsewhere.
    assert {"0", "1", "ended"} <= {path.name for path in meeting.iterdir()}


def test_a_worker_who_waits_for_a_stage_that_trains_nothing_is_ended(real_project, monkeypatch):
    monkeypatch.setattr(ranks, "_GRACE_SECONDS", 600)  # for one that has taken part
    set_params(real_project.folder, {"train.workers": 2})
    spread = Spread(real_project.folder, Path("params.yaml"), 2, None)
    with ThreadPoolExecutor() as pool:
        became = pool.submit(run_rank, spread, 1, print)
        wait_for("the worker to come", 120, (spread.folder / MEETING / "1").exists)
        spread.end()
        assert became.result(30) == "not needed any more"
    assert not list(processes(real_project.folder))


def test_a_worker_of_a_stage_that_has_ended_is_not_begun(tmp_path):
    spread = Spread(tmp_path, tmp_path / "params.yaml", 2, None)
    spread.end()
    began = time.monotonic()
    assert run_rank(spread, 1, print) == "not needed"
    assert time.monotonic() - began < 1


def test_a_worker_names_the_address_that_leads_to_the_cluster():
    assert own_address(None) == "127.0.0.1"
    assert own_address("tcp://127.0.0.1:8786") == "127.0.0.1"
