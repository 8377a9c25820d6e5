"""What a killed search leaves in a trial's clone: mended, or the clone is made anew."""

import os
import subprocess
from pathlib import Path

import pytest

from flows.leftovers import can_go_on

MADE_OF = '["commit", {}]'


@pytest.fixture
def clone(tmp_path) -> Path:
    folder = tmp_path / "trial"
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    (folder / ".dvc" / "tmp").mkdir(parents=True)
    (folder / ".git" / "ready.json").write_text(MADE_OF)
    return folder


def go_on(clone: Path, made_of: str = MADE_OF) -> bool:
    return can_go_on(clone, clone / ".git" / "ready.json", made_of)


def test_a_whole_clone_of_the_same_is_gone_on_with_and_no_other(clone, caplog):
    assert go_on(clone)
    assert not go_on(clone, "[]")
    assert not go_on(clone.with_name("none"))
    assert not caplog.messages


@pytest.mark.parametrize("lock", [".git/index.lock", ".git/refs/heads/x.lock", ".dvc/tmp/rwlock"])
@pytest.mark.parametrize("content", ["", '{"read": {"/da'])
def test_locks_of_the_dead_are_removed(clone, lock, content):
    path = clone / lock
    path.write_text(content)
    os.utime(path, (0, 0))
    assert go_on(clone)
    assert not path.exists()


def test_locks_that_may_be_alive_stay(clone):
    (clone / ".git" / "index.lock").touch()
    (clone / ".dvc" / "tmp" / "rwlock").write_text("{}")
    assert go_on(clone)
    assert (clone / ".git" / "index.lock").exists()
    assert (clone / ".dvc" / "tmp" / "rwlock").exists()


@pytest.mark.parametrize("how", ["no head", "half an index", "note of no text", "note is a folder"])
def test_a_clone_that_is_damaged_is_made_anew_and_said_so(clone, caplog, how):
    note = clone / ".git" / "ready.json"
    if how == "no head":
        (clone / ".git" / "HEAD").write_bytes(b"")
    elif how == "half an index":
        (clone / ".git" / "index").write_bytes(b"DIRC\0\0")
    elif how == "note of no text":
        note.write_bytes(b"\xff\xfe")
    else:
        note.unlink()
        note.mkdir()
    assert not go_on(clone)
    (said,) = caplog.messages
    assert said.endswith("it is made anew")
