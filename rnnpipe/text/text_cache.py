"""What a text has said so far, as a model of its next word (Kuhn & De Mori 1990).

Each word is as likely as its share of the text's words so far; a text's end is never foretold.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnnpipe.text.ngrams import join_texts
from rnnpipe.text.tokens import Ragged
from rnnpipe.text.windows import BOUNDARY_ID

AGES = 12  # of how many words there were: 0, 1, 2 to 3, ..., 1,024 and more


def judge_by_cache(
    sequences: Ragged, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Predict each word of some texts, and their ends, by the words before it.

    Args:
        sequences: token ids, ragged; they may stay on disk.
        rows: ``int64[n]``, which texts.

    Returns:
        ``float64[predictions]``, the probability of each, text by text, which may be 0, and
        ``int64[predictions]``, the text's age there, below ``AGES``.
    """
    ids, steps = join_texts(sequences, rows)
    texts = np.cumsum(steps == 0) - 1
    # Of the same word in the same text, one after the other: each place's number is how many came
    # before.
    order = np.lexsort((ids, texts))
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(ids[order]) != 0) | (np.diff(texts[order]) != 0)
    places = np.arange(len(order))
    before = np.empty(len(order), np.int64)
    before[order] = places - np.maximum.accumulate(np.where(first, places, 0))
    before[ids == BOUNDARY_ID] = 0  # the start is no word
    predicted = steps > 0
    words = steps[predicted] - 1
    return before[predicted] / np.maximum(words, 1), _ages(words)


def cached_probabilities(
    before: ArrayLike, vocabulary_size: int
) -> tuple[NDArray[np.float64], int]:
    """Return each id's share of the words so far, ``float64[vocabulary_size]``, and the age.

    Args:
        before: ``int[any]``, all words of the text so far; without any, every share is 0.
        vocabulary_size: number of ids.
    """
    words = np.asarray(before, np.int64)
    shares = np.bincount(words, minlength=vocabulary_size) / max(len(words), 1)
    return shares, int(_ages(np.array([len(words)]))[0])


def _ages(words: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number texts by how many words they had so far, on a scale of powers of two."""
    return np.minimum(np.frexp(words)[1], AGES - 1).astype(np.int64)
