"""What a stage reads stays while it runs; what it replaces was its own."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnpipe.__main__ import main
from rnnpipe.errors import InputsError, ParameterError, SourceError
from rnnpipe.pipeline.definition import outputs, stages_of
from rnnpipe.pipeline.inputs import Inputs
from rnnpipe.pipeline.outputs import replace_own, require_outside

ROOT = Path(__file__).parents[1]
TABLE = "text,label\n" + "".join(f"a good film {i},pos\na bad film {i},neg\n" for i in range(40))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pipelines' definitions and parameters alone, with a table of the user's own."""
    for name in ("dvc.yaml", "params.yaml", *(str(p) for p in ROOT.glob("pipelines/*/*.yaml"))):
        path = (ROOT / name).relative_to(ROOT)
        (tmp_path / path.parent).mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text(TABLE)
    point_to("mine.csv")
    return tmp_path


def point_to(source: str, **section: Any) -> None:
    values = yaml.safe_load(Path("params.yaml").read_text())
    values["download"] = {"source": source, **section}
    Path("params.yaml").write_text(yaml.safe_dump(values))


def everything(folder: Path) -> dict[str, bytes]:
    """All that lies below a folder, but what the stages keep for themselves."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".rnnpipe" not in path.parts
    }


# --- What changes under a stage -----------------------------------------------------------

# Each with whether the stage `prepare` reads it: its source, the folder before it, its parameters.
CHANGES = {
    "a row more in the source": lambda: Path("mine.csv").write_text(TABLE + "more,pos\n"),
    "as many bytes, others": lambda: Path("mine.csv").write_text(TABLE.replace("good", "evil")),
    "the source is gone": lambda: Path("mine.csv").unlink(),
    "another file in a folder": lambda: Path("data/raw/more.csv").write_text("x"),
    "a file of a folder is gone": lambda: Path("data/raw/reviews.csv").unlink(),
    "a parameter of the stage": lambda: edit("download", text_column="words"),
    "a key of a section that the stage reads": lambda: edit("prepare", group_column="film"),
    "the parameters are gone": lambda: Path("params.yaml").unlink(),
    "no parameters any more": lambda: Path("params.yaml").write_text("<<<<<<< ours\n"),
}
NO_CHANGES = {
    "nothing": lambda: None,
    "a section of another stage": lambda: edit("train", epochs=1),
    "a comment": lambda: Path("params.yaml").write_text(
        "# a note\n" + Path("params.yaml").read_text()
    ),
    "the same source, written again": lambda: Path("mine.csv").write_text(TABLE),
    "the same source, touched": lambda: os.utime("mine.csv", (1, 1)),
    "a file that no stage names": lambda: Path("notes.txt").write_text("x"),
    "bytecode": lambda: (
        Path("data/raw/__pycache__").mkdir(),
        Path("data/raw/__pycache__/x.pyc").write_text("x"),
    ),
}


def edit(section: str, **values: Any) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params.setdefault(section, {}).update(values)
    Path("params.yaml").write_text(yaml.safe_dump(params))


@pytest.mark.parametrize("name", [*CHANGES, *NO_CHANGES])
def test_a_stage_whose_inputs_change_keeps_no_result(project, name, monkeypatch, capsys):
    from rnnpipe.stages import prepare

    assert main(["download"]) == 0
    real = prepare.run

    def run(params):  # the real stage; then somebody saves a file
        real(params)
        (CHANGES | NO_CHANGES)[name]()

    monkeypatch.setattr(prepare, "run", run)
    code = main(["prepare"])
    told = capsys.readouterr().err.strip().splitlines()[-1:]
    told = told[0] if told else ""
    if name in NO_CHANGES:
        assert code == 0, told
    else:
        assert code == 1
        assert "run dvc repro again" in told
        assert len(told) < 1000


def test_a_large_file_counts_by_size_and_time_alone(project, monkeypatch):
    monkeypatch.setattr("rnnpipe.pipeline.inputs._HASHED_BYTES", 0)
    before = Inputs.of("download", "classification", Path("params.yaml"))
    assert Path("mine.csv") in before.files
    assert not before.hashes
    before.require_unchanged("download", "classification")
    os.utime("mine.csv", (1, 1))
    with pytest.raises(InputsError, match=r"mine\.csv"):
        before.require_unchanged("download", "classification")


@pytest.mark.parametrize("text", ["", "[", "stages: 1", "<<<<<<< ours\nstages: {}\n", "\0"])
def test_a_damaged_definition_is_named(project, text):
    Path("dvc.yaml").write_text(text)
    with pytest.raises(ParameterError, match=r"git checkout dvc\.yaml"):
        stages_of("classification")


# --- What a stage replaces ---------------------------------------------------------------


def test_the_stage_says_what_it_may_not_replace_and_touches_nothing(project, capsys):
    raw = project / "data/raw"
    raw.mkdir(parents=True)
    (raw / "mine.csv").write_text(TABLE)
    (raw / "notes.txt").write_text("dear diary")
    before = everything(project)
    assert main(["download"]) == 1
    told = capsys.readouterr().err
    assert "'mine.csv', 'notes.txt' in data/raw, which no stage wrote" in told
    assert everything(project) == before


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_source_within_any_output(project, data):
    """By whatever way it is named: each output, a file in it, a detour, a link."""
    output = data.draw(st.sampled_from(sorted({str(path) for _, _, path in outputs()})))
    inside = data.draw(st.sampled_from(["", "mine.csv", "deep/er/mine.csv"]))
    path = Path(output) / inside
    link = project / "link.csv"
    link.unlink(missing_ok=True)
    link.symlink_to(project / path)
    way = data.draw(st.sampled_from([path, Path("data/..") / path, project / path, link]))
    with pytest.raises(SourceError, match="expected a source elsewhere"):
        require_outside(way)


@pytest.mark.parametrize("source", ["mine.csv", "data/mine.csv", "data/imdb.json", "../x.csv"])
def test_sources_elsewhere_are_free(project, source):
    require_outside(Path(source))


def test_a_source_in_an_output_stays_as_it_is(project, capsys):
    for output in ("data/raw", "data/sequences", "models/network"):
        path = project / output / "mine.csv"
        path.parent.mkdir(parents=True)
        path.write_text(TABLE)
        point_to(f"{output}/mine.csv")
        before = everything(project)
        assert main(["download"]) == 1
        assert "mine.csv" in capsys.readouterr().err
        assert everything(project) == before
        shutil.rmtree(path.parent)


def test_what_the_stage_wrote_it_may_replace_also_when_killed(project, monkeypatch):
    folder = Path("data/raw")
    assert main(["download"]) == 0
    Path("mine.csv").write_text(TABLE + "more,pos\n")
    assert main(["download"]) == 0  # no lock knows of it: nothing but the note of the run before

    class Killed(BaseException):
        """As by a signal: right after the new folder took its place."""

    real = Path.replace

    def replace(self, target):
        real(self, target)
        if Path(target) == folder:
            raise Killed

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(Killed), replace_own(folder, "classification") as new:
        (new / "other.parquet").write_text("new")
    monkeypatch.undo()
    monkeypatch.chdir(project)
    assert [path.name for path in folder.iterdir()] == ["other.parquet"]
    assert main(["download"]) == 0
    assert [path.name for path in folder.iterdir()] == ["reviews.csv"]


def test_what_dvc_records_may_be_replaced(project):
    """As after ``dvc pull`` in a fresh clone: no note, but the lock knows every file."""
    assert main(["download"]) == 0
    shutil.rmtree(".rnnpipe")
    with (
        pytest.raises(SourceError, match=r"reviews\.csv"),
        replace_own(Path("data/raw"), "classification"),
    ):
        pass
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs.local import LocalFileSystem

    fs = LocalFileSystem()
    _, _, tree = build(HashFileDB(fs, str(project / "odb")), str(project / "data/raw"), fs, "md5")
    lock = {"stages": {"download": {"outs": [{"path": "data/raw", "md5": tree.hash_info.value}]}}}
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    with replace_own(Path("data/raw"), "classification") as new:
        (new / "other.csv").write_text("x")
    Path("data/raw/mine.csv").write_text("x")
    with (
        pytest.raises(SourceError, match=r"mine\.csv"),
        replace_own(Path("data/raw"), "classification"),
    ):
        pass
