"""Texts that go on: the exported step against Keras, drawing, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from language import CELLS, VOCABULARY, VOCABULARY_SIZE
from networks import small_language_model

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
    freely = Sampling(temperature=0, repetition=1, no_repeat=0)
    drawn = list(continue_ids(step, np.array([3, 4], np.int32), freely))
    text, nats = [0, 3, 4], []
    for found in drawn:
        ids = np.array([[text]] * 2, np.int32)
        predicted, _ = model(ids, np.array([len(text)], np.int32), model.zero_state(1))
        scores = (predicted[0, 0, -1:] @ tf.transpose(model.words) + model.bias).numpy()[0]
        nats.append(np.logaddexp.reduce(scores) - scores[found.token_id])
        assert found.log_probability == pytest.approx(-nats[-1], abs=1e-5)
        scores[1] = -np.inf
        assert found.token_id == scores.argmax()
        text.append(found.token_id)
    told = generate(step, VOCABULARY, "word3 word4", freely).perplexity
    assert told == pytest.approx(np.exp(np.mean(nats)), rel=1e-5)


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
    sampling = Sampling(temperature, top_k, top_p=1, unknown=unknown)
    found = draw(scores, sampling, np.random.default_rng(seed))
    assert unknown or found != 1
    allowed = scores if unknown else np.delete(scores, 1)
    assert (allowed > scores[found]).sum() < (top_k or len(scores))


def test_words_are_drawn_as_often_as_the_softmax_says():
    scores = np.array([0.0, 5.0, 1.0, 2.0], np.float32)
    random = np.random.default_rng(1)
    sampling = Sampling(temperature=0.5, top_k=0, top_p=1)
    drawn = np.bincount([draw(scores, sampling, random) for _ in range(20_000)], minlength=4)
    weights = np.exp([0.0, -np.inf, 2.0, 4.0])
    np.testing.assert_allclose(drawn / 20_000, weights / weights.sum(), atol=0.01)


@given(scores=scores, top_p=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_of_the_likeliest_no_more_are_drawn_from_than_the_share_needs(scores, top_p, seed):
    sampling = Sampling(temperature=1, top_k=0, top_p=top_p, unknown=True)
    found = draw(scores, sampling, np.random.default_rng(seed))
    weights = np.exp(scores.astype(np.float64) - scores.max())
    likelier = weights[scores > scores[found]].sum() / weights.sum()
    assert likelier < top_p + 1e-9


@given(
    text=st.lists(st.integers(2, 5), max_size=30),
    length=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_no_text_goes_round_in_circles(text, length, seed):
    """Whatever stands there, no run is drawn that has been; the end, which never was, always may."""
    random = np.random.default_rng(seed)
    logarithms = np.log(random.dirichlet(np.full(6, 0.1)) + 1e-12)
    sampling = Sampling(top_k=0, no_repeat=length)
    while len(text) < 60 and (drawn := draw(logarithms, sampling, random, text)):
        run, runs = [*text[len(text) - length + 1 :], drawn] if length > 1 else [drawn], []
        runs = [text[place : place + length] for place in range(len(text) - length + 1)]
        assert len(text) < length - 1 or run not in runs
        text = [*text, drawn]


@given(logarithms=scores.map(lambda values: values.astype(np.float64) - 21), seed=st.integers(0, 9))
def test_what_was_said_is_said_again_less_often_and_rare_words_above_all(logarithms, seed):
    text = [len(logarithms) - 1]
    sampling = Sampling(temperature=0, repetition=2.0, no_repeat=0, unknown=True)
    moved = np.where(np.arange(len(logarithms)) == text[0], 2 * logarithms, logarithms)
    found = draw(logarithms, sampling, np.random.default_rng(seed), text)
    assert moved[found] == moved.max()


def test_a_vocabulary_of_another_model_is_refused(exported):
    _, step = exported()
    other = Vocabulary((*VOCABULARY.words[:-2], *reversed(VOCABULARY.words[-2:])))
    with pytest.raises(RegistryError, match="do not belong together"):
        generate(step, other, "word3", Sampling())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("repetition", 0.9),
        ("no_repeat", -1),
        ("most_words", 0),
        ("seed", -1),
    ],
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
