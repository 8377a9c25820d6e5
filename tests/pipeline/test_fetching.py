"""Versions fetched by several at once, altered ones, and what a pushed tag may name: real git and DVC."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from rnnpipe.errors import RegistryError
from rnnpipe.registry.decision import Decision, Lineage
from rnnpipe.registry.find import find
from rnnpipe.registry.folder import MODEL_FILES
from rnnpipe.registry.manifest import write_manifest
from rnnpipe.registry.versions import read_tags
from rnnpipe.storage.files import sha256_directory, write_json

NAME = "sentiment"
LINEAGE = Lineage("5" * 64, {"network": "3" * 64}, ("train.cell = 'lstm'",))
STAGES = {
    "stages": {"register": {"cmd": "cp -r source models/sentiment", "outs": ["models/sentiment"]}}
}
REPOSITORY = Path(__file__).parents[2]
FIND = "from rnnpipe.registry.find import find; print(find('v0.1.0', name='sentiment'))"


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def dvc(*arguments: str, cwd: Path) -> str:
    return run(sys.executable, "-m", "dvc", *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one version, and its remote beside it."""
    home = tmp_path_factory.mktemp("home")
    project = home / "project"
    (project / "source").mkdir(parents=True)
    for name in MODEL_FILES:
        (project / "source" / name).write_text(name * 1000)
    write_manifest(project / "source")
    digest = sha256_directory(project / "source")
    write_json(
        project / "models/registration.json",
        asdict(Decision(NAME, "approved", digest, (), 0.0, LINEAGE)),
    )
    write_json(project / "reports/metrics.json", {"accuracy": 0.9})
    (project / "dvc.yaml").write_text(json.dumps(STAGES))
    for command in (("init", "-q"), ("config", "user.email", "a@b"), ("config", "user.name", "a")):
        run("git", *command, cwd=project)
    dvc("init", "-q", cwd=project)
    dvc("remote", "add", "-q", "-d", "store", str(home / "store"), cwd=project)
    dvc("repro", "-q", cwd=project)
    dvc("push", "-q", cwd=project)
    publish(project, "v0.1.0")
    return home


def publish(project: Path, version: str) -> None:
    """Commit what stands there and name it, as anybody can who may push."""
    (project / ".gitignore").write_text(".rnnpipe\n")
    run("git", "add", "-A", cwd=project)
    run("git", "commit", "-qm", version, cwd=project)
    run("git", "tag", "-a", f"{NAME}@{version}", "-m", version, cwd=project)


@pytest.fixture
def project(shared: Path, tmp_path: Path) -> Path:
    """A clone without a cache, in which nothing was fetched yet."""
    clone = tmp_path / "clone"
    run("git", "clone", "-q", str(shared / "project"), str(clone), cwd=tmp_path)
    for key in ("email", "name"):
        run("git", "config", f"user.{key}", "a@b", cwd=clone)
    return clone


def all_files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not {".git", ".dvc"} & set(path.relative_to(folder).parts)
    }


def test_four_at_once_on_a_fresh_clone_get_one_model(project: Path) -> None:
    command = [sys.executable, "-c", FIND]
    given = {
        "cwd": project,
        "env": os.environ | {"PYTHONPATH": str(REPOSITORY)},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    started = [subprocess.Popen(command, **given) for _ in range(4)]
    ended = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0] * 4, ended
    [found] = {out for out, _ in ended}
    folder = project / found.decode().strip()
    assert sha256_directory(folder) == folder.name
    assert sorted(path.name for path in folder.parent.iterdir()) == [".lock", folder.name]


