"""The commit of a publishing, in real git: made, or index and work tree as they were."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnpipe.errors import RegistryError
from rnnpipe.registry.checks import RefusalError, check_identity
from rnnpipe.registry.remote import commit_paths

FILES = ("dvc.lock", "reports/metrics.json", "reports/new.json", 'it\'s "two" words.json')


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-c", "core.quotePath=false", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GIT_INDEX_FILE", "GIT_DIR", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{role}_NAME", raising=False)
        monkeypatch.delenv(f"GIT_{role}_EMAIL", raising=False)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A commit of some files, by somebody known."""
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "Tester")
    git(root, "config", "user.email", "tester@example.org")
    (root / "reports").mkdir()
    for name in FILES[:2]:
        (root / name).write_text("old\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "Start")
    return root


def standing(root: Path) -> tuple[object, ...]:
    """Index, work tree, commits and tags, and what lies beside the index."""
    return (
        git(root, "ls-files", "--stage", "-v"),
        git(root, "status", "--porcelain", "--untracked-files=all"),
        git(root, "for-each-ref"),
        git(root, "rev-parse", "HEAD"),
        {
            path.relative_to(root): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file() and ".git" not in path.parts
        },
        sorted(path.name for path in (root / ".git").glob("index*")),
    )


def hook(root: Path, name: str) -> Path:
    path = root / ".git/hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    return path


def lock(root: Path, name: str) -> Path:
    path = root / ".git" / name
    path.touch()
    return path


def no_identity(root: Path) -> None:
    for name in ("user.name", "user.email"):
        git(root, "config", "--unset", name)
    git(root, "config", "user.useConfigOnly", "true")


def bad_signature(root: Path) -> None:
    git(root, "config", "commit.gpgSign", "true")
    git(root, "config", "gpg.program", "false")


FAILURES: dict[str, Callable[[Path], object]] = {
    "no identity": no_identity,
    "pre-commit": lambda root: hook(root, "pre-commit"),
    "commit-msg": lambda root: hook(root, "commit-msg"),
    "index locked": lambda root: lock(root, "index.lock"),
    "branch locked": lambda root: lock(root, "refs/heads/main.lock"),
    "HEAD locked": lambda root: lock(root, "HEAD.lock"),
    "signing": bad_signature,
}


def prepare(root: Path, states: Sequence[str]) -> list[str]:
    """Change files, and stage some of them; return those to commit."""
    changed = []
    for number, (name, state) in enumerate(zip(FILES, states, strict=True)):
        path = root / name
        if state == "as it was":
            continue
        if state == "removed":
            if not path.exists():
                continue
            path.unlink()
        else:
            path.write_text(f"new {number}\n")
        if state == "staged":
            git(root, "add", "--", name)
            path.write_text(f"newer {number}\n")
        if state == "intended":
            git(root, "add", "--intent-to-add", "--", name)
        changed.append(name)
    return changed


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    failure=st.sampled_from(sorted(FAILURES)),
    states=st.tuples(
        *[st.sampled_from(["as it was", "changed", "removed", "staged", "intended"])] * len(FILES)
    ),
)
def test_a_commit_that_fails_leaves_index_and_work_tree_as_they_were(repository, failure, states):
    root = repository.with_name("copy")
    shutil.copytree(repository, root, symlinks=True)
    try:
        changed = prepare(root, states) or prepare(root, ["changed"] * len(FILES))
        made = FAILURES[failure](root)
        before = standing(root)
        with pytest.raises(RegistryError):
            commit_paths(root, changed, "Publish")
        assert standing(root) == before
        if isinstance(made, Path):
            made.unlink()
            commit_paths(root, changed, "Publish")
            assert git(root, "log", "-1", "--format=%s") == "Publish\n"
            assert git(root, "status", "--porcelain", "--untracked-files=all") == ""
    finally:
        shutil.rmtree(root)


def test_a_full_disk_stops_a_commit_before_anything_is_staged(repository, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    changed = prepare(repository, ["changed"] * len(FILES))
    before = standing(repository)
    monkeypatch.setattr("rnnpipe.registry.remote.shutil.copy2", full)
    with pytest.raises(OSError, match="No space"):
        commit_paths(repository, changed, "Publish")
    assert standing(repository) == before


def test_who_publishes_is_asked_before_anything_is_done(repository):
    check_identity(repository)
    no_identity(repository)
    with pytest.raises(RefusalError, match=r"no identity: .*git config --global user\.name"):
        check_identity(repository)
