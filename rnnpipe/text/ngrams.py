"""An n-gram model with interpolated modified Kneser-Ney smoothing: the yardstick of perplexity.

Chen & Goodman 1998, "An Empirical Study of Smoothing Techniques for Language Modeling",
section 3; a text's start and its short contexts are treated as KenLM does (Heafield et al. 2013).
KenLM itself is no dependency: its Python package only asks models, it does not learn them, and
the program that does (``lmplz``) is built from C++ with Boost. NLTK's models take hours where
sorting arrays takes seconds.

Every run of k words has a number, its place among the sorted keys of its order; a key is the
number of the run without its last word, times the vocabulary's size, plus that word. So no key
outgrows 64 bits, whatever the order.

The longest runs that were met but once can be left out (:func:`prune_ngrams`), and the rest be kept
in a file (:mod:`rnnpipe.text.ngram_file`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnnpipe.metrics.perplexity import LogLoss
from rnnpipe.runtime.progress import track
from rnnpipe.text.tokens import Ragged
from rnnpipe.text.windows import BOUNDARY_ID, count_predictions

CONTEXT_LEVELS = 12  # of how often a context was met: 1, 2 to 3, 4 to 7, ..., 2,048 and more

_UNKNOWN_RUN = -1
_BLOCK = 1 << 20  # words judged at once
_FALLBACK = (0.5, 1.0, 1.5)  # KenLM's, where there is too little text to estimate discounts from


@dataclass(frozen=True)
class Order:
    """Runs of k words, k from 2 on, of the training text.

    Attributes:
        keys: ``int64[runs]``, ascending.
        shares: ``float64[runs]``, discounted count over all counts in the run's context.
        backoffs: ``float64[runs of k - 1]``, what each context leaves to the next shorter one.
        levels: ``uint8[runs of k - 1]``, how often each context was met, on a scale of powers of
            two: 1 to ``CONTEXT_LEVELS``; 0 where no run goes on from it.
    """

    keys: NDArray[np.int64]
    shares: NDArray[np.float64]
    backoffs: NDArray[np.float64]
    levels: NDArray[np.uint8]


@dataclass(frozen=True)
class NgramModel:
    """Probabilities of each id, after the ids before it.

    Attributes:
        unigrams: ``float64[vocabulary_size]``, of each id in no context; positive.
        orders: from pairs on.
        once: ``bool[runs]``, which of the longest runs were met but once; None where they are gone.
    """

    unigrams: NDArray[np.float64]
    orders: tuple[Order, ...]
    once: NDArray[np.bool_] | None = None

    @property
    def contexts(self) -> int:
        """How many kinds of context :meth:`judge_predictions` tells apart."""
        return 1 + len(self.orders) * CONTEXT_LEVELS

    def judge(self, sequences: Ragged, rows: NDArray[np.int64]) -> LogLoss:
        """Predict each word of some texts, and their ends.

        Args:
            sequences: token ids, ragged; they may stay on disk.
            rows: ``int64[n]``, which of them.
        """
        nats = self.judge_texts(sequences, rows)
        return LogLoss(float(nats.sum()), count_predictions(sequences, rows))

    def judge_texts(self, sequences: Ragged, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return each text's summed loss in nats, ``float64[n]``; see :meth:`judge`."""
        parts: list[NDArray[np.float64]] = [np.empty(0)]
        for ids, steps in _blocks(sequences, rows):
            found, _ = self._probabilities(ids, steps)
            texts = np.cumsum(steps == 0) - 1
            predicted = steps > 0
            costs = np.bincount(texts[predicted], -np.log(found[predicted]))
            parts.append(costs.astype(np.float64))
        return np.concatenate(parts)

    def judge_predictions(
        self, sequences: Ragged, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Predict each word of some texts, and their ends, all at once.

        Returns:
            ``float64[predictions]``, the probability of each, text by text, and
            ``int64[predictions]``, the kind of context it was told from, below ``contexts``: 0
            for none, then by the longest that was met and how often that was.
        """
        ids, steps = join_texts(sequences, rows)
        found, contexts = self._probabilities(ids, steps)
        predicted = steps > 0
        return found[predicted], contexts[predicted]

    def next_probabilities(self, before: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each id after the words so far, ``float64[vocabulary_size]``.

        Args:
            before: ``int[any]``, all words of the text so far.
        """
        return self.next_from(before)[0]

    def next_from(self, before: ArrayLike) -> tuple[NDArray[np.float64], int]:
        """Return what :meth:`next_probabilities` does, and the kind of context that tells it."""
        size = len(self.unigrams)
        context = [BOUNDARY_ID, *np.asarray(before, np.int64).tolist()]
        found, kind = self.unigrams.copy(), 0
        for order, table in enumerate(self.orders, start=2):
            if order - 1 > len(context):
                break
            run = self._number(context[len(context) - order + 1 :])
            if run == _UNKNOWN_RUN:
                break
            found *= table.backoffs[run]
            first, last = np.searchsorted(table.keys, [run * size, (run + 1) * size])
            found[table.keys[first:last] % size] += table.shares[first:last]
            if level := int(table.levels[run]):
                kind = _kind(order, level)
        return found, kind

    def _number(self, run: list[int]) -> int:
        number = np.array(run[:1], np.int64)
        for word, table in zip(run[1:], self.orders, strict=False):
            number = _find(table.keys, number, np.array([word]), len(self.unigrams))
        return int(number[0])

    def _probabilities(
        self, ids: NDArray[np.int64], steps: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the probability of each id, ``float64[n]``, and the kind of its context.

        Of a text's start both mean nothing.
        """
        found = self.unigrams[ids]
        kinds = np.zeros(len(ids), np.int64)
        numbers = ids
        for order, table in enumerate(self.orders, start=2):
            contexts = _shifted(numbers)
            contexts[steps < order - 1] = _UNKNOWN_RUN
            numbers = _find(table.keys, contexts, ids, len(self.unigrams))
            known = np.flatnonzero(contexts != _UNKNOWN_RUN)
            found[known] *= table.backoffs[contexts[known]]
            met = numbers != _UNKNOWN_RUN
            found[met] += table.shares[numbers[met]]
            levels = table.levels[contexts[known]].astype(np.int64)
            going_on = levels > 0
            kinds[known[going_on]] = _kind(order, levels[going_on])
        return found, kinds


def _kind(order: int, level: Any) -> Any:
    """Number the kinds of context of runs of ``order`` words, by their level."""
    return (order - 2) * CONTEXT_LEVELS + level


def learn_ngrams(
    sequences: Ragged, rows: NDArray[np.int64], vocabulary_size: int, order: int
) -> NgramModel:
    """Count all runs of up to ``order`` words and smooth their frequencies.

    Args:
        sequences: token ids, ragged; they may stay on disk.
        rows: ``int64[n]``, which of them to learn from.
        vocabulary_size: number of ids; each gets a probability, met or not.
        order: longest run, 1 or more.
    """
    ids, steps = join_texts(sequences, rows)
    predicted = steps > 0
    counts = [np.bincount(ids[predicted], minlength=vocabulary_size)]
    keys: list[NDArray[np.int64]] = []
    numbers = ids.astype(np.int32)
    for k in track(range(2, order + 1), "counting runs of words", "lengths"):
        valid = np.flatnonzero(steps >= k - 1)
        shorter = numbers[valid]  # the run without its first word
        distinct, inverse, met = np.unique(
            numbers[valid - 1].astype(np.int64) * vocabulary_size + ids[valid],
            return_inverse=True,
            return_counts=True,
        )
        first_words_gone = np.empty(len(distinct), np.int32)
        first_words_gone[inverse] = shorter
        # A shorter run counts by how many words were met before it; nothing stands before a
        # text's start, so a run from there on counts as often as it is met.
        before = np.bincount(first_words_gone, minlength=len(counts[-1]))
        counts[-1] = np.where(before > 0, before, counts[-1])
        counts.append(met)
        keys.append(distinct)
        numbers = np.full(len(ids), _UNKNOWN_RUN, np.int32)
        numbers[valid] = inverse
    return _smoothed(counts, keys, vocabulary_size)


def _smoothed(
    counts: list[NDArray[np.int64]], keys: list[NDArray[np.int64]], vocabulary_size: int
) -> NgramModel:
    removed = _discounts(counts[0])
    total = counts[0].sum()
    if total:
        unigrams = (counts[0] - removed + removed.sum() / vocabulary_size) / total
    else:
        unigrams = np.full(vocabulary_size, 1 / vocabulary_size)
    orders: list[Order] = []
    for number, found in zip(keys, counts[1:], strict=True):
        contexts = number // vocabulary_size
        removed = _discounts(found)
        size = len(counts[len(orders)])
        totals = np.bincount(contexts, found, size)
        left = np.bincount(contexts, removed, size)
        # What ends a text is no context: nothing to leave, all comes from the shorter one.
        backoffs = np.divide(left, totals, out=np.ones(size), where=totals > 0)
        levels = np.minimum(np.frexp(totals)[1], CONTEXT_LEVELS).astype(np.uint8)
        shares = (found - removed) / totals[contexts]
        orders.append(Order(number, shares, backoffs, levels))
    return NgramModel(unigrams, tuple(orders), counts[-1] == 1 if orders else None)


def prune_ngrams(model: NgramModel) -> NgramModel:
    """Leave out the longest runs that were met but once: half of all, and they foretell little.

    What a context gave to them it leaves to the next shorter context: the probabilities of all
    words still sum to one.

    Args:
        model: from :func:`learn_ngrams`; one that was pruned stays as it is.
    """
    gone = model.once
    if gone is None:
        return model
    *shorter, longest = model.orders
    contexts = longest.keys // len(model.unigrams)
    number = len(longest.backoffs)
    goes_on = np.bincount(contexts[~gone], minlength=number) > 0
    left = longest.backoffs + np.bincount(contexts[gone], longest.shares[gone], number)
    stays = Order(
        longest.keys[~gone],
        longest.shares[~gone],
        np.where(goes_on, left, 1.0),
        np.where(goes_on, longest.levels, 0).astype(np.uint8),
    )
    return NgramModel(model.unigrams, (*shorter, stays))


def _discounts(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what is taken from each count: one discount for 1, one for 2, one for 3 and more."""
    once, twice, thrice, four = (int(np.count_nonzero(counts == times)) for times in (1, 2, 3, 4))
    taken = _FALLBACK
    if once and twice and thrice and four:
        share = once / (once + 2 * twice)
        estimated = (
            1 - 2 * share * twice / once,
            2 - 3 * share * thrice / twice,
            3 - 4 * share * four / thrice,
        )
        if all(0 <= value <= most for most, value in enumerate(estimated, start=1)):
            taken = estimated
    return np.array([0.0, *taken])[np.minimum(counts, 3)]


def _find(
    keys: NDArray[np.int64],
    contexts: NDArray[np.int64],
    ids: NDArray[np.int64],
    vocabulary_size: int,
) -> NDArray[np.int64]:
    """Number the runs of a context and a word, -1 where none was met in training."""
    if not len(keys):
        return np.full(len(ids), _UNKNOWN_RUN, np.int64)
    wanted = contexts * vocabulary_size + ids
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    met = (contexts != _UNKNOWN_RUN) & (keys[places] == wanted)
    return np.where(met, places, _UNKNOWN_RUN)


def _shifted(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what stands one place before."""
    return np.concatenate([[_UNKNOWN_RUN], numbers[:-1]]).astype(np.int64)


def _blocks(
    sequences: Ragged, rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Join texts, as many at a time as make about a block."""
    ends = np.cumsum(sequences.lengths[rows] + 2)
    parts = np.split(rows, np.flatnonzero(np.diff(ends // _BLOCK)) + 1) if len(rows) else []
    for part in track(parts, "judging by runs of words", "blocks"):
        yield join_texts(sequences, part)


def join_texts(
    sequences: Ragged, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Put texts end to end, each between a start and an end; number each one's ids from 0.

    Args:
        sequences: token ids, ragged; they may stay on disk.
        rows: ``int64[n]``, which texts.

    Returns:
        ``int64[total]`` of all ids, and ``int64[total]``, the place of each in its text.
    """
    texts = sequences.take(rows)
    lengths = texts.lengths + 2
    starts = np.cumsum(lengths) - lengths
    ids = np.full(int(lengths.sum()), BOUNDARY_ID, np.int64)
    steps = np.arange(len(ids)) - np.repeat(starts, lengths)
    inside = (steps > 0) & (steps < np.repeat(lengths, lengths) - 1)
    ids[inside] = texts.values
    return ids, steps
