"""A training's candidates: the loss over a few words that are drawn, in the place of all."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.networks.backend import tf
from rnnpipe.text.tokens import Ragged
from rnnpipe.text.windows import BOUNDARY_ID

_COUNTED_TEXTS = 4096  # at once
_PARTS = 16  # that a window's scores are made in
_NO_SCORE = -1e30  # below every score; no infinity, which would make differences no number
_FLATTENING = 0.75  # of the words' frequencies (Mikolov et al. 2013): rare words are drawn too


def count_words(
    sequences: Ragged, rows: NDArray[np.int64], vocabulary_size: int
) -> NDArray[np.int64]:
    """Count how often each id must be predicted, ``int64[vocabulary_size]``: words and ends."""
    counts = np.zeros(vocabulary_size, np.int64)
    for start in range(0, len(rows), _COUNTED_TEXTS):
        texts = sequences.take(rows[start : start + _COUNTED_TEXTS])
        counts += np.bincount(texts.values, minlength=vocabulary_size)
    counts[BOUNDARY_ID] += len(rows)
    return counts


def smoothed_frequencies(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each word's share of all, ``float64[n]``, none of them 0."""
    shares = (counts + 1.0) / (counts.sum() + len(counts))
    return np.asarray(shares, np.float64)


@dataclass(frozen=True)
class Candidates:
    """Words that a training step tells the right ones from.

    Attributes:
        words: ``int32[number]``, distinct.
        log_shares: ``float32[number]``, the logarithm of the probability of each to be among them.
    """

    words: NDArray[np.int32]
    log_shares: NDArray[np.float32]


def draw_candidates(
    counts: NDArray[np.int64], number: int, random: np.random.Generator
) -> Candidates:
    """Draw distinct words, frequent ones more often.

    Each word's clock rings after an exponential time, the sooner the more frequent it is; the
    first ``number`` are taken. Given the time of the first that is not, each was taken by a
    probability of its own, by which a sum over all words is estimated without bias (bottom-k
    sampling, Cohen & Kaplan 2007).

    Args:
        counts: ``int64[vocabulary_size]``, how often each is predicted.
        number: how many; 0, or no fewer than there are words: all, with certainty.
        random: decides which.
    """
    size = len(counts)
    if not 0 < number < size:
        return Candidates(np.arange(size, dtype=np.int32), np.zeros(size, np.float32))
    rates = smoothed_frequencies(counts) ** _FLATTENING
    clocks = random.standard_exponential(size) / rates
    taken = np.argpartition(clocks, number)
    drawn, end = taken[:number], clocks[taken[number]]
    shares = -np.expm1(-rates[drawn] * end)
    return Candidates(drawn.astype(np.int32), np.log(shares).astype(np.float32))


def sampled_losses(
    predicted: Any, targets: Any, table: Any, bias: Any, words: Any, log_shares: Any
) -> tuple[Any, Any]:
    """Compare each right word with some others, which stand for all.

    A drawn word counts by the inverse of its probability to be drawn (Jean et al. 2015), so the
    sum over all words is estimated without bias; the right word stands for itself, drawn or not.
    Over all words with certainty this is the softmax's loss itself.

    Args:
        predicted: ``float32[n, size]``.
        targets: ``int32[n]``, the right words.
        table: ``float32[vocabulary_size, size]``, a variable.
        bias: ``float32[vocabulary_size]``, a variable.
        words: ``int32[number]``, distinct.
        log_shares: ``float32[number]``.

    Returns:
        The summed loss in nats, which alone can be differentiated, and each prediction's,
        ``float32[n]``.
    """
    number = tf.size(words)
    places = tf.tensor_scatter_nd_update(
        tf.fill([tf.shape(table)[0]], -1), words[:, None], tf.range(number)
    )
    rights = tf.reduce_sum(predicted * tf.gather(table, targets), axis=1)
    rights += tf.gather(bias, targets)
    total, losses = _cross_entropy(
        predicted,
        rights,
        tf.gather(table, words),
        tf.gather(bias, words) - log_shares,
        tf.gather(places, targets),
    )
    return total, losses


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _cross_entropy(predicted: Any, rights: Any, vectors: Any, offsets: Any, places: Any) -> Any:
    """Sum the losses of the right words against candidates.

    Most of a step's time goes into the matrix of scores. It is made part by part, and each part
    is gone through, down to its share of the gradients, while it stands in the cache; that is
    why the sum is all that can be differentiated.

    Args:
        predicted: ``float32[n, size]``.
        rights: ``float32[n]``, scores of the right words.
        vectors: ``float32[number, size]`` of the candidates.
        offsets: ``float32[number]``, added to their scores.
        places: ``int32[n]``, which candidate is the right word: it is left out; -1 for none.
    """
    losses, d_predicted, d_rights, d_candidates = [], [], [], []
    size = -(-tf.shape(predicted)[0] // _PARTS)
    # The offsets ride in the product, as one more value: the scores are gone through once less.
    candidates = tf.concat([vectors, offsets[:, None]], axis=1)
    given = tf.concat([predicted, tf.ones_like(rights)[:, None]], axis=1)
    for number in range(_PARTS):
        part = slice(number * size, (number + 1) * size)
        here, right = given[part], rights[part]
        scores = tf.matmul(here, candidates, transpose_b=True)
        drawn = tf.where(places[part] >= 0)[:, 0]
        same = tf.stack([drawn, tf.cast(tf.gather(places[part], drawn), tf.int64)], axis=1)
        scores = tf.tensor_scatter_nd_update(scores, same, tf.fill(tf.shape(drawn), _NO_SCORE))
        highest = tf.maximum(tf.reduce_max(scores, axis=1), right)
        weights = tf.exp(scores - highest[:, None])
        right_weights = tf.exp(right - highest)
        totals = tf.reduce_sum(weights, axis=1) + right_weights
        losses.append(tf.math.log(totals) + highest - right)
        shares = 1 / totals[:, None]
        d_predicted.append(shares * tf.matmul(weights, vectors))
        d_rights.append(right_weights / totals - 1)
        # With the small matrix turned, not the large one: twice as fast. The last row is what
        # the offsets get.
        d_candidates.append(tf.matmul(shares * here, weights, transpose_a=True))
    of_candidates = tf.add_n(d_candidates)
    gradients = (
        tf.concat(d_predicted, axis=0),
        tf.concat(d_rights, axis=0),
        tf.transpose(of_candidates[:-1]),
        of_candidates[-1],
    )
    every = tf.concat(losses, axis=0)

    def gradient(upstream: Any, _: Any) -> Any:
        return *(upstream * part for part in gradients), None

    return (tf.reduce_sum(every), every), gradient
