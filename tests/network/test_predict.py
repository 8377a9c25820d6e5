"""Predictions of texts that tell the network little or nothing."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
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
    for row in rows:
        assert list(row) == ["label", "probability", "probabilities", "known_words"]
        assert list(row["probabilities"]) == ["neg", "pos"]
        assert row["probabilities"]["pos"] == row["probability"]
        assert row["label"] == ("pos" if row["probability"] > 0.5 else "neg")
    assert shown.err == ""


def test_many_texts_without_a_known_word_are_one_note(folder, capsys, tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text("text\n" + "word3\nunheard\n" * 500)
    assert main(["predict", "--model", str(folder), "--file", str(path)]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1000
    [note] = shown.err.splitlines()
    assert "500 of 1,000 texts" in note
    assert "row 1, 3, 5" in note  # as errors count them: from 0 below the header
    assert len(note) < 300


def test_texts_of_known_words_are_answered_without_a_note(folder, capsys):
    assert main(["predict", "--model", str(folder), "word3 word4"]) == 0
    assert capsys.readouterr().err == ""


def test_answers_for_a_file_carry_its_ids_and_rows(folder, capsys, tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text("key,text\n007,word3\n=1+1,word4\n,word5\n")
    command = ["predict", "--model", str(folder), "--file", str(path), "--id-column", "key"]
    assert main(command) == 0
    plain = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [cells[0] for cells in plain] == ["007", "=1+1", ""]
    assert main([*command, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["row"], row["id"]) for row in rows] == [(0, "007"), (1, "=1+1"), (2, "")]
    assert [row["label"] for row in rows] == [cells[1] for cells in plain]
    out = tmp_path / "answers.csv"
    assert main([*command, "--out", str(out)]) == 0
    assert "3 answers" in capsys.readouterr().out
    header, *lines = out.read_text().splitlines()
    named = ("row", "id", "label", "known_words", "probability_neg", "probability_pos")
    assert header == ",".join(f'"{name}"' for name in named)
    assert [line.split(",")[:2] for line in lines] == [["0", '"007"'], ["1", '"=1+1"'], ["2", '""']]


def test_whole_numbers_of_a_parquet_file_stay_numbers(folder, capsys, tmp_path):
    keys = pa.array([7, None, 2**64 - 1], pa.uint64())
    texts = ["word3", "word4", "word5"]
    pq.write_table(pa.table({"n": keys, "text": texts}), tmp_path / "t.parquet")
    command = ["predict", "--model", str(folder), "--file", str(tmp_path / "t.parquet")]
    command += ["--id-column", "n"]
    assert main([*command, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in rows] == keys.to_pylist()
    assert main([*command, "--out", str(tmp_path / "answers.parquet")]) == 0
    assert pq.read_table(tmp_path / "answers.parquet")["id"].to_pylist() == keys.to_pylist()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["word3", "--id-column", "key"], "without --file"),
        (["--file", "-", "--id-column", "key"], "standard input"),
        (["--file", "texts.csv", "--id-column", "nokey"], "--id-column"),
        (["word3", "--json", "--out", "a.csv"], "expected one of them"),
        (["word3", "--out", "a.xlsx"], "ends in .csv or .parquet"),
    ],
)
def test_what_cannot_be_answered_so_is_said(folder, capsys, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.csv").write_text("key,text\n1,word3\n")
    assert main(["predict", "--model", str(folder), *options]) == 1
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["texts.csv"]
