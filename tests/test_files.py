import os
from pathlib import Path

import pytest

from rnnpipe.errors import RnnpipeError, StorageError
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


def write(path: Path, folder: bool, text: str) -> None:
    """Write an output of a stage: a file, or a folder with a file."""
    if folder:
        with atomic_directory(path) as partial:
            (partial / "a").write_text(text)
    else:
        with atomic_file(path) as partial:
            partial.write_text(text)


KINDS = pytest.mark.parametrize("folder", [True, False], ids=["folder", "file"])


@KINDS
@pytest.mark.parametrize("links", [1, 2])
def test_an_output_that_is_a_link_is_written_where_it_leads_each_time(tmp_path, folder, links):
    (tmp_path / "disk").mkdir()
    target = tmp_path / "disk" / "raw"
    write(target, folder, "old")
    path = target
    for number in range(links):
        (tmp_path / f"link{number}").symlink_to(path)
        path = tmp_path / f"link{number}"
    for text in ("one", "two", "three"):
        write(path, folder, text)
        assert path.is_symlink()
        assert (target / "a" if folder else target).read_text() == text
        with pytest.raises(RuntimeError), (atomic_directory if folder else atomic_file)(path):
            raise RuntimeError
        assert [file.name for file in target.parent.iterdir()] == ["raw"]


@KINDS
@pytest.mark.parametrize("leads", ["nowhere", "to itself", "to the other kind"])
def test_a_link_that_cannot_be_written_through_is_named_and_left(tmp_path, folder, leads):
    target = tmp_path / "link" if leads == "to itself" else tmp_path / "target"
    (tmp_path / "link").symlink_to(target)
    if leads == "to the other kind":
        write(target, not folder, "mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RnnpipeError, match=f"link is a link to {target}, expected one to a"):
        write(tmp_path / "link", folder, "new")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_linked_folder_lost_between_two_renames_comes_back(tmp_path):
    (tmp_path / "disk/.raw.previous").mkdir(parents=True)
    (tmp_path / "raw").symlink_to("disk/raw")
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "raw"):
        raise RuntimeError
    assert (tmp_path / "disk/raw").is_dir()


def test_a_link_into_dvcs_cache_is_replaced_and_the_cache_kept(tmp_path):
    cached = tmp_path / "cached"
    cached.write_text("old")
    cached.chmod(0o444)
    (tmp_path / "reviews").symlink_to(cached)
    write(tmp_path / "reviews", False, "new")
    assert cached.read_text() == "old"
    assert not (tmp_path / "reviews").is_symlink()
