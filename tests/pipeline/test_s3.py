"""Data and models on S3: real ``dvc``, git and command line against a server on loopback."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects import DVC, copy, fails
from s3_server import BUCKET, KEY_ID, SECRET, Server, credentials, serving

from rnnpipe.commands.project_copy import ProjectCopy
from rnnpipe.storage.files import sha256_directory

RNNPIPE = (sys.executable, "-m", "rnnpipe")
REVIEW = "A superb film."
NOBODY = "http://127.0.0.1:1"  # a port that no server may have


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def project(quick: ProjectCopy, server: Server, tmp_path: Path) -> ProjectCopy:
    """A copy of the finished project with a bare origin and a place of its own in the bucket."""
    folder = copy(quick, tmp_path / "project").folder
    (tmp_path / "home").mkdir()
    environment = {**quick.environment}
    for name, value in credentials(tmp_path / "home").items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    sandbox = ProjectCopy(folder, environment)
    origin = str(tmp_path / "origin.git")
    sandbox.run("git", "init", "--quiet", "--bare", "--initial-branch=main", origin)
    sandbox.run("git", "remote", "add", "origin", origin)
    sandbox.run(*DVC, "remote", "add", "--default", "store", f"s3://{BUCKET}/{tmp_path.name}")
    sandbox.run(*DVC, "remote", "modify", "store", "endpointurl", server.address)
    sandbox.commit("Add the remotes")
    return sandbox


def cloned(project: ProjectCopy, source: str = "origin.git") -> ProjectCopy:
    """A clone with an empty cache, beside the project."""
    home = project.folder.parent
    project.run("git", "clone", "--quiet", str(home / source), str(home / "clone"))
    return ProjectCopy(home / "clone", project.environment)


def standing(project: ProjectCopy) -> tuple[str, str]:
    """Tags here, and all that the origin knows."""
    return (project.run("git", "tag"), project.run("git", "ls-remote", "origin"))


def test_pushed_data_come_back_in_a_fresh_clone(project, server):
    project.run(*DVC, "push", "--quiet")
    assert server.objects(f"{project.folder.parent.name}/files/md5/")
    clone = cloned(project, "project")
    assert not (clone.folder / ".dvc/cache").exists()
    clone.run(*DVC, "pull", "--quiet")
    assert clone.reproduce() == {}
    assert not clone.run("git", "status", "--porcelain")
    for name in ("models/sentiment", "models/network", "data/sequences"):
        assert sha256_directory(clone.folder / name) == sha256_directory(project.folder / name)


def test_a_published_model_is_found_and_fetched_elsewhere(project):
    published = project.run(*RNNPIPE, "publish")
    said = project.run(*RNNPIPE, "predict", REVIEW)
    assert SECRET not in published
    assert standing(project)[0].split() == ["sentiment#dev#1", "sentiment@v0.1.0"]
    assert "refs/heads/main" in standing(project)[1]
    assert "refs/tags/sentiment@v0.1.0" in standing(project)[1]

    clone = cloned(project)
    assert "v0.1.0" in clone.run(*RNNPIPE, "models")
    assert clone.run(*RNNPIPE, "predict", "--model", "v0.1.0", REVIEW) == said
    model = sha256_directory(project.folder / "models/sentiment")
    assert (clone.folder / ".rnnpipe/models" / model).is_dir()
    assert sha256_directory(clone.folder / ".rnnpipe/models" / model) == model

    # From any folder, by the repository's address alone.
    home = project.folder.parent
    elsewhere = ProjectCopy(home / "elsewhere", project.environment)
    elsewhere.folder.mkdir()
    get = (*DVC, "artifacts", "get", str(home / "origin.git"), "sentiment")
    elsewhere.run(*get, "--rev", "v0.1.0", "--out", "got")
    assert sha256_directory(elsewhere.folder / "got") == model

    # No secret has been written down: not in what is public, not beside it.
    for path in (*project.folder.rglob("*"), *(home / "origin.git").rglob("*")):
        if path.is_file() and not path.is_symlink():
            assert SECRET.encode() not in path.read_bytes(), path


def test_a_store_that_cannot_be_written_publishes_nothing(project, server):
    def refused(told: str, **environment: str) -> None:
        """Publishing says what is wrong with the store and what to do, and leaves nothing."""
        known = {
            name: value for name, value in (project.environment | environment).items() if value
        }
        before = standing(project)
        shown = fails(ProjectCopy(project.folder, known), *RNNPIPE, "publish")
        assert standing(project) == before == ("", "")
        (error,) = [line for line in shown.splitlines() if line.startswith("rnnpipe: ")]
        assert told in error
        for word in (
            "DVC remote store",
            "`dvc push`",
            "AWS_ACCESS_KEY_ID",
            "nothing was published",
        ):
            assert word in error
        assert "dvc.org/support" not in shown
        assert "Traceback" not in shown
        assert SECRET not in shown
        assert KEY_ID not in shown

    def change(name: str, value: str) -> None:
        project.run(*DVC, "remote", "modify", "store", name, value)
        project.commit(f"Change the remote's {name}")

    refused("credentials", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    with server.nobody_is_known():
        refused("Forbidden")
    change("endpointurl", NOBODY)
    refused("Could not connect")  # a bucket that is not there: flows/test_pipeline_flow.py
    # Now it can: publishing is completed.
    change("endpointurl", server.address)
    project.run(*RNNPIPE, "publish")
    assert "refs/tags/sentiment@v0.1.0" in standing(project)[1]
    assert server.objects(f"{project.folder.parent.name}/files/md5/")
