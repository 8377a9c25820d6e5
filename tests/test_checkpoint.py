"""A checkpoint is used as it was written, or set aside: never half, never another's."""

import json
import os
import resource
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpipe.networks.checkpoint import Checkpoint, DamagedError, read_arrays

ARRAYS = {
    "model_0": np.arange(12, dtype=np.float32).reshape(3, 4),
    "optimizer_0": np.zeros((), np.float32),
    "best_0": np.ones((3, 4), np.float32),
}
EPOCHS = [{"epoch": 1, "loss": 0.5}]
MOST = 1000


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("written") / "training.npz"
    assert Checkpoint(path).write(ARRAYS, EPOCHS)
    return path.read_bytes()


def read(path) -> bytes:
    return Checkpoint(path).read(lambda content: read_arrays(content, ARRAYS), MOST)


def test_what_was_written_is_read(tmp_path, written):
    path = tmp_path / "training.npz"
    path.write_bytes(written)
    arrays, epochs = read_arrays(read(path), ARRAYS)
    assert epochs == EPOCHS
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)


@settings(max_examples=60)
@given(data=st.data())
def test_no_changed_byte_and_no_missing_one_is_used(tmp_path_factory, written, data):
    place = data.draw(st.integers(0, len(written) - 1))
    match data.draw(st.sampled_from(["cut", "flipped", "zeroed", "longer", "twice"])):
        case "cut":
            content = written[:place]
        case "flipped":
            content = written[:place] + bytes([written[place] ^ 1]) + written[place + 1 :]
        case "zeroed":  # what a file system that lost its power leaves
            content = written[:place] + bytes(len(written) - place)
        case "longer":
            content = written + b"x"
        case _:
            content = written * 2
    folder = tmp_path_factory.mktemp("changed")
    path = folder / "training.npz"
    path.write_bytes(content)
    got = read(path)
    if content == written:  # zeros stood there
        assert got
        return
    assert got == b""
    assert [left.name for left in folder.iterdir()] == ["training.npz.damaged"]
    assert (folder / "training.npz.damaged").read_bytes() == content


def test_another_training_s_checkpoint_under_this_name_is_not_this_one_s(tmp_path, written, caplog):
    path = tmp_path / "other.npz"
    path.write_bytes(written)
    assert read(path) == b""
    (said,) = caplog.messages
    assert "not those that were written under this name; it is set aside" in said
    assert said.endswith("and the training begins anew")


@pytest.mark.parametrize(
    "kind", ["empty", "folder", "full folder", "pipe", "circle", "device", "huge", "unreadable"]
)
def test_what_is_no_checkpoint_is_set_aside_and_another_takes_its_place(tmp_path, kind, caplog):
    path = tmp_path / "training.npz"
    if kind == "empty":
        path.touch()
    elif kind.endswith("folder"):
        path.mkdir()
        if kind == "full folder":
            (path / "mine.txt").write_text("mine")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "circle":
        path.symlink_to(path.name)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "huge":
        path.touch()
        os.truncate(path, 10**12)
    else:
        if not os.geteuid():
            pytest.skip("root reads all")
        path.touch(0)
    checkpoint = Checkpoint(path)
    for _ in range(2):
        assert checkpoint.read(lambda content: None, MOST) == b""
    assert len(caplog.messages) == 1
    assert checkpoint.write(ARRAYS, EPOCHS)
    assert read(path)
    checkpoint.remove()
    left = sorted(str(found.relative_to(tmp_path)) for found in tmp_path.rglob("*"))
    aside = "training.npz.damaged"
    # What may be a user's is not removed.
    expected = {"folder": [aside], "full folder": [aside, f"{aside}/mine.txt"]}
    assert left == expected.get(kind, [])


def test_nothing_is_no_fault(tmp_path, caplog):
    assert read(tmp_path / "none" / "training.npz") == b""
    (tmp_path / "file").touch()
    assert read(tmp_path / "file" / "training.npz") == b""
    assert not caplog.messages


@pytest.mark.parametrize(
    "change",
    [
        {"model_0": np.zeros((4, 3), np.float32)},
        {"model_0": np.zeros((3, 4), np.float64)},
        {"model_0": np.array(["text"])},
        {"model_0": None},
        {"best_0": None},
        {"epochs": None},
        {"epochs": np.array("no json")},
        {"epochs": np.array("[" * 100_000)},
    ],
)
def test_arrays_of_another_shape_type_or_name_are_not_taken_over(tmp_path, change):
    arrays = ARRAYS | {"epochs": np.array(json.dumps(EPOCHS))} | change
    path = tmp_path / "made.npz"
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(DamagedError):
        read_arrays(path.read_bytes(), ARRAYS)


@contextmanager
def files_of_at_most(size: int):
    """Have every longer file be refused, as a full disk would refuse it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_where_there_is_no_room_the_earlier_one_stays_and_one_line_says_so(
    tmp_path, written, caplog
):
    checkpoint = Checkpoint(tmp_path / "training.npz")
    assert checkpoint.write(ARRAYS, EPOCHS)
    with files_of_at_most(200):
        for _ in range(3):
            assert not checkpoint.write(ARRAYS, EPOCHS * 2)
    (said,) = caplog.messages
    assert "the training goes on" in said
    assert "after the last that was" in said
    assert (tmp_path / "training.npz").read_bytes() == written
    assert len(list(tmp_path.iterdir())) == 1


def test_only_what_trainings_left_is_removed(tmp_path):
    kept = {"a.npz", "a.npz.damaged", "mine.txt", "folder.npz"}
    (tmp_path / "folder.npz").mkdir()
    for name in (kept - {"folder.npz"}) | {"b.npz", "b.npz.damaged", ".b.npz.partial"}:
        (tmp_path / name).touch()
    Checkpoint(tmp_path / "a.npz").remove_others()
    assert {path.name for path in tmp_path.iterdir()} == kept
