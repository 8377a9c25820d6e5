import os

import pytest

from rnnpipe.errors import StorageError
from rnnpipe.storage.files import (
    atomic_directory,
    atomic_file,
    read_json,
    sha256_directory,
    write_json,
)


def test_a_failed_write_keeps_what_was_there(tmp_path):
    target = tmp_path / "report.json"
    write_json(target, {"n": 1})
    with pytest.raises(RuntimeError), atomic_file(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert read_json(target) == {"n": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_a_failed_directory_keeps_what_was_there(tmp_path):
    target = tmp_path / "model"
    with atomic_directory(target) as folder:
        (folder / "a").write_text("whole")
    with pytest.raises(RuntimeError), atomic_directory(target) as folder:
        (folder / "a").write_text("half")
        raise RuntimeError
    assert (target / "a").read_text() == "whole"
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_a_directory_replaces_all_of_the_old_one(tmp_path):
    for name in ("old", "new"):
        with atomic_directory(tmp_path / "model") as folder:
            (folder / name).write_text(name)
    assert [file.name for file in (tmp_path / "model").iterdir()] == ["new"]


def test_json_refuses_what_json_does_not_know(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "report.json", {"loss": float("nan")})
    assert [file.name for file in tmp_path.iterdir()] == []


def test_a_folders_hash_sees_names_and_bytes_and_nothing_else(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_text("2")
    (tmp_path / "a").write_text("1")
    before = sha256_directory(tmp_path)
    os.utime(tmp_path / "a", (0, 0))
    (tmp_path / "a").chmod(0o600)
    assert sha256_directory(tmp_path) == before
    (tmp_path / "a").rename(tmp_path / "c")
    renamed = sha256_directory(tmp_path)
    (tmp_path / "c").write_text("3")
    assert len({before, renamed, sha256_directory(tmp_path)}) == 3


def test_a_folder_lost_between_two_renames_comes_back(tmp_path):
    previous = tmp_path / ".model.previous"
    previous.mkdir()
    (previous / "a").write_text("whole")
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "model"):
        raise RuntimeError
    assert (tmp_path / "model" / "a").read_text() == "whole"


def test_a_rename_that_fails_keeps_what_was_there(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a").write_text("whole")
    with pytest.raises(StorageError), atomic_directory(tmp_path / "model") as folder:
        folder.rmdir()  # the rename now finds nothing
    assert (tmp_path / "model" / "a").read_text() == "whole"
