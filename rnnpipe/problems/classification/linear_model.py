"""The linear model that every figure of ours is shown beside, and whose judgements teach ours.

Logistic regression on the words and word pairs of a review, each weighted by how differently the
two labels use it (NB-SVM: Wang & Manning 2012), fitted by averaged stochastic gradient descent
(Bottou 2010) over features that wait on disk. Seconds of work, and on IMDB better than most
recurrent networks in tutorials.
"""

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import normalize

from rnnpipe.problems.classification.params import Baseline
from rnnpipe.runtime.progress import track
from rnnpipe.text.tokens import CHUNK, Ragged

_HASH_BITS = 22  # IMDB has 1.4 million distinct words and pairs; a collision does little harm
_PASSES = 10  # over the reviews; on IMDB the accuracy on validation stands still after three
_STEPS = 200_000  # at the least: few reviews need more passes
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 by the golden ratio: Knuth, TAOCP 6.4


@dataclass(frozen=True)
class LinearModel:
    """A linear model over hashed n-grams.

    Attributes:
        known: ``bool[buckets]``, the n-grams that were frequent enough to learn from.
        weights: ``float64[buckets]``, zero where not known.
        bias: added to every logit.
        max_ngram: longest run of words that is one feature.
    """

    known: NDArray[np.bool_]
    weights: NDArray[np.float64]
    bias: float
    max_ngram: int

    def predict(self, sequences: Ragged, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the probability of label 1 for each of some sequences, ``float64[n]``."""
        weights = self.weights[self.known]
        logits = [
            _unit(ngrams[:, self.known]) @ weights + self.bias
            for ngrams in _ngrams_in_chunks(sequences, rows, self.max_ngram)
        ]
        return np.asarray(expit(np.concatenate([np.empty(0), *logits])), np.float64)


def fit_baseline(
    sequences: Ragged,
    rows: NDArray[np.int64],
    labels: NDArray[np.int8],
    params: Baseline,
    scratch: Path,
) -> LinearModel:
    """Fit the linear model.

    Args:
        sequences: token ids of all reviews; they may stay on disk.
        rows: ``int64[n]``, which of them to learn from.
        labels: ``int8[n]``, 0 or 1, of these.
        params: features and regularisation.
        scratch: a folder for the features, four bytes each, while the model is fitted; they lie
            in a file without a name, of which nothing is left.
    """
    # Each chunk is to hold both labels, and rows often come sorted by them.
    order = np.random.default_rng(0).permutation(len(rows))
    rows, labels = rows[order], labels[order]
    documents = np.zeros((2, 2**_HASH_BITS), np.int32)  # of each label that hold an n-gram
    for number, ngrams in enumerate(_ngrams_in_chunks(sequences, rows, params.max_ngram)):
        of_chunk = labels[number * CHUNK :][: ngrams.shape[0]]
        for label in (0, 1):
            documents[label] += np.bincount(
                ngrams[of_chunk == label].indices, minlength=documents.shape[1]
            )
    known = documents.sum(axis=0) >= params.min_documents
    shares = 1.0 + documents[:, known]
    shares /= shares.sum(axis=1, keepdims=True)
    ratios = np.log(shares[1] / shares[0])
    del documents, shares

    regression = SGDClassifier(
        loss="log_loss",
        alpha=1 / (params.inverse_regularization * max(1, len(rows))),
        average=True,
        random_state=0,
    )
    with tempfile.TemporaryFile(dir=scratch) as file:
        lengths = []  # of each chunk, the number of known n-grams in its rows
        for ngrams in _ngrams_in_chunks(sequences, rows, params.max_ngram):
            chosen = ngrams[:, known]
            file.write(chosen.indices.astype(np.int32).data)
            lengths.append(np.diff(chosen.indptr))
        passes = max(_PASSES, math.ceil(_STEPS / max(1, len(rows))))
        for _ in track(range(passes), "fitting the linear model", "passes"):
            file.seek(0)
            for number, of_rows in enumerate(lengths):
                features = _weighted(file, of_rows, ratios)
                of_chunk = labels[number * CHUNK :][: len(of_rows)]
                regression.partial_fit(features, of_chunk, classes=[0, 1])
    weights = np.zeros(len(known))
    weights[known] = regression.coef_[0] * ratios
    return LinearModel(known, weights, float(regression.intercept_[0]), params.max_ngram)


def _weighted(
    file: IO[bytes], lengths: NDArray[np.int32], ratios: NDArray[np.float64]
) -> sparse.csr_matrix:
    """Read the next rows of n-grams, of these lengths, scaled to length 1 and then weighted."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    ngrams = np.frombuffer(file.read(int(offsets[-1]) * np.dtype(np.int32).itemsize), np.int32)
    values = ratios[ngrams] * np.repeat(1 / np.sqrt(np.maximum(lengths, 1)), lengths)
    return sparse.csr_matrix((values, ngrams, offsets), (len(lengths), len(ratios)))


def _ngrams_in_chunks(
    sequences: Ragged, rows: NDArray[np.int64], longest: int
) -> Iterator[sparse.csr_array]:
    """Return which n-grams each sequence holds, ``float32[chunk, buckets]`` of ones and zeros."""
    for start in track(range(0, len(rows), CHUNK), "counting runs of words", "chunks"):
        yield _ngrams(sequences.take(rows[start : start + CHUNK]), longest)


def _ngrams(sequences: Ragged, longest: int) -> sparse.csr_array:
    rows = np.repeat(np.arange(len(sequences)), sequences.lengths)
    words = sequences.values.astype(np.uint64) + np.uint64(1)
    hashes = np.zeros(len(words), np.uint64)
    pairs = []  # (row, bucket) of every n-gram
    for length in range(1, longest + 1):
        # At each place the hash of the n-gram that begins there; unsigned products wrap around.
        last = max(0, len(words) - length + 1)
        hashes = (hashes[:last] + words[length - 1 :]) * _MULTIPLIER
        whole = rows[:last] == rows[length - 1 :]  # does not run into the next sequence
        pairs.append((rows[:last][whole], hashes[whole] >> np.uint64(64 - _HASH_BITS)))
    # scikit-learn reads indices of 32 bits alone, and the rows' type decides that of all of them.
    row = np.concatenate([row for row, _ in pairs]).astype(np.int32)
    bucket = np.concatenate([bucket for _, bucket in pairs]).astype(np.int32)
    ngrams = sparse.csr_array(
        (np.ones(len(row), np.float32), (row, bucket)), shape=(len(sequences), 2**_HASH_BITS)
    )
    ngrams.sum_duplicates()
    ngrams.data[:] = 1
    return ngrams


def _unit(features: sparse.csr_array) -> sparse.csr_array:
    """Scale each row to length 1, so that long reviews do not weigh more."""
    return normalize(features, copy=False)
