"""The mixture: its probabilities sum to one, one word after the other, and its weights pay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from language import VOCABULARY_SIZE, drawn, texts

from rnnpipe.errors import RegistryError
from rnnpipe.problems.language_model.mixture import (
    Mixture,
    fit_mixture,
    load_mixture,
    predict_by_parts,
)
from rnnpipe.text.ngrams import learn_ngrams, prune_ngrams
from rnnpipe.text.text_cache import AGES, cached_probabilities, judge_by_cache

NETWORK = np.random.default_rng(3).dirichlet(np.ones(VOCABULARY_SIZE))  # knows no context
NGRAMS = prune_ngrams(learn_ngrams(drawn(300), np.arange(300), VOCABULARY_SIZE, 3))


def parts_of(sequences, rows):
    """What all parts say, the network that of ``NETWORK`` whatever stood before."""
    lengths = sequences.lengths[rows]
    nats = np.full((len(rows), int(lengths.max(initial=0)) + 1), np.nan, np.float32)
    for line, row in zip(nats, rows, strict=True):
        ids = [*sequences[row].tolist(), 0]
        line[: len(ids)] = -np.log(NETWORK[ids])
    return predict_by_parts(nats, NGRAMS, sequences, rows)


def any_mixture(seed):
    random = np.random.default_rng(seed)
    network, cache = random.uniform(0.1, 0.9, NGRAMS.contexts), random.uniform(0.1, 0.9, AGES)
    cache[0] = 0.0
    return Mixture(tuple(network.tolist()), tuple(cache.tolist()))


@settings(deadline=None)
@given(sequences=texts(), seed=st.integers(0, 99))
def test_a_text_costs_what_its_words_cost_one_after_the_other_and_these_sum_to_one(sequences, seed):
    mixture, rows = any_mixture(seed), np.arange(len(sequences))[::-1]
    found = np.exp(-mixture.nats(parts_of(sequences, rows)))
    expected = []
    for row in rows:
        text = sequences[row].tolist()
        for place, right in enumerate([*text, 0]):
            after = mixture.next_probabilities(NETWORK, NGRAMS, text[:place])
            assert after.sum() == pytest.approx(1, abs=1e-12)
            expected.append(after[right])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@settings(deadline=None)
@given(sequences=texts())
def test_the_cache_knows_what_was_said_and_no_more(sequences):
    rows = np.arange(len(sequences))
    found, ages = judge_by_cache(sequences, rows)
    expected = [
        (text[:place].count(right) / max(place, 1) if right else 0.0, place)
        for text in (sequences[row].tolist() for row in rows)
        for place, right in enumerate([*text, 0])
    ]
    np.testing.assert_allclose(found, [share for share, _ in expected])
    assert ages.tolist() == [min(place.bit_length(), AGES - 1) for _, place in expected]
    shares, age = cached_probabilities([3, 4, 3], VOCABULARY_SIZE)
    assert (shares[3], shares[4], age) == (2 / 3, 1 / 3, 2)


def test_the_weights_found_make_the_texts_likelier_than_any_part_and_any_others():
    sequences, rows = drawn(400, seed=5), np.arange(400)
    blocks = [parts_of(sequences, part) for part in np.array_split(rows, 3)]
    whole = parts_of(sequences, rows)
    mixture = fit_mixture(blocks, NGRAMS.contexts)
    best = mixture.nats(whole).sum()
    assert fit_mixture([whole], NGRAMS.contexts).nats(whole).sum() == pytest.approx(best, rel=1e-9)
    assert best < min(-np.log(whole.network).sum(), -np.log(whole.ngrams).sum())
    assert best < min(any_mixture(seed).nats(whole).sum() for seed in range(20))
    weights = mixture.mean_weights(blocks)
    assert sum(weights.values()) == pytest.approx(1)
    assert min(weights.values()) >= 0
    assert mixture.cache[0] == 0


def test_a_network_that_knows_everything_stays_alone():
    sequences, rows = drawn(40, seed=5), np.arange(40)
    nats = np.zeros((40, int(sequences.lengths.max()) + 1), np.float32)
    certain = predict_by_parts(nats, NGRAMS, sequences, rows)
    assert fit_mixture([certain], NGRAMS.contexts).nats(certain).sum() == 0


def test_weights_in_a_file_are_the_same_and_belong_to_their_n_grams(tmp_path):
    mixture, path = any_mixture(1), tmp_path / "mixture.json"
    mixture.save(path)
    assert load_mixture(path, NGRAMS) == mixture
    others = learn_ngrams(drawn(300), np.arange(300), VOCABULARY_SIZE, 2)
    with pytest.raises(RegistryError, match="weights, expected"):
        load_mixture(path, others)
    path.write_text('{"network": [2.0], "cache": []}')
    with pytest.raises(RegistryError, match="holds no weights"):
        load_mixture(path, NGRAMS)
