"""A copy of the finished project to run flows on, and a server of Prefect."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

# Before Prefect is imported: nothing of the user's own, nothing to the outside, no long pauses.
if "PREFECT_HOME" not in os.environ:
    os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="rnnpipe-prefect-")
    atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], ignore_errors=True)
os.environ["DO_NOT_TRACK"] = "1"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
# No test looks at the catalogue of blocks, which costs each server's start half its seconds.
os.environ["PREFECT_SERVER_REGISTER_BLOCKS_ON_START"] = "false"
os.environ["PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION"] = "false"
os.environ["RNNPIPE_RETRY_SECONDS"] = "0.1"

import projects

from rnnpipe.commands.project_copy import ProjectCopy

Change = Callable[[Path, dict[str, object]], None]


@pytest.fixture(scope="session")
def empty_database(shared: Path) -> Path:
    """A database of Prefect's without a run, to be copied: making one takes a server 12 s."""
    folder = shared / "prefect"
    database = folder / "prefect.db"
    with FileLock(shared / "prefect.lock"):
        if not database.exists():
            command = ["-m", "prefect", "server", "database", "upgrade", "--yes"]
            home = {**os.environ, "PREFECT_HOME": str(folder.with_suffix(".partial"))}
            subprocess.run([sys.executable, *command], env=home, check=True, capture_output=True)
            folder.with_suffix(".partial").rename(folder)
    return database


@pytest.fixture(scope="session")
def prefect_server(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for all flow tests; its address. Harnesses must not be nested."""
    from prefect.settings import get_current_settings
    from prefect.testing import utilities

    home = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, home / "prefect-test.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utilities, "mkdtemp", lambda: str(home))
        with utilities.prefect_test_harness(server_startup_timeout=180):
            yield str(get_current_settings().api.url)


@pytest.fixture
def project(quick: ProjectCopy, tmp_path: Path) -> ProjectCopy:
    """A copy of the finished root pipeline whose stages take a moment, free to change."""
    return projects.copy(quick, tmp_path / "project")


@pytest.fixture
def project_of_all(quick_pipelines: ProjectCopy, tmp_path: Path) -> ProjectCopy:
    """The same with all pipelines."""
    return projects.copy(quick_pipelines, tmp_path / "project")


@pytest.fixture
def real_project(finished_root: ProjectCopy, tmp_path: Path) -> ProjectCopy:
    """A copy of the finished root pipeline with its real stages, free to change."""
    return projects.copy(finished_root, tmp_path / "project")


@pytest.fixture
def set_params() -> Change:
    """Change values in the params.yaml of a folder."""
    return projects.set_params
