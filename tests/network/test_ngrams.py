"""Kneser-Ney smoothing: sums, bounds, and an example computed by hand."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from language import VOCABULARY_SIZE, drawn, ragged, texts

from rnnpipe.errors import RegistryError
from rnnpipe.text.ngram_file import load_ngrams, save_ngrams
from rnnpipe.text.ngrams import _discounts, learn_ngrams, prune_ngrams

ORDERS = [1, 2, 3, 5]


def learn(sequences, order, size=VOCABULARY_SIZE):
    return learn_ngrams(sequences, np.arange(len(sequences)), size, order)


@settings(deadline=None)
@given(
    sequences=texts(),
    order=st.integers(1, 5),
    before=st.lists(st.integers(1, VOCABULARY_SIZE - 1), max_size=6),
)
def test_probabilities_are_positive_and_sum_to_one_after_any_words(sequences, order, before):
    model = learn(sequences, order)
    for found in (model.next_probabilities(before), prune_ngrams(model).next_probabilities(before)):
        assert found.min() > 0
        assert found.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("prune", [False, True])
def test_judging_multiplies_the_probabilities_of_one_word_after_the_other(order, prune):
    learnt, judged = drawn(60, seed=1), drawn(20, seed=2)
    model = prune_ngrams(learn(learnt, order)) if prune else learn(learnt, order)
    nats = -sum(
        np.log(model.next_probabilities(text[:place])[word])
        for text in (judged[row].tolist() for row in range(len(judged)))
        for place, word in enumerate([*text, 0])
    )
    found = model.judge(judged, np.arange(len(judged)))
    assert found.total_nll == pytest.approx(nats, rel=1e-12)
    assert found.predictions == len(judged.values) + len(judged)
    probabilities, contexts = model.judge_predictions(judged, np.arange(len(judged)))
    assert -np.log(probabilities).sum() == pytest.approx(nats, rel=1e-12)
    assert contexts.tolist() == [
        model.next_from(text[:place])[1]
        for text in (judged[row].tolist() for row in range(len(judged)))
        for place in range(len(text) + 1)
    ]
    assert contexts.max(initial=0) < model.contexts


@pytest.mark.parametrize("order", ORDERS)
def test_n_grams_in_a_file_are_the_same_but_for_rounding_and_then_to_the_bit(tmp_path, order):
    judged = drawn(20, seed=2)
    model = prune_ngrams(learn(drawn(60), order))
    for name in ("one.npz", "two.npz"):
        save_ngrams(model, tmp_path / name)
    loaded = load_ngrams(tmp_path / "one.npz")
    save_ngrams(loaded, tmp_path / "again.npz")
    contents = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(contents) == 1
    expected, kinds = model.judge_predictions(judged, np.arange(20))
    found, loaded_kinds = loaded.judge_predictions(judged, np.arange(20))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_array_equal(loaded_kinds, kinds)


@pytest.mark.parametrize(
    "fault", ["missing", "cut", "no archive", "a word too large", "too many words", "no shares"]
)
def test_a_file_that_holds_no_n_grams_is_named(tmp_path, fault):
    path = tmp_path / "ngrams.npz"
    save_ngrams(prune_ngrams(learn(drawn(60), 3)), path)
    with np.load(path) as saved:
        arrays = dict(saved)
    match fault:
        case "missing":
            path.unlink()
        case "cut":
            path.write_bytes(path.read_bytes()[:-100])
        case "no archive":
            path.write_bytes(b"n-grams")
        case "a word too large":
            arrays["words_2"][-1] = VOCABULARY_SIZE
            np.savez(path, **arrays)
        case "too many words":
            arrays["followed_2"][0] = 2**32 - 1
            np.savez(path, **arrays)
        case "no shares":
            del arrays["shares_3"]
            np.savez(path, **arrays)
    with pytest.raises(RegistryError, match=r"ngrams\.npz holds no n-grams"):
        load_ngrams(path)


def test_of_the_longest_runs_those_stay_that_were_met_more_than_once():
    sequences = drawn(60)
    pruned = prune_ngrams(learn(sequences, 3))
    met = Counter(
        run
        for text in ([0, *sequences[row].tolist(), 0] for row in range(60))
        for run in zip(text, text[1:], text[2:], strict=False)
    )
    pairs, longest = (len(table.keys) for table in pruned.orders)
    assert longest == sum(times > 1 for times in met.values()) < len(met)
    assert pairs == len(learn(sequences, 2).orders[0].keys)
    assert prune_ngrams(pruned) is pruned


def test_judging_does_not_depend_on_how_many_words_are_judged_at_once(monkeypatch):
    model, judged = learn(drawn(60), 3), drawn(50, seed=2)
    rows = np.arange(len(judged))
    whole = model.judge(judged, rows)
    monkeypatch.setattr("rnnpipe.text.ngrams._BLOCK", 7)
    in_blocks = model.judge(judged, rows)
    assert in_blocks.total_nll == pytest.approx(whole.total_nll, rel=1e-12)
    assert in_blocks.predictions == whole.predictions


@pytest.mark.parametrize("order", ORDERS)
def test_without_text_to_learn_from_every_word_is_alike(order):
    model = learn_ngrams(drawn(5), np.array([], np.int64), VOCABULARY_SIZE, order)
    judged = drawn(5)
    found = model.judge(judged, np.arange(5))
    assert found.perplexity == pytest.approx(VOCABULARY_SIZE)


def test_an_example_by_hand():
    """Texts "a b", "a b" and "a c" (a 2, b 3, c 4) of a vocabulary of 5 ids; order 2.

    The discounts are the fallback: once 0.5, twice 1, thrice or more 1.5. Pairs: start-a three
    times, a-b twice, a-c once, b-end twice, c-end once. Before a, b and c stands one word each
    (the start, a, a), before the end stand two (b, c): 5 in all, of which 0.5 + 0.5 + 0.5 + 1
    are taken and shared among all 5 ids.
    """
    model = learn(ragged([[2, 3], [2, 3], [2, 4]]), 2, size=5)
    alone = np.array([2 - 1, 0, 0.5, 0.5, 0.5]) / 5 + 2.5 / 5 / 5
    np.testing.assert_allclose(model.unigrams, alone, rtol=1e-12)
    after_a = np.array([0, 0, 0, 2 - 1, 1 - 0.5]) / 3 + (1 + 0.5) / 3 * alone
    np.testing.assert_allclose(model.next_probabilities([2]), after_a, rtol=1e-12)
    at_the_start = np.array([0, 0, 3 - 1.5, 0, 0]) / 3 + 1.5 / 3 * alone
    np.testing.assert_allclose(model.next_probabilities([]), at_the_start, rtol=1e-12)
    # After the unknown word, which was never met, nothing is known but how frequent words are.
    np.testing.assert_allclose(model.next_probabilities([2, 1]), alone, rtol=1e-12)


def test_discounts_of_enough_text_are_estimated_as_in_the_paper():
    counts = np.repeat([0, 1, 2, 3, 4, 9], [5, 100, 40, 20, 10, 3])
    share = 100 / (100 + 2 * 40)
    expected = [1 - 2 * share * 40 / 100, 2 - 3 * share * 20 / 40, 3 - 4 * share * 10 / 20]
    for count, discount in zip([0, 1, 2, 3, 9], [0, *expected, expected[-1]], strict=True):
        np.testing.assert_allclose(_discounts(counts)[counts == count], discount)


def test_longer_contexts_predict_a_text_with_rules_better():
    rule = ragged([[2, 3, 4, 2, 4, 3] * 5] * 20)
    rows = np.arange(len(rule))
    figures = [learn(rule, order).judge(rule, rows).perplexity for order in (1, 2, 3)]
    assert figures[0] > figures[1] > figures[2]
    assert figures[2] < 1.3
