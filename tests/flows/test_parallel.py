"""One training by two tasks of a Dask cluster, through the real flow, DVC and stages."""

import time

import pytest
from projects import make_quick

from flows.pipeline import pipeline
from flows.ranks import MEETING, Spread, own_address, run_rank
from flows.workspace import RUNS
from rnnpipe.sandbox import Sandbox


@pytest.mark.usefixtures("prefect_server")
def test_a_training_by_two_tasks_of_dask_and_one_that_is_not_needed(finished: Sandbox, tmp_path):
    project = make_quick(finished, tmp_path / "project", real=["train"])
    overrides = {"train.workers": 2}
    for expected in ("Ran", "Cached"):
        state = pipeline(
            overrides, runner="dask", repository=str(project.folder), return_state=True
        )
        assert state.is_completed(), state.message
        story = state.result()
        assert story.outcomes["train"].state == expected
        assert story.outcomes["register"].state == expected
        meeting = project.folder / RUNS / story.name / MEETING
        assert (meeting / "ended").exists()
        if expected == "Ran":
            # Both were tasks: where the stage starts the others, they meet elsewhere.
            assert {"0", "1"} <= {path.name for path in meeting.iterdir()}


def test_a_worker_of_a_stage_that_has_ended_is_not_begun(tmp_path):
    spread = Spread(tmp_path, tmp_path / "params.yaml", 2, None)
    spread.end()
    began = time.monotonic()
    assert run_rank(spread, 1, print) == "not needed"
    assert time.monotonic() - began < 1


def test_a_worker_names_the_address_that_leads_to_the_cluster():
    assert own_address(None) == "127.0.0.1"
    assert own_address("tcp://127.0.0.1:8786") == "127.0.0.1"
