"""Language models: exact figures, unbiased sampling, directions that see nothing of the answer."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from language import CELLS, VOCABULARY, VOCABULARY_SIZE, drawn, ragged
from networks import small_language_model

from rnnpipe.networks.optimizers import Optimizer
from rnnpipe.networks.saving import load_network, save_network
from rnnpipe.problems.language_model.judging import exact_losses, judge, judge_predictions
from rnnpipe.problems.language_model.network import build_language_model
from rnnpipe.problems.language_model.params import LanguageTrain
from rnnpipe.problems.language_model.sampling import count_words, draw_candidates, sampled_losses
from rnnpipe.problems.language_model.training import compile_step, learn_batch
from rnnpipe.text.windows import cut_windows


def losses_word_by_word(model, sequences, direction):
    """Judge one text, one word at a time, by a softmax written out."""
    total = 0.0
    for row in range(len(sequences)):
        text = sequences[row].tolist()[:: -1 if direction else 1]
        state = model.zero_state(1)
        for read, right in zip([0, *text], [*text, 0], strict=True):
            ids = np.full((model.directions, 1, 1), read, np.int32)
            predicted, state = model(ids, np.array([1], np.int32), state, training=False)
            scores = predicted[direction, 0, 0].numpy() @ model.words.numpy().T
            scores = (scores + np.asarray(model.bias)).astype(np.float64)
            total += np.log(np.exp(scores).sum()) - scores[right]
    return total


@pytest.mark.parametrize("cell", CELLS)
def test_the_figures_are_those_of_one_word_after_the_other(cell):
    model, sequences = small_language_model(cell=cell, num_layers=2), drawn(5)
    for direction, found in enumerate(judge(model, sequences, np.arange(5))):
        assert found.total_nll == pytest.approx(
            losses_word_by_word(model, sequences, direction), rel=1e-5
        )
        assert found.predictions == len(sequences.values) + 5


def test_the_figures_depend_on_neither_batch_nor_window_nor_block(monkeypatch):
    model, sequences = small_language_model(), drawn(30)
    rows = np.arange(30)
    expected = [found.total_nll for found in judge(model, sequences, rows)]
    for batch, window, block in [(1, 3, 7), (7, 1, 20), (30, 100, 1)]:
        monkeypatch.setattr("rnnpipe.problems.language_model.judging._JUDGED_BATCH", batch)
        monkeypatch.setattr("rnnpipe.problems.language_model.judging._JUDGED_WINDOW", window)
        monkeypatch.setattr("rnnpipe.problems.language_model.judging._JUDGED_WORDS", block)
        found = [direction.total_nll for direction in judge(model, sequences, rows)]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_each_prediction_s_loss_stands_where_its_word_does():
    """Texts that begin alike cost alike, word by word, whatever follows and whoever is beside."""
    model, text = small_language_model(), [5, 6, 7, 8, 9, 10, 11]
    sequences = ragged([text[:end] for end in range(len(text) + 1)])
    rows = np.arange(len(sequences))
    whole = judge_predictions(model, ragged([text]), np.array([0]), 1)
    ((_, expected),) = whole
    for batch, losses in judge_predictions(model, sequences, rows, 1):
        for place, line in zip(batch, losses[0], strict=True):
            np.testing.assert_allclose(line[:place], expected[0, 0, :place], rtol=1e-5)
            assert line[place] > 0
            assert not line[place + 1 :].any()


@pytest.mark.parametrize("width", [2, 5, 9])
def test_word_vectors_are_cut_or_widened_to_the_embedding_s_width(width):
    vectors = np.random.default_rng(1).normal(0, 2, (VOCABULARY_SIZE, 5)).astype(np.float32)
    params = LanguageTrain(hidden_size=4, embedding_size=width)
    found = [build_language_model(params, VOCABULARY, vectors).words.numpy() for _ in range(2)]
    np.testing.assert_array_equal(*found)
    known = min(width, 5)
    np.testing.assert_array_equal(found[0][:, :known], vectors[:, :known])
    added = found[0][:, known:]
    assert added.shape[1] == max(0, width - 5)
    assert not added.size or 0.5 < added.std() / vectors[:, -1].std() < 2


def test_a_model_that_knows_nothing_is_as_perplexed_as_there_are_words():
    model = small_language_model(fill=False)
    for projection in model.projections:
        projection.kernel.assign(tf.zeros_like(projection.kernel))
    for found in judge(model, drawn(10), np.arange(10)):
        assert found.perplexity == pytest.approx(VOCABULARY_SIZE, rel=1e-6)


def test_a_new_model_knows_how_frequent_words_are():
    sequences, rows = drawn(200), np.arange(200)
    counts = count_words(sequences, rows, VOCABULARY_SIZE)
    params = LanguageTrain(hidden_size=4, embedding_size=3)
    model = build_language_model(params, VOCABULARY, None, counts)
    for projection in model.projections:
        projection.kernel.assign(tf.zeros_like(projection.kernel))
    shares = counts / counts.sum()
    entropy = -(shares[counts > 0] * np.log(shares[counts > 0])).sum()
    found = judge(model, sequences, rows)[0]
    assert found.total_nll / found.predictions == pytest.approx(entropy, abs=0.01)


@pytest.mark.parametrize("direction", [0, 1])
def test_no_direction_sees_what_it_must_predict(direction):
    """What changes behind a step, in the direction's own order, does not change the step."""
    model = small_language_model(num_layers=2)
    text = [5, 6, 7, 8, 9]
    for place in range(len(text)):
        other = [*text]
        other[place] = 12
        found = []
        for variant in (text, other):
            (window,) = cut_windows(ragged([variant]), np.array([0]), 99, 2)
            predicted, _ = model(window.inputs, window.lengths, model.zero_state(1))
            found.append(predicted[direction, 0].numpy())
        same = np.isclose(*found).all(axis=1)
        steps = place if direction == 0 else len(text) - 1 - place
        assert same.tolist() == [step <= steps for step in range(len(text) + 1)]


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99), number=st.integers(1, 40))
def test_over_all_words_the_sampled_loss_and_its_gradients_are_the_exact_ones(seed, number):
    random = np.random.default_rng(seed)
    values = {
        "predicted": tf.Variable(random.normal(0, 1, (number, 3)).astype(np.float32)),
        "table": tf.Variable(random.normal(0, 1, (VOCABULARY_SIZE, 3)).astype(np.float32)),
        "bias": tf.Variable(random.normal(0, 1, VOCABULARY_SIZE).astype(np.float32)),
    }
    targets = tf.constant(random.integers(0, VOCABULARY_SIZE, number).astype(np.int32))
    everything = draw_candidates(np.ones(VOCABULARY_SIZE, np.int64), 0, random)

    def exact():
        found = exact_losses(targets=targets, **values)
        return tf.reduce_sum(found), found

    def sampled():
        words, shares = everything.words, everything.log_shares
        return sampled_losses(targets=targets, words=words, log_shares=shares, **values)

    losses, gradients = [], []
    for way in (exact, sampled):
        with tf.GradientTape() as tape:
            total, found = way()
            total = 3 * total
        losses.append(found.numpy())
        gradients.append(
            [tf.convert_to_tensor(part) for part in tape.gradient(total, list(values.values()))]
        )
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-5)
    for ours, expected in zip(gradients[1], gradients[0], strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-4)


