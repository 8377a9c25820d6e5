"""A database that Prefect's server cannot use is named before a server starts."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flows.run
import flows.search.command
from flows.serving.children import UpError, only_one
from flows.serving.database import NAME, _known_revisions, database_fault

Damage = Callable[[Path], object]


def cut(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


def overwrite(path: Path, share: float, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(int(path.stat().st_size * share))
        file.write(content)


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


def instead(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "cut in the middle": (lambda path: cut(path, 0.5), "is damaged"),
    "cut after a page": (lambda path: os.truncate(path, 4096), "is damaged"),
    "cut in its head": (lambda path: os.truncate(path, 50), "is damaged"),
    "no database": (lambda path: path.write_bytes(b"no database" * 1000), "is damaged"),
    "holes in it": (lambda path: overwrite(path, 0.3, b"\xff" * 50_000), "is damaged"),
    "zeros": (lambda path: path.write_bytes(bytes(path.stat().st_size)), "is damaged"),
    "folder": (lambda path: instead(path, Path.mkdir), "is no file"),
    "link to nowhere": (lambda path: instead(path, lambda p: p.symlink_to("gone")), "is no file"),
    "circle": (lambda path: instead(path, lambda p: p.symlink_to(NAME)), "is no file"),
    "pipe": (lambda path: instead(path, os.mkfifo), "is no file"),
    "folder beside it": (
        lambda path: path.with_name(f"{NAME}-wal").mkdir(),
        "cannot be read and written",
    ),
    "another release's": (
        lambda path: execute(path, "update alembic_version set version_num = 'ffffffffffff'"),
        "another release of Prefect",
    ),
    "another program's": (
        lambda path: instead(path, lambda p: execute(p, "create table mine (a)")),
        "is no database of Prefect's",
    ),
}


@pytest.fixture
def state(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of Prefect's state in a project, its database whole."""
    folder = tmp_path / ".rnnpipe/prefect"
    folder.mkdir(parents=True)
    shutil.copy(empty_database, folder)
    monkeypatch.setattr(flows.run, "ROOT", tmp_path)
    monkeypatch.setattr(flows.search.command, "ROOT", tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(folder))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    return folder


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_database_that_cannot_be_used_is_one_sentence_at_every_door(state, capsys, kind):
    damage, says = DAMAGES[kind]
    damage(state / NAME)
    before = sorted(path.name for path in state.iterdir())
    for main in (flows.run.main, flows.search.command.main):
        assert main([] if main is flows.run.main else ["run"]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"rnnpipe: {state / NAME}")
        assert says in said
        assert "move" in said
        assert said.count("\n") == 1
    assert sorted(path.name for path in state.iterdir()) == before
    with pytest.raises(UpError, match=says), only_one(state, "here"):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
@pytest.mark.parametrize("mode", [0o000, 0o400, 0o200])
def test_a_database_without_permission_is_named(state, mode):
    (state / NAME).chmod(mode)
    assert "mend its permissions" in database_fault(state)


@pytest.mark.parametrize("kind", ["whole", "new", "empty", "in use"])
def test_a_database_that_can_be_used_is_left_alone(state, kind):
    match kind:
        case "new":
            (state / NAME).unlink()
        case "empty":
            (state / NAME).write_bytes(b"")
    with closing(sqlite3.connect(state / NAME)) as other:
        if kind == "in use":
            other.execute("begin exclusive")
        assert database_fault(state) == ""


def test_a_database_elsewhere_is_not_ours_to_judge(state):
    (state / NAME).write_bytes(b"no database" * 1000)
    elsewhere = {"PREFECT_API_DATABASE_CONNECTION_URL": "postgresql+asyncpg://me@there/prefect"}
    assert database_fault(state, elsewhere) == ""


def test_a_state_that_is_no_folder_is_named_at_every_door(state, capsys):
    shutil.rmtree(state)
    state.write_text("mine")
    assert flows.run.main([]) == 1
    assert f"rnnpipe: {state} cannot be used (File exists)" in capsys.readouterr().err
    with pytest.raises(UpError, match="of yours alone"), only_one(state, "here"):
        pass


def test_the_installed_releases_own_revisions_are_found(empty_database):
    with closing(sqlite3.connect(empty_database)) as database:
        ((newest,),) = database.execute("select version_num from alembic_version")
    assert newest.encode() in _known_revisions()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1), length=st.integers(1, 20_000), byte=st.binary(min_size=1, max_size=1))
def test_no_damage_is_more_than_a_sentence(state, empty_database, at, length, byte):
    shutil.copy(empty_database, state / NAME)
    overwrite(state / NAME, at, byte * length)
    assert "\n" not in database_fault(state)