def test_a_fetched_model_that_was_altered_or_cut_off_is_made_anew(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = find("v0.1.0", project, NAME)
    left = folder.parent / ".unfinished-of-one-that-was-killed"
    left.mkdir()
    (folder / "README.md").write_text("other")
    assert find("v0.1.0", project, NAME) == folder
    assert sha256_directory(folder) == folder.name
    assert "is made anew" in caplog.text
    assert not left.exists()


@pytest.mark.parametrize("model", ["../../../evil/x", "/tmp/evil", "a" * 64 + "/../x", ".", ""])
def test_a_tag_names_hashes_and_makes_no_folder_elsewhere(project: Path, model: str) -> None:
    before, parents = all_files(project), set(project.parent.iterdir())
    path = project / "models/registration.json"
    write_json(path, json.loads(path.read_text()) | {"model": model})
    publish(project, "v0.2.0")
    with pytest.raises(RegistryError, match="is no decision"):
        find("v0.2.0", project, NAME)
    assert all_files(project) - before <= {".gitignore"}
    assert set(project.parent.iterdir()) == parents


def plant(shared: Path, project: Path, relpaths: Sequence[str]) -> None:
    """Publish a model whose folder, as the remote has it, names these files."""
    lock = (project / "dvc.lock").read_text()
    old = next(word for word in lock.split() if word.endswith(".dir"))
    files = shared / "store/files/md5"
    listed = json.loads((files / old[:2] / old[2:]).read_text())
    for entry, relpath in zip(listed, relpaths, strict=False):
        entry["relpath"] = relpath
    content = json.dumps(listed).encode()
    new = f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}.dir"
    (files / new[:2]).mkdir(exist_ok=True)
    (files / new[:2] / new[2:]).write_bytes(content)
    (project / "dvc.lock").write_text(lock.replace(old, new))
    publish(project, "v0.3.0")


@pytest.mark.parametrize("relpath", ["..", "a/..", "../../../evil", "/tmp/evil", "a/b", "\x1b[31m"])
def test_a_remote_names_no_files_elsewhere(shared: Path, project: Path, relpath: str) -> None:
    plant(shared, project, [relpath])
    parents = set(project.parent.iterdir())
    with pytest.raises(RegistryError):
        find("v0.3.0", project, NAME)
    assert set(project.parent.iterdir()) == parents
    found = project / ".rnnpipe/models"
    assert [path.name for path in found.iterdir()] == [".lock"]


def test_a_lock_of_other_hashes_is_refused(project: Path) -> None:
    lock = project / "dvc.lock"
    for content in (lock.read_text().replace(".dir", "/../x.dir"), "[" * 10_000, "stages: 3", ""):
        lock.write_text(content)
        run("git", "commit", "-qam", "lock", cwd=project)
        run("git", "tag", "-fa", f"{NAME}@v0.1.0", "-m", "x", cwd=project)
        with pytest.raises(RegistryError):
            find("v0.1.0", project, NAME)


def test_odd_tags_are_none_of_the_registrys(project: Path) -> None:
    known = read_tags(project, NAME)
    blob = run("git", "hash-object", "-w", "dvc.yaml", cwd=project).strip()
    tags = {
        f"{NAME}@v{'9' * 60}.0.0": "HEAD",
        f"{NAME}#{'s' * 150}#1": "HEAD",
        f"{NAME}#dev#{'1' * 60}": "HEAD",
        f"{NAME}@v0.9.0": blob,
        f"{NAME}@v0.9.1": f"{NAME}@v0.1.0",  # a tag of a tag
    }
    for tag, what in tags.items():
        run("git", "tag", "-a", tag, what, "-m", "x", cwd=project)
    run("git", "tag", f"{NAME}@v0.9.2", cwd=project)  # without a date
    assert read_tags(project, NAME) == known
    # Within a subject Python sees more line ends than git.
    run("git", "tag", "-a", f"{NAME}#dev#1", "-m", "one\x0btwo\x85three\u2028four", cwd=project)
    assert read_tags(project, NAME)[-1].stage == "dev"


def test_a_large_file_in_a_commit_is_not_read(project: Path) -> None:
    (project / "models/registration.json").write_text(" " * 2**23)
    publish(project, "v0.4.0")
    with pytest.raises(RegistryError, match="expected at most"):
        find("v0.4.0", project, NAME)
