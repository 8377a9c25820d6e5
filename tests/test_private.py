"""What another user of the machine could have changed is not opened as one's own."""

import os
import stat
from pathlib import Path

import pytest

from rnnpipe.runtime.private import (
    NotPrivateError,
    open_own_file,
    open_own_folder,
    read_own_file,
)

REFUSED = (NotPrivateError, OSError)


def test_a_folder_is_made_for_this_user_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        os.close(open_own_folder(tmp_path / "above" / "cache"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "above" / "cache").stat().st_mode) == 0o700
    os.close(open_own_folder(tmp_path / "above" / "cache"))  # and found again


def planted(path: Path, kind: str) -> None:
    """Change a file or folder of one's own into one that another may have made."""
    if kind == "link":
        path.rename(path.with_name("elsewhere"))
        path.symlink_to(path.with_name("elsewhere"))
    elif kind == "circle":
        path.rename(path.with_name("elsewhere"))
        path.symlink_to(path.name)
    elif kind == "foreign":
        if os.geteuid():
            pytest.skip("only root can make a file another user's")
        os.chown(path, 12345, -1)
    else:
        path.chmod(path.stat().st_mode | int(kind, 8))


KINDS = ["link", "circle", "foreign", "0020", "0002", "0022"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_is_not_one_s_own_is_refused(tmp_path, kind):
    path = tmp_path / "cache"
    os.close(open_own_folder(path))
    planted(path, kind)
    with pytest.raises(REFUSED):
        open_own_folder(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_not_one_s_own_is_refused(tmp_path, kind):
    path = tmp_path / "kernel"
    path.write_bytes(b"code")
    path.chmod(0o600)
    assert read_own_file(path, 4) == b"code"
    planted(path, kind)
    with pytest.raises(REFUSED):
        open_own_file(path)


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, kind):
    path = tmp_path / "kernel"
    if kind == "folder":
        path.mkdir(0o700)
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    else:
        path = Path("/dev/null")
    with pytest.raises(REFUSED):
        open_own_file(path)


def test_a_file_larger_than_is_meant_is_refused(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(b"12345")
    path.chmod(0o600)
    with pytest.raises(NotPrivateError, match="more than 4 bytes"):
        read_own_file(path, 4)
