import os
from pathlib import Path
from typing import Any

import pytest
import stage_code
from filelock import FileLock
from projects import ROOT, make_quick, make_small
from xdist.scheduler import LoadScopeScheduling

from rnnpipe.params import Params, load_params
from rnnpipe.sandbox import Sandbox, environment

Executed = dict[tuple[str, ...], set[Path]]
FLOWS, PIPELINE = "tests/flows/", "tests/pipeline/"


def _group(nodeid: str) -> str:
    """The tests that one process runs one after the other, or a test that any process may take."""
    return next((folder for folder in (FLOWS, PIPELINE) if nodeid.startswith(folder)), nodeid)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that run pipelines, flows or servers, and bring all into a good order.

    Flows come first, and what any process may take before the pipelines: where two share the
    tests, one has the flows, the other all the rest.
    """
    rank = {FLOWS: 0, PIPELINE: 2}
    items.sort(key=lambda item: rank.get(_group(item.nodeid), 1))
    for item in items:
        if _group(item.nodeid) in rank:
            item.add_marker(pytest.mark.pipeline)


class GroupsInOrder(LoadScopeScheduling):
    """Of several processes one runs all flows and servers, one all pipelines, in their order.

    There they share what is built once, and what a group has one of never runs twice at a time.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupsInOrder:
    """Have ``pytest -n`` divide the tests so."""
    return GroupsInOrder(config, log)


@pytest.fixture(scope="session")
def params() -> Params:
    """The project's own parameters."""
    return load_params(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def finished_and_executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sandbox, Executed]:
    """The project after one ``dvc repro -P`` on small data, committed; what each stage executed.

    All pipelines: ``dvc exp apply`` and ``dvc push`` want the outputs of each. Tests copy it, none
    changes it.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # of all processes of this session
    folder, notes = shared / "finished", shared / "notes"
    with FileLock(shared / "finished.lock"):
        if not (shared / "finished.done").exists():
            notes.mkdir()
            sandbox = make_small(folder)
            stage_code.noting(sandbox, notes).reproduce("--all-pipelines")
            sandbox.commit("Run the pipelines")
            (shared / "finished.done").touch()
    sandbox = Sandbox(folder.resolve(), environment())
    return sandbox, stage_code.executed(sandbox, notes)


@pytest.fixture(scope="session")
def finished(finished_and_executed: tuple[Sandbox, Executed]) -> Sandbox:
    """The finished project alone."""
    return finished_and_executed[0]


@pytest.fixture(scope="session")
def quick(finished: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """The finished project with stages that take a moment (``tests/projects.py``); to be copied."""
    return make_quick(finished, tmp_path_factory.mktemp("quick") / "project")
