"""Users without a home folder or a name, as in many a container."""

import getpass
import os
import pwd
from pathlib import Path

import pytest

from rnnpipe.runtime.home import FOLDER, ensure_home

NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", *NAMES):
        # Set first, so that what the call sets is undone.
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("nameless")
def test_a_user_without_home_and_name_gets_both(tmp_path):
    ensure_home(tmp_path)
    assert Path.home() == tmp_path / FOLDER
    assert Path.home().is_dir()
    assert getpass.getuser() == f"user{os.getuid()}"


@pytest.mark.usefixtures("nameless")
def test_a_home_and_a_name_that_are_said_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("LNAME", "ann")
    ensure_home(tmp_path)
    assert (os.environ["HOME"], getpass.getuser()) == ("/home/ann", "ann")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("nameless")
def test_a_place_where_no_home_can_be_made_is_left_to_who_writes_there(tmp_path):
    (tmp_path / FOLDER.parts[0]).write_text("a file")
    ensure_home(tmp_path)
    assert Path.home() == tmp_path / FOLDER
