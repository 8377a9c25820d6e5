"""Perplexity and bits a character."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnpipe.metrics.perplexity import LogLoss


@given(words=st.integers(1, 10**6), predictions=st.integers(1, 10**7))
def test_a_choice_among_words_all_alike_has_their_number_as_perplexity(words, predictions):
    found = LogLoss(predictions * math.log(words), predictions)
    assert found.perplexity == pytest.approx(words)


def test_a_character_of_four_kinds_all_alike_takes_two_bits():
    assert LogLoss(10 * math.log(4), 3).bits_a_character(10) == pytest.approx(2)