@pytest.mark.parametrize("block", [1, 3, VOCABULARY_SIZE])
@pytest.mark.parametrize("spread", [0.0, 1.0, 300.0])
def test_the_exact_loss_is_the_softmax_s_whatever_the_scores_and_blocks(monkeypatch, block, spread):
    monkeypatch.setattr("rnnpipe.problems.language_model.judging._JUDGED_WORDS", block)
    random = np.random.default_rng(1)
    predicted = random.normal(0, 1, (9, 3)).astype(np.float32)
    table = tf.Variable(spread * random.normal(0, 1, (VOCABULARY_SIZE, 3)).astype(np.float32))
    bias = tf.Variable(random.normal(0, 1, VOCABULARY_SIZE).astype(np.float32))
    targets = random.integers(0, VOCABULARY_SIZE, 9).astype(np.int32)
    scores = predicted.astype(np.float64) @ table.numpy().T + bias.numpy()
    expected = np.logaddexp.reduce(scores, axis=1) - scores[np.arange(9), targets]
    found = exact_losses(tf.constant(predicted), tf.constant(targets), table, bias)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * max(1, 10 * spread))


@settings(deadline=None)
@given(seed=st.integers(0, 999), number=st.integers(0, VOCABULARY_SIZE + 3))
def test_candidates_are_distinct_and_as_many_as_asked_for(seed, number):
    counts = np.arange(VOCABULARY_SIZE, dtype=np.int64) ** 3
    found = draw_candidates(counts, number, np.random.default_rng(seed))
    expected = number if 0 < number < VOCABULARY_SIZE else VOCABULARY_SIZE
    assert len(set(found.words.tolist())) == len(found.words) == expected
    assert (found.log_shares <= 0).all()


