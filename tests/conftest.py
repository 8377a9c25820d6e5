import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stage_code
from filelock import FileLock
from hypothesis import settings
from projects import ROOT, copy, keep_root, make_quick, make_small
from xdist.scheduler import LoadFileScheduling

from rnnpipe.commands.project_copy import ProjectCopy, environment
from rnnpipe.config.load import Params, load_params

# How long an example takes is the machine's affair; each run draws other ones.
settings.register_profile(
    "rnnpipe", deadline=None, max_examples=int(os.environ.get("RNNPIPE_EXAMPLES", "30"))
)
settings.load_profile("rnnpipe")

# Several processes share the cores: threads of TensorFlow's that wait for one another only take them.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

Executed = dict[tuple[str, ...], set[Path]]
# What runs pipelines, flows and servers.
PIPELINE_FOLDERS = ("tests/flows/", "tests/pipeline/")
NETWORK_FOLDER = "tests/network/"
# The longest first: what is short fills the gaps at the end.
LONGEST = (
    "test_pipeline_flow",
    "test_pipeline",
    "test_search",
    "test_up",
    "test_publishing",
    "test_cluster",
    "test_s3",
    "test_pipelines",
    "test_lost_server",
    "test_parallel",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that run pipelines, flows or servers, and bring all into a good order."""

    def rank(item: pytest.Item) -> int:
        if item.path.stem == "test_end_to_end":
            return 0  # it builds the finished project, and waits for schedules and automations
        if not item.nodeid.startswith(PIPELINE_FOLDERS):
            # While one process builds the finished project, the others have networks to test.
            return 1 if item.nodeid.startswith(NETWORK_FOLDER) else 3 + len(LONGEST)
        return 2 + (LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))

    items.sort(key=rank)
    for item in items:
        if item.nodeid.startswith(PIPELINE_FOLDERS):
            item.add_marker(pytest.mark.pipeline)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep what costs seconds to import out of ``make check``."""
    elsewhere = (*PIPELINE_FOLDERS, NETWORK_FOLDER, "tests/fuzz/")
    if not any(item.nodeid.startswith(elsewhere) for item in session.items):
        for name in {"tensorflow", "prefect"} & sys.modules.keys():
            raise pytest.UsageError(f"a test beside tests/network and tests/flows imports {name}")


class FilesInOrder(LoadFileScheduling):
    """Of several processes each takes a whole file, the next one in the order above.

    The tests of a file share servers, projects and small networks, and build on one another.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesInOrder:
    """Have ``pytest -n`` divide the tests so."""
    return FilesInOrder(config, log)


@pytest.fixture(scope="session")
def params() -> Params:
    """The project's own parameters."""
    return load_params(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this session share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def made_once(folder: Path, make: Callable[[Path], object]) -> ProjectCopy:
    """A project that the first of this session's processes makes, and all of them copy."""
    done = folder.with_suffix(".done")
    with FileLock(folder.with_suffix(".lock")):
        if not done.exists():
            make(folder)
            done.touch()
    return ProjectCopy(folder.resolve(), environment())


@pytest.fixture(scope="session")
def finished_and_executed(shared: Path) -> tuple[ProjectCopy, Executed]:
    """The project after one ``dvc repro -P`` on small data, committed; what each stage executed.

    All pipelines: ``dvc exp apply`` and ``dvc push`` want the outputs of each. Tests copy it, none
    changes it.
    """
    notes = shared / "notes"

    def make(folder: Path) -> None:
        notes.mkdir()
        sandbox = make_small(folder)
        stage_code.noting(sandbox, notes).reproduce("--all-pipelines")
        sandbox.commit("Run the pipelines")

    sandbox = made_once(shared / "finished", make)
    return sandbox, stage_code.executed(sandbox, notes)


@pytest.fixture(scope="session")
def finished(finished_and_executed: tuple[ProjectCopy, Executed]) -> ProjectCopy:
    """The finished project alone."""
    return finished_and_executed[0]


@pytest.fixture(scope="session")
def finished_root(finished: ProjectCopy, shared: Path) -> ProjectCopy:
    """The finished project with the root's pipeline alone: DVC reads half as much each time."""
    return made_once(shared / "root", lambda folder: keep_root(copy(finished, folder)))


@pytest.fixture(scope="session")
def quick(finished_root: ProjectCopy, shared: Path) -> ProjectCopy:
    """The root's pipeline with stages that take a moment (``tests/projects.py``); to be copied."""
    return made_once(shared / "quick", lambda folder: make_quick(finished_root, folder))


@pytest.fixture(scope="session")
def quick_pipelines(finished: ProjectCopy, shared: Path) -> ProjectCopy:
    """All pipelines with such stages; to be copied."""
    return made_once(shared / "quick_all", lambda folder: make_quick(finished, folder))
