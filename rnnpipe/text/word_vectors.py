"""Word vectors from co-occurrence, learnt from text without labels.

Positive pointwise mutual information of words within a window, factorised by a truncated
singular value decomposition (Levy, Goldberg & Dagan 2015, "Improving Distributional Similarity
with Lessons Learned from Word Embeddings"): minutes less than word2vec, as good on small text.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from rnnpipe.runtime.progress import track
from rnnpipe.text.tokens import FIRST_WORD_ID, UNKNOWN_ID, Ragged

_CONTEXT_SMOOTHING = 0.75  # raises the share of rare contexts, as word2vec does
_BLOCK = 4_000_000  # tokens counted at once: bounds the memory of the pairs
_ROWS = 1_000  # of the counts that become information at once


def learn_word_vectors(
    texts: Sequence[Ragged], vocabulary_size: int, size: int, window: int, seed: int
) -> NDArray[np.float32]:
    """Learn a vector for each token id.

    Args:
        texts: what to learn from; token ids may stay on disk.
        vocabulary_size: number of token ids.
        size: width of a vector; where the text has less rank, the rest is zero.
        window: words to the right and left that count as context; a word at distance d counts
            ``(window + 1 - d) / window``.
        seed: seed of the randomised decomposition.

    Returns:
        ``float32[vocabulary_size, size]``, unit variance over all known words, the columns by
        falling importance; the rows of padding and of the unknown word are zero.
    """
    weights = _positive_mutual_information(_count_pairs(texts, vocabulary_size, window))
    rank = min(size, vocabulary_size - 1)
    left, values, _ = randomized_svd(
        weights, rank, n_oversamples=10, n_iter=2, random_state=seed, flip_sign=True
    )
    vectors = np.zeros((vocabulary_size, size), np.float32)
    # The square root of the singular values weighs the columns best (Levy et al., section 7).
    vectors[:, :rank] = left * np.sqrt(values)
    vectors[:FIRST_WORD_ID] = 0
    spread = vectors[FIRST_WORD_ID:].std()
    return (vectors / spread if spread > 0 else vectors).astype(np.float32)


def _count_pairs(texts: Sequence[Ragged], vocabulary_size: int, window: int) -> sp.csr_matrix:
    """Count each pair of words at a distance up to ``window``, nearer pairs more; symmetric."""
    shape = (vocabulary_size, vocabulary_size)
    total = sp.csr_matrix(shape, dtype=np.float32)
    blocks = -(-sum(len(part.values) for part in texts) // _BLOCK)
    for ids, text in track(_blocks(texts, window), "counting pairs of words", "blocks", blocks):
        for distance in range(1, window + 1):
            first = ids[:-distance][:_BLOCK]
            second = ids[distance:][:_BLOCK]
            paired = text[:-distance][:_BLOCK] == text[distance:][:_BLOCK]
            paired &= (first > UNKNOWN_ID) & (second > UNKNOWN_ID)
            weight = np.float32((window + 1 - distance) / window)
            ones = np.full(int(paired.sum()), weight, np.float32)
            total = total + sp.csr_matrix((ones, (first[paired], second[paired])), shape)
    return (total + total.T).tocsr()


def _blocks(
    texts: Sequence[Ragged], window: int
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
    """Return all token ids, end to end, a block at a time, and beside each the number of its text.

    Blocks overlap by the window, so that no pair across their border is lost.
    """
    ends = np.concatenate([[0], np.cumsum([len(part.values) for part in texts])])
    for start in range(0, int(ends[-1]), _BLOCK):
        stop = min(start + _BLOCK + window, int(ends[-1]))
        ids, numbers, first_number = [], [], 0
        for part, begin in zip(texts, ends[:-1].tolist(), strict=True):
            here = slice(max(0, start - begin), max(0, min(stop - begin, len(part.values))))
            if here.start < here.stop:
                ids.append(part.values[here])
                places = np.arange(here.start, here.stop)
                number = np.searchsorted(part.offsets, places, side="right")
                numbers.append(first_number + number)
            first_number += len(part)
        yield np.concatenate(ids), np.concatenate(numbers)


def _positive_mutual_information(counts: sp.csr_matrix) -> sp.csr_matrix:
    """max(0, log(p(w, c) / (p(w) p(c)))) for each pair that occurs, ``float32``.

    The counts are used up: the information takes their place in memory, some rows at a time.
    """
    words = np.asarray(counts.sum(axis=1), np.float64).ravel()
    contexts = words**_CONTEXT_SMOOTHING
    contexts *= words.sum() / max(contexts.sum(), 1.0)
    total = max(words.sum(), 1.0)
    kept = np.zeros(len(words) + 1, np.int64)
    for start in range(0, len(words), _ROWS):
        bounds = counts.indptr[start : start + _ROWS + 1]
        part = slice(int(bounds[0]), int(bounds[-1]))
        row = np.repeat(np.arange(start, start + len(bounds) - 1), np.diff(bounds))
        column = counts.indices[part]
        expected = words[row] * contexts[column] / total
        information = np.log(counts.data[part] / expected).astype(np.float32)
        positive = information > 0
        place = slice(int(kept[start]), int(kept[start]) + int(positive.sum()))
        # Never beyond what was read: what is kept is a part of it.
        counts.indices[place] = column[positive]
        counts.data[place] = information[positive]
        of_row = np.bincount(row[positive] - start, minlength=len(bounds) - 1)
        kept[start + 1 : start + len(bounds)] = place.start + np.cumsum(of_row)
    end = int(kept[-1])
    indptr = kept.astype(counts.indptr.dtype)
    return sp.csr_matrix((counts.data[:end], counts.indices[:end], indptr), counts.shape)
