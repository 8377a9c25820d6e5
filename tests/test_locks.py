"""Damaged ``dvc.lock`` files are named, with what mends them."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from projects import ROOT

from rnnpipe.errors import RnnpipeError
from rnnpipe.pipeline.locks import LockError, check_locks, locked_stages

WHOLE = (ROOT / "dvc.lock").read_bytes()[:4000].rpartition(b"\n    - path")[0] + b"\n"
MARKERS = b"<<<<<<< HEAD\n%s=======\n%s>>>>>>> theirs\n"


def write(root: Path, content: bytes, pipeline: str = ".") -> Path:
    path = root / pipeline / "dvc.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_projects_own_locks_are_whole():
    check_locks(ROOT)
    assert "train" in locked_stages(ROOT / "dvc.lock", "dvc.lock")


@pytest.mark.parametrize("pipeline", [".", "pipelines/forecasting"])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"\0" * 4096, "is empty"),
        (b" \n", "is empty"),
        (MARKERS % (WHOLE, WHOLE), "conflict markers"),
        (b"\xff\xfe", "no text"),
        (b"stages: [", "no YAML"),
        (b"\x01", "no YAML"),
        (b"[" * 5000, "no YAML"),
        (b"null", "not what DVC writes"),
        (b"[]", "not what DVC writes"),
        (b"stages: 5", "not what DVC writes"),
        (b"stages: {train: 5}", "not what DVC writes"),
        (b"stages: {train: {outs: [5]}}", "not what DVC writes"),
        (b"stages: {train: {outs: [{path: 5}]}}", "not what DVC writes"),
    ],
)
def test_a_damaged_lock_is_named_with_what_mends_it(tmp_path, pipeline, content, what):
    write(tmp_path, WHOLE)
    path = write(tmp_path, content, pipeline).relative_to(tmp_path)
    with pytest.raises(LockError, match=what) as caught:
        check_locks(tmp_path)
    assert str(caught.value).startswith(f"{path} ")
    assert f"`git checkout HEAD -- {path}`" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["folder", "nowhere", "circle"])
def test_a_lock_that_is_no_file_is_named(tmp_path, kind):
    path = tmp_path / "dvc.lock"
    match kind:
        case "folder":
            path.mkdir()
        case "nowhere":
            path.symlink_to("gone")
        case "circle":
            path.symlink_to("dvc.lock")
    with pytest.raises(LockError, match=r"dvc\.lock cannot be read"):
        check_locks(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.integers(0, len(WHOLE)),
    length=st.integers(0, 200),
    instead=st.sampled_from(
        [b"", b"\0", b"\n", b":", b"- ", b"&a [*a]", b"<<<<<<< HEAD\n", b"\xff"]
    ),
)
def test_no_damage_comes_through_as_anything_but_a_sentence(tmp_path, at, length, instead):
    path = write(tmp_path, WHOLE[:at] + instead + WHOLE[at + length :])
    stages, said = {}, ""
    try:
        stages = locked_stages(path, "dvc.lock")
    except RnnpipeError as error:
        said = str(error)
    assert not said or "git checkout HEAD -- dvc.lock" in said
    for stage in stages.values():
        assert all(isinstance(out["path"], str) for out in stage.get("outs", []))


@pytest.mark.parametrize("content", ["[" * 100_000, "- " * 100_000, "{a: " * 100_000])
def test_a_lock_that_is_nested_too_deep_ends_no_process(tmp_path, content):
    (tmp_path / "dvc.lock").write_text(content)
    with pytest.raises(LockError, match="git checkout HEAD -- dvc.lock"):
        check_locks(tmp_path)
