"""A copy of the finished project to run flows on, and a server of Prefect."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Before Prefect is imported: nothing of the user's own, nothing to the outside, no long pauses.
if "PREFECT_HOME" not in os.environ:
    os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="rnnpipe-prefect-")
    atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], ignore_errors=True)
os.environ["DO_NOT_TRACK"] = "1"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["RNNPIPE_RETRY_SECONDS"] = "0.1"

import projects

from rnnpipe.sandbox import Sandbox

Change = Callable[[Path, dict[str, object]], None]


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """A server for all flow tests; its address. Harnesses must not be nested."""
    from prefect.settings import get_current_settings
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield str(get_current_settings().api.url)


@pytest.fixture
def project(quick: Sandbox, tmp_path: Path) -> Sandbox:
    """A copy of the finished project whose stages take a moment, free to change."""
    return projects.copy(quick, tmp_path / "project")


@pytest.fixture
def real_project(finished: Sandbox, tmp_path: Path) -> Sandbox:
    """A copy of the finished project with its real stages, free to change."""
    return projects.copy(finished, tmp_path / "project")


@pytest.fixture
def set_params() -> Change:
    """Change values in the params.yaml of a folder."""
    return projects.set_params
