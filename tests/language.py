"""Small language models and texts for their tests, and strategies that draw texts."""

import numpy as np
from hypothesis import strategies as st

from rnnpipe.problems.language_model.network import build_language_model
from rnnpipe.problems.language_model.params import LanguageTrain
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


def small_language_model(fill=True, **changes):
    """Build a language model of 4 units each way whose weights, biases too, are random."""
    shape = {"hidden_size": 4, "embedding_size": 3, "bidirectional": True}
    settings = {**shape, "embedding": "uniform", **changes}
    model = build_language_model(LanguageTrain(**settings), VOCABULARY, None)
    random = np.random.default_rng(1)
    for weight in model.trainable_variables if fill else ():
        weight.assign(random.normal(0, 0.7, weight.shape))
    return model
