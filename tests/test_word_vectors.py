import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpipe.text import word_vectors
from rnnpipe.text.tokens import Ragged
from rnnpipe.text.word_vectors import learn_word_vectors


def ragged(lines) -> Ragged:
    offsets = np.cumsum([0, *map(len, lines)], dtype=np.int64)
    return Ragged(np.array([i for line in lines for i in line], np.int32), offsets)


LINES = st.lists(st.lists(st.integers(1, 7), min_size=1, max_size=12), min_size=1, max_size=8)


@given(LINES, st.integers(1, 4))
@settings(deadline=None)
def test_pairs_are_counted_within_a_text_and_a_window(lines, window):
    expected = np.zeros((8, 8))
    for line in lines:
        for i, first in enumerate(line):
            for distance, second in enumerate(line[i + 1 : i + 1 + window], start=1):
                if first > 1 and second > 1:
                    expected[first, second] += (window + 1 - distance) / window
    counted = word_vectors._count_pairs([ragged(lines)], 8, window).toarray()
    np.testing.assert_allclose(counted, expected + expected.T, rtol=1e-5)


@given(LINES)
@settings(deadline=None)
def test_blocks_change_nothing(lines):
    whole = word_vectors._count_pairs([ragged(lines)], 8, 3).toarray()
    before, word_vectors._BLOCK = word_vectors._BLOCK, 5
    try:
        np.testing.assert_allclose(
            word_vectors._count_pairs([ragged(lines)], 8, 3).toarray(), whole, rtol=1e-5
        )
    finally:
        word_vectors._BLOCK = before


@given(st.lists(LINES, min_size=1, max_size=3), st.integers(1, 4), st.integers(1, 9))
@settings(deadline=None)
def test_texts_in_several_parts_count_as_if_they_were_one(parts, window, block):
    lines = [line for part in parts for line in part]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_vectors, "_BLOCK", block)
        one = word_vectors._count_pairs([ragged(lines)], 8, window)
        several = word_vectors._count_pairs([ragged(part) for part in parts], 8, window)
    np.testing.assert_array_equal(one.toarray(), several.toarray())


@given(LINES, st.integers(1, 9))
@settings(deadline=None)
def test_information_is_that_of_the_formula(lines, rows):
    counts = word_vectors._count_pairs([ragged(lines)], 8, 3)
    dense = counts.toarray().astype(np.float64)
    words = dense.sum(axis=1)
    contexts = words**0.75
    contexts *= words.sum() / max(contexts.sum(), 1)
    expected = np.outer(words, contexts) / max(words.sum(), 1)
    ratio = np.divide(dense, expected, out=np.ones_like(dense), where=dense > 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_vectors, "_ROWS", rows)
        found = word_vectors._positive_mutual_information(counts)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.toarray(), np.maximum(0, np.log(ratio)), atol=1e-5)


def test_words_in_like_company_get_like_vectors():
    # good (2) and great (3) share their company, cat (4) keeps another.
    lines = [[2, 5, 6], [3, 5, 6], [4, 7, 8]] * 30
    vectors = learn_word_vectors([ragged(lines)], 9, size=4, window=2, seed=1)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    assert unit[2] @ unit[3] > 0.95 > 0.5 > unit[2] @ unit[4]


def test_the_same_seed_gives_the_same_bytes_and_special_ids_are_zero():
    lines = np.random.default_rng(1).integers(1, 40, (50, 20)).tolist()
    one, two = (learn_word_vectors([ragged(lines)], 41, 16, 5, seed=3) for _ in range(2))
    assert one.tobytes() == two.tobytes()
    assert one.dtype == np.float32
    assert not one[:2].any()
    assert abs(one[2:].std() - 1) < 1e-5


def test_a_text_too_small_for_the_width_is_padded_with_zeros():
    vectors = learn_word_vectors([ragged([[2, 3, 2, 3]])], 4, size=10, window=1, seed=1)
    assert vectors.shape == (4, 10)
    assert np.isfinite(vectors).all()