def test_what_candidates_stand_for_is_without_bias():
    """The sum over all words, estimated from a few of them, is right in the mean."""
    random = np.random.default_rng(1)
    counts = random.zipf(1.3, VOCABULARY_SIZE).clip(1, 1000)
    values = random.exponential(1, VOCABULARY_SIZE) * counts**0.5
    estimates = []
    for _ in range(20_000):
        found = draw_candidates(counts, 6, random)
        estimates.append((values[found.words] / np.exp(found.log_shares)).sum())
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - values.sum()) < 4 * error


@pytest.mark.parametrize("sampled_words", [0, 8])
def test_a_rule_is_learnt_in_both_directions(sampled_words):
    sequences = ragged([[2, 3, 4, 5, 6, 7] * 3] * 8 + [[8, 9] * 9] * 8)
    rows = np.arange(16)
    counts = count_words(sequences, rows, VOCABULARY_SIZE)
    params = LanguageTrain(
        hidden_size=16,
        embedding_size=8,
        bidirectional=True,
        bptt_length=7,
        sampled_words=sampled_words,
    )
    model = build_language_model(params, VOCABULARY, None, counts)
    optimizer = Optimizer("adam", [weight.value for weight in model.trainable_variables])
    optimizer.learning_rate.assign(0.03)
    step = compile_step(model, optimizer, 1.0)
    random = np.random.default_rng(1)
    before = judge(model, sequences, rows)
    for _ in range(60):
        learn_batch(step, model, sequences, rows, counts, params, random)
    for first, last in zip(before, judge(model, sequences, rows), strict=True):
        assert last.perplexity < 1.3 < first.perplexity


def test_a_step_tells_the_summed_loss_and_carries_the_state_on():
    model, sequences = small_language_model(), drawn(6)
    optimizer = Optimizer("sgd", [weight.value for weight in model.trainable_variables])
    step = compile_step(model, optimizer, None)  # at learning rate 0 nothing moves
    params = LanguageTrain(bptt_length=4, sampled_words=0)
    counts = count_words(sequences, np.arange(6), VOCABULARY_SIZE)
    random = np.random.default_rng(1)
    learnt = learn_batch(step, model, sequences, np.arange(6), counts, params, random)
    expected = [found.total_nll for found in judge(model, sequences, np.arange(6))]
    np.testing.assert_allclose(learnt.total_nll, expected, rtol=1e-4)
    assert learnt.predictions == len(sequences.values) + 6
    assert learnt.gradient_norm > 0


def test_untouched_word_vectors_do_not_move():
    model = small_language_model()
    optimizer = Optimizer("adam", [weight.value for weight in model.trainable_variables])
    optimizer.learning_rate.assign(0.1)
    before = model.words.numpy()
    (window,) = cut_windows(ragged([[5, 6]]), np.array([0]), 9, 2)
    compile_step(model, optimizer, 1.0)(
        window.inputs,
        window.targets,
        window.lengths,
        np.array([7], np.int32),
        np.zeros(1, np.float32),
        model.zero_state(1),
    )
    moved = (model.words.numpy() != before).any(axis=1)
    assert np.flatnonzero(moved).tolist() == [0, 5, 6, 7]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_saved_model_is_the_same_again(tmp_path, bidirectional):
    model, sequences = small_language_model(bidirectional=bidirectional, num_layers=2), drawn(4)
    save_network(model, tmp_path / "one.keras")
    save_network(model, tmp_path / "two.keras")
    loaded = load_network(tmp_path / "one.keras")
    assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "two.keras").read_bytes()
    assert loaded.vocabulary == model.vocabulary
    assert judge(loaded, sequences, np.arange(4)) == judge(model, sequences, np.arange(4))
