"""Texts for the tests of language models, and strategies that draw some."""

import numpy as np
from hypothesis import strategies as st

from rnnpipe.text.tokens import Ragged
from rnnpipe.text.vocabulary import Vocabulary

VOCABULARY_SIZE = 20
CELLS = ("simple_rnn", "lstm", "gru")
VOCABULARY = Vocabulary(tuple(f"word{number}" for number in range(2, VOCABULARY_SIZE)))


def ragged(texts):
    """Put lists of ids end to end."""
    offsets = np.cumsum([0, *map(len, texts)])
    return Ragged(np.array([i for text in texts for i in text], np.int32), offsets)


def drawn(number, longest=12, seed=1):
    """Draw texts of unlike length, frequent ids more often."""
    random = np.random.default_rng(seed)
    lengths = random.integers(0, longest + 1, number)
    return ragged(
        [random.zipf(1.4, length).clip(1, VOCABULARY_SIZE - 1).tolist() for length in lengths]
    )


def texts(longest=9, most=6):
    """A strategy for one to ``most`` texts."""
    text = st.lists(st.integers(1, VOCABULARY_SIZE - 1), max_size=longest)
    return st.lists(text, min_size=1, max_size=most).map(ragged)
