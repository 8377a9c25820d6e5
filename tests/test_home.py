"""Users without a home: libraries that ask for one do not fail."""

import getpass
import os
from pathlib import Path

import pytest

from rnnpipe.runtime.home import NOWHERE, give_home


def test_who_has_no_home_and_no_name_is_given_one_where_nothing_is(monkeypatch):
    def nameless(uid):
        raise KeyError(uid)

    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "")  # for it to be as before when the test has ended
        monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", nameless)
    with pytest.raises(RuntimeError):
        Path.home()
    give_home()
    assert Path.home() == Path(NOWHERE)
    assert getpass.getuser() == f"uid-{os.getuid()}"
    with pytest.raises(FileNotFoundError):
        Path(NOWHERE).mkdir(parents=True)


def test_a_home_is_left_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    give_home()
    assert os.environ["HOME"] == str(tmp_path)
