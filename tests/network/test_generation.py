"""Texts that go on: the exported step against Keras, drawing, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from rnnpipe.errors import ParameterError, RegistryError
from rnnpipe.problems.language_model.export import save_language_model
from rnnpipe.problems.language_model.generation import (
    ExportedLanguageModel,
    Sampling,
    continue_ids,
    draw,
    generate,
)
from rnnpipe.text.vocabulary import Vocabulary
from tests.language import CELLS, VOCABULARY, VOCABULARY_SIZE, small_language_model


@pytest.fixture
def exported(tmp_path):
    def run(**changes):
        model = small_language_model(**changes)
        save_language_model(model, tmp_path / "model.onnx")
        return model, ExportedLanguageModel(tmp_path / "model.onnx")

    return run


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_exported_step_answers_like_keras(exported, cell, num_layers, bidirectional):
    model, step = exported(cell=cell, num_layers=num_layers, bidirectional=bidirectional)
    ids = np.random.default_rng(1).integers(0, VOCABULARY_SIZE, (3, 40)).astype(np.int32)
    state = np.zeros((num_layers, 3, step.zero_state().shape[2]), np.float32)
    whole, _ = step.read(ids, state)
    for part in np.split(ids, [1, 7, 30], axis=1):
        scores, state = step.read(part, state)
    predicted, after = model(
        np.stack([ids] * model.directions), np.full(3, 40, np.int32), model.zero_state(3)
    )
    expected = predicted[0, :, -1] @ tf.transpose(model.words) + model.bias
    np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(state, after[0], rtol=0, atol=1e-5)


def test_the_same_seed_gives_the_same_text(exported):
    _, step = exported()
    texts = [
        generate(step, VOCABULARY, "word3 word4", Sampling(seed=seed, top_k=0, temperature=2.0))
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_a_text_ends_at_the_end_symbol_or_at_the_limit(tmp_path):
    model, path = small_language_model(), tmp_path / "model.onnx"
    for bias, ended, number in [(50.0, True, 0), (-50.0, False, 7)]:
        model.bias.assign(np.where(np.arange(VOCABULARY_SIZE) == 0, bias, 0))
        save_language_model(model, path)
        found = generate(ExportedLanguageModel(path), VOCABULARY, "word3", Sampling(most_words=7))
        assert (found.ended, len(found.words)) == (ended, number)


def test_the_likeliest_words_are_what_is_drawn_one_after_the_other(exported):
    model, step = exported()
    drawn = list(continue_ids(step, np.array([3, 4], np.int32), Sampling(temperature=0)))
    text = [0, 3, 4]
    for found in drawn:
        ids = np.array([[text]] * 2, np.int32)
        predicted, _ = model(ids, np.array([len(text)], np.int32), model.zero_state(1))
        scores = (predicted[0, 0, -1:] @ tf.transpose(model.words) + model.bias).numpy()[0]
        scores[1] = -np.inf
        assert found == scores.argmax()
        text.append(found)


scores = st.lists(st.floats(-20, 20, width=32), min_size=3, max_size=12).map(
    lambda values: np.array(values, np.float32)
)


@given(
    scores=scores,
    top_k=st.integers(0, 14),
    temperature=st.floats(0.1, 5),
    seed=st.integers(0, 99),
    unknown=st.booleans(),
)
def test_only_the_likeliest_are_drawn_and_no_unknown_word_unasked(
    scores, top_k, temperature, seed, unknown
):
    sampling = Sampling(temperature, top_k, unknown=unknown)
    found = draw(scores, sampling, np.random.default_rng(seed))
    assert unknown or found != 1
    allowed = scores if unknown else np.delete(scores, 1)
    assert (allowed > scores[found]).sum() < (top_k or len(scores))


def test_words_are_drawn_as_often_as_the_softmax_says():
    scores = np.array([0.0, 5.0, 1.0, 2.0], np.float32)
    random = np.random.default_rng(1)
    sampling = Sampling(temperature=0.5, top_k=0)
    drawn = np.bincount([draw(scores, sampling, random) for _ in range(20_000)], minlength=4)
    weights = np.exp([0.0, -np.inf, 2.0, 4.0])
    np.testing.assert_allclose(drawn / 20_000, weights / weights.sum(), atol=0.01)


def test_a_vocabulary_of_another_model_is_refused(exported):
    _, step = exported()
    other = Vocabulary((*VOCABULARY.words[:-2], *reversed(VOCABULARY.words[-2:])))
    with pytest.raises(RegistryError, match="do not belong together"):
        generate(step, other, "word3", Sampling())


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", -0.1), ("top_k", -1), ("most_words", 0), ("seed", -1)]
)
def test_a_value_out_of_range_is_refused_by_its_name(name, value):
    with pytest.raises(ParameterError, match=name):
        Sampling(**{name: value})


@pytest.mark.parametrize("content", [b"", b"no model", None])
def test_a_broken_file_is_refused(tmp_path, content):
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RegistryError, match="model.onnx"):
        ExportedLanguageModel(path)


def test_generating_loads_nothing_heavy():
    code = (
        "import sys, rnnpipe.problems.language_model.generation\n"
        "print({'tensorflow', 'keras', 'onnx', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("beginning", "known"), [("word3 unheard word4", 2), ("unheard", 0), ("?!", 0), ("", 0)]
)
def test_a_beginning_tells_how_many_of_its_words_are_known(exported, beginning, known):
    _, step = exported()
    found = generate(step, VOCABULARY, beginning, Sampling(most_words=3))
    assert found.known_words == known
