"""A model that is not the one that was registered, or that makes no sense, is refused in a sentence."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpipe.__main__ import main
from rnnpipe.config.load import Params
from rnnpipe.errors import RegistryError
from rnnpipe.problems.classification.predict import load_model
from rnnpipe.registry.comparison import compare
from rnnpipe.registry.decision import Decision, Lineage, parse_decision
from rnnpipe.registry.folder import VALIDATION_PREDICTIONS
from rnnpipe.registry.manifest import MANIFEST, verify, write_manifest
from rnnpipe.storage.files import read_json, sha256_directory, write_json
from rnnpipe.text.vocabulary import Vocabulary
from tests.networks import FILES, WORDS, register


@pytest.fixture(scope="module")
def registered(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a folder."""
    return register(params, tmp_path_factory.mktemp("registered") / "model")


@pytest.fixture
def model(registered: Path, tmp_path: Path) -> Path:
    """A copy, to be altered."""
    return Path(shutil.copytree(registered, tmp_path / "model"))


def refusal(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What ``predict`` says of a model that it must not use: one sentence."""
    assert main(["predict", "--model", str(folder), "word1 word2"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    [said] = [line for line in shown.err.splitlines() if line.startswith("rnnpipe: ")]
    assert "Traceback" not in shown.err
    return said


# --- Files that were altered ---------------------------------------------------------------


def changed(path: Path, **values: Any) -> None:
    write_json(path, read_json(path) | values)


ALTERATIONS = {
    "vocabulary reversed": lambda folder: changed(
        folder / "vocabulary.json", words=list(reversed(WORDS))
    ),
    "labels swapped": lambda folder: changed(folder / "params.json", label_names=["pos", "neg"]),
    "lengths changed": lambda folder: changed(
        folder / "params.json", padding={"length": 4, "truncation_side": "right"}
    ),
    "a byte of the network": lambda folder: flip(folder / "network.onnx"),
    "a file that is gone": lambda folder: (folder / "metrics.json").unlink(),
    "an empty file": lambda folder: (folder / "README.md").write_bytes(b""),
    "a line of the manifest gone": lambda folder: unlist(folder, "vocabulary.json"),
    "a manifest that is none": lambda folder: (folder / MANIFEST).write_text("<<<<<<< ours"),
    "a manifest that is a folder": lambda folder: folder_instead(folder / MANIFEST),
    "a manifest of another folder": lambda folder: changed(
        folder / MANIFEST, files={"../params.json": {"bytes": 1, "sha256": "0" * 64}}
    ),
}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def unlist(folder: Path, name: str) -> None:
    files = read_json(folder / MANIFEST)["files"]
    del files[name]
    write_json(folder / MANIFEST, {"files": files})


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("how", ALTERATIONS)
def test_an_altered_folder_answers_nothing(how, model, capsys):
    ALTERATIONS[how](model)
    said = refusal(model, capsys)
    assert str(model) in said
    with pytest.raises(RegistryError):
        load_model(model)


@settings(max_examples=60)
@given(
    name=st.sampled_from([*FILES, MANIFEST]),
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    cut=st.booleans(),
)
def test_no_byte_can_be_changed_and_no_file_be_cut(registered, name, place, bit, cut):
    path = registered / name
    before = path.read_bytes()
    content = bytearray(before)
    at = int(place * len(content))
    if cut:
        del content[at:]
    else:
        content[at] ^= 1 << bit
    path.write_bytes(content)
    try:
        with pytest.raises(RegistryError):  # the manifest's own bytes: the registration's matter
            verify(registered, FILES, sha256_directory_of(before, registered, name))
    finally:
        path.write_bytes(before)


def sha256_directory_of(before: bytes, folder: Path, name: str) -> str:
    """The hash that the folder had before one of its files was changed."""
    now = (folder / name).read_bytes()
    (folder / name).write_bytes(before)
    try:
        return sha256_directory(folder)
    finally:
        (folder / name).write_bytes(now)


def test_a_folder_from_before_answers_with_a_note(model, capsys, caplog):
    expected = load_model(model).predict(["word1"])
    (model / MANIFEST).unlink()
    assert main(["predict", "--model", str(model), "word1"]) == 0
    assert "carries no manifest.json" in caplog.text
    assert load_model(model).predict(["word1"]) == expected


def test_what_lies_beside_the_models_files_is_no_fault(model):
    (model / ".DS_Store").write_bytes(b"x")
    (model / "my notes (1).txt").write_text("good")
    load_model(model)


LINEAGE = Lineage("5" * 64, {"network": "3" * 64}, ("train.cell = 'lstm'",))


def judged(root: Path, model: Path) -> Decision:
    """A project whose model was judged."""
    shutil.copytree(model, root / "models/sentiment")
    digest = sha256_directory(root / "models/sentiment")
    decision = Decision("sentiment", "approved", digest, (), 0.0, LINEAGE)
    write_json(root / "models/registration.json", asdict(decision))
    return decision


def test_the_work_trees_model_is_the_one_that_was_judged(model, tmp_path):
    judged(tmp_path, model)
    folder = tmp_path / "models/sentiment"
    load_model(root=tmp_path)
    (folder / MANIFEST).unlink()  # as before there were manifests: still the same model
    load_model(root=tmp_path)
    ALTERATIONS["labels swapped"](folder)
    write_manifest(folder)  # who alters a file can alter this too
    for which in (None, folder):
        with pytest.raises(RegistryError, match="not the model of its registration"):
            load_model(which, root=tmp_path)


def test_a_refused_model_answers_with_a_note(model, tmp_path, caplog):
    judged(tmp_path, model)
    path = tmp_path / "models/registration.json"
    gate = {"name": "validation_accuracy", "found": 0.5, "required": 0.85, "passed": False}
    changed(path, verdict="refused", reasons=[gate])
    load_model(root=tmp_path)
    assert "was refused" in caplog.text
    assert "validation_accuracy: found 0.5, required 0.85" in caplog.text


# --- Values out of bounds, parts of two models -----------------------------------------------


def with_params(**values: Any):
    return lambda folder: changed(folder / "params.json", **values)


NONSENSE = {
    "one label": with_params(label_names=["pos"]),
    "equal labels": with_params(label_names=["pos", "pos"]),
    "a label that is a number": with_params(label_names=["neg", 1]),
    "a label that is a book": with_params(label_names=["neg", "x" * 10**6]),
    "no length": with_params(padding={"length": 0}),
    "a length of terabytes": with_params(padding={"length": 10**12}),
    "a length of 5,000 digits": lambda folder: (folder / "params.json").write_text(
        '{"label_names": ["neg", "pos"], "padding": {"length": 1' + "0" * 5000 + "}}"
    ),
    "a length that is none": with_params(padding={"length": float("1e300")}),
    "a length the training did not have": with_params(padding={"length": 4}),
    "no side": with_params(padding={"length": 5, "side": "up"}),
    "no padding": with_params(padding=None),
    "a list": lambda folder: (folder / "params.json").write_text("[]"),
    "deep": lambda folder: (folder / "params.json").write_text("[" * 10**5),
    "no text": lambda folder: (folder / "params.json").write_bytes(b"\xff\xfe"),
    "a folder": lambda folder: folder_instead(folder / "vocabulary.json"),
    "words of another model": lambda folder: Vocabulary(WORDS[:-1]).save(
        folder / "vocabulary.json"
    ),
    "more words": lambda folder: Vocabulary((*WORDS, "more")).save(folder / "vocabulary.json"),
    "a word twice": lambda folder: Vocabulary((*WORDS[:-1], WORDS[0])).save(
        folder / "vocabulary.json"
    ),
    "words that are numbers": lambda folder: changed(folder / "vocabulary.json", words=[1] * 18),
    "no words": lambda folder: (folder / "vocabulary.json").write_text("{}"),
}


@pytest.mark.parametrize("from_before", [False, True])
@pytest.mark.parametrize("how", NONSENSE)
def test_a_folder_that_makes_no_sense_answers_nothing(how, from_before, model, capsys):
    (model / MANIFEST).unlink()
    NONSENSE[how](model)
    if not from_before:
        write_manifest(model)  # whoever made the folder says that it is whole
    said = refusal(model, capsys)
    assert len(said) < 1000


# --- What a tag names --------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"model": "../../../evil/x"},
        {"model": "/tmp/evil"},
        {"model": "A" * 64},
        {"model": "0" * 64 + "\n"},
        {"model": "0" * 63},
        {"model": ["0" * 64]},
        {"name": "../sentiment"},
        {"name": "a" * 101},
        {"name": "\x1b[31m"},
        {"verdict": "maybe"},
        {"reasons": [{"name": "x", "found": "y", "required": 1, "passed": True}]},
        {"baseline_difference": "1"},
        {"lineage": {"source": None, "steps": {"../x": "0" * 64}, "params": []}},
        {"lineage": {"source": None, "steps": {"network": "../x"}, "params": []}},
        {"lineage": {"source": None, "steps": {}, "params": ["x" * 10**5]}},
        {"lineage": None},
    ],
)
def test_a_registration_holds_hashes_and_names(change):
    values = asdict(Decision("sentiment", "approved", "0" * 64, (), 0.0, LINEAGE))
    assert parse_decision(json.dumps(values), "here").model == "0" * 64
    with pytest.raises(RegistryError, match="here is no decision") as refused:
        parse_decision(json.dumps(values | change), "here")
    assert len(str(refused.value)) < 1000


@given(
    st.recursive(
        st.none() | st.text() | st.floats(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    )
)
def test_no_registration_ends_in_anything_but_a_sentence(value):
    with pytest.raises(RegistryError):
        parse_decision(json.dumps(value), "here")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"x" * 100, None])
def test_predictions_that_are_none_are_not_compared(content, registered, tmp_path):
    import pandas as pd

    folder = Path(shutil.copytree(registered, tmp_path / "other"))
    if content is None:
        pd.DataFrame({"id": ["a"]}).to_parquet(folder / VALIDATION_PREDICTIONS)
    else:
        (folder / VALIDATION_PREDICTIONS).write_bytes(content)
    with pytest.raises(RegistryError, match=VALIDATION_PREDICTIONS):
        compare(folder, folder)
