"""The server that a single run starts for itself answers that run alone."""

import http.client
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Tells where it listens when it answers, and what a child of its own may do; ends with its input.
RUN = """
import os, subprocess, sys
from pathlib import Path
from flows.serving.own_server import use_a_server
use_a_server(Path(sys.argv[1]))
child = "from prefect.client.orchestration import get_client as g; print(g(sync_client=True).read_flows())"
done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True)
print(os.environ["PREFECT_API_URL"], done.stdout.strip(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def told(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """What the run tells: the address of its server, and what its child was answered."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(empty_database, home)
    foreign = {"PREFECT_API_AUTH_STRING": "another's", "RNNPIPE_UI_PASSWORD": "another's"}
    child = subprocess.Popen(
        [sys.executable, "-c", RUN, str(home)],
        cwd=ROOT,
        env={**os.environ, **foreign, "PREFECT_HOME": str(home), "PYTHONPATH": ""},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdin
    assert child.stdout
    try:
        yield child.stdout.readline().split()
    finally:
        child.stdin.close()
        assert child.wait(30) == 0
        assert not (home / "password").exists()  # it is this run's alone


def answer(told: list[str], method: str, path: str, **headers: str) -> int:
    connection = http.client.HTTPConnection(told[0].split("/")[2], timeout=10)
    connection.request(method, path, headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_child_of_the_run_is_let_in(told):
    assert told[1] == "[]"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/csrf-token?client=x"),
        ("GET", "/api/flows/00000000-0000-0000-0000-000000000000"),
        ("POST", "/api/flow_runs/filter"),
        ("POST", "/api/deployments/"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
    ],
)
def test_who_does_not_know_its_password_is_refused(told, method, path):
    assert answer(told, method, path) == 401
    assert answer(told, method, path, Authorization="Basic YW5vdGhlcidz") == 401


@pytest.mark.parametrize("path", ["/api/health", "/api/flows/filter", "/rnnpipe/login"])
def test_other_names_and_other_pages_are_refused(told, path):
    assert answer(told, "GET", path, Host="evil.example") == 421
    assert answer(told, "POST", path, Origin="http://evil.example") == 403


def test_no_link_logs_in(told):
    assert answer(told, "POST", "/rnnpipe/login") == 403
