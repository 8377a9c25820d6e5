"""Predictions of texts that tell the network little or nothing."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnpipe.__main__ import main
from rnnpipe.config.load import Params
from rnnpipe.problems.classification.export import save_classifier
from rnnpipe.problems.classification.predict import Model, load_model
from rnnpipe.registry.folder import MODEL_FILES
from rnnpipe.registry.manifest import write_manifest
from rnnpipe.storage.files import write_json
from rnnpipe.text.tokens import FIRST_WORD_ID
from rnnpipe.text.vocabulary import Vocabulary
from tests.networks import VOCABULARY, small_network

pytestmark = pytest.mark.network

WORDS = tuple(f"word{number}" for number in range(VOCABULARY - FIRST_WORD_ID))
LENGTH = 5  # words that are read of a text, the last ones


@pytest.fixture(scope="module")
def folder(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that holds what predictions are made from."""
    made = tmp_path_factory.mktemp("model")
    for name in MODEL_FILES:
        (made / name).touch()
    save_classifier(small_network(params), made / "network.onnx")
    Vocabulary(WORDS).save(made / "vocabulary.json")
    padding = {"length": LENGTH, "truncation_side": "left"}
    saved = {"problem": "sentiment", "label_names": ["neg", "pos"], "padding": padding}
    write_json(made / "params.json", saved)
    write_manifest(made)
    return made


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    """The same, loaded."""
    return load_model(folder)


@given(texts=st.lists(st.lists(st.sampled_from([*WORDS, "unheard", "!"]), max_size=9), max_size=9))
def test_a_prediction_tells_how_many_words_it_rests_on(model, texts):
    found = model.predict([" ".join(words) for words in texts])
    for words, prediction in zip(texts, found, strict=True):
        read = [word for word in words if word != "!"][-LENGTH:]
        assert prediction.known_words == len([word for word in read if word in WORDS])


EMPTY = ["", " \n", "?!", "unheard of", "unheard " * 100, "word1 " + "unheard " * LENGTH]


@pytest.mark.parametrize("text", EMPTY)
def test_a_text_without_a_known_word_gets_its_label_with_a_warning(folder, capsys, text):
    assert main(["predict", "--model", str(folder), "word3 word4", text]) == 0
    shown = capsys.readouterr()
    assert [line.split()[0] in ("neg", "pos") for line in shown.out.splitlines()] == [True, True]
    assert "text 2" in shown.err
    assert "text 1" not in shown.err
    assert "no word that the model knows" in shown.err


def test_json_tells_the_known_words_of_each_text(folder, capsys):
    assert main(["predict", "--model", str(folder), "--json", "word3 word4 unheard", ""]) == 0
    shown = capsys.readouterr()
    rows = [json.loads(line) for line in shown.out.splitlines()]
    assert [row["known_words"] for row in rows] == [2, 0]
    assert shown.err == ""


def test_many_texts_without_a_known_word_are_one_note(folder, capsys, tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text("text\n" + "word3\nunheard\n" * 500)
    assert main(["predict", "--model", str(folder), "--file", str(path)]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1000
    [note] = shown.err.splitlines()
    assert "500 of 1,000 texts" in note
    assert "2, 4, 6" in note
    assert len(note) < 300


def test_texts_of_known_words_are_answered_without_a_note(folder, capsys):
    assert main(["predict", "--model", str(folder), "word3 word4"]) == 0
    assert capsys.readouterr().err == ""
