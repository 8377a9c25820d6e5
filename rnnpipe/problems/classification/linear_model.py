"""The linear model that every figure of ours is shown beside, and whose judgements teach ours.

Logistic regression on the words and word pairs of a review, each weighted by how differently the
two labels use it (NB-SVM: Wang & Manning 2012), fitted by averaged stochastic gradient descent
(Bottou 2010) over features that wait on disk. Seconds of work, and on IMDB better than most
recurrent networks in tutorials.

Of more than two classes each is told from all others by a model of its own, with weights of its
own for the features (one against the rest), one after the other: what is in memory does not grow
with the number of classes.
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
from scipy.special import expit, log_expit, softmax
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import normalize

from rnnpipe.errors import TrainingError
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
        weights: ``float64[models, features]``, of the known n-grams in their order; they stay on
            disk. One model for two classes, of label 1; else one a class.
        biases: ``float64[models]``, added to every logit.
        max_ngram: longest run of words that is one feature.
    """

    known: NDArray[np.bool_]
    weights: NDArray[np.float64]
    biases: NDArray[np.float64]
    max_ngram: int

    def predict(self, sequences: Ragged, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Judge some sequences.

        Returns:
            Of two classes the probability of label 1, ``float64[n]``; of K > 2 that of each,
            ``float64[n, K]``, which sum to 1.
        """
        logits = np.empty((len(rows), len(self.biases)))
        chunks = _ngrams_in_chunks(sequences, rows, self.max_ngram)
        for number, ngrams in enumerate(chunks):
            features = _unit(ngrams[:, self.known])
            of_chunk = logits[number * CHUNK :][: features.shape[0]]
            for model, bias in enumerate(self.biases):
                of_chunk[:, model] = features @ self.weights[model] + bias
        if len(self.biases) == 1:
            return np.asarray(expit(logits[:, 0]), np.float64)
        # Each model's probability as a share of their sum.
        return np.asarray(softmax(log_expit(logits), axis=1), np.float64)


def fit_baseline(
    sequences: Ragged,
    rows: NDArray[np.int64],
    labels: NDArray[np.int8],
    params: Baseline,
    scratch: Path,
    classes: int = 2,
) -> LinearModel:
    """Fit the linear model.

    Args:
        sequences: token ids of all reviews; they may stay on disk.
        rows: ``int64[n]``, which of them to learn from.
        labels: ``int8[n]`` of these, from 0 to ``classes - 1``.
        params: features and regularisation.
        scratch: a folder for the features, four bytes each, while the model is fitted, and for
            the weights while it is used; they lie in files without a name, of which nothing is
            left.
        classes: how many there are.

    Raises:
        TrainingError: no n-gram is frequent enough to learn from.
    """
    # Each chunk is to hold both labels, and rows often come sorted by them.
    order = np.random.default_rng(0).permutation(len(rows))
    rows, labels = rows[order], labels[order]
    documents = np.zeros(2**_HASH_BITS, np.int32)  # that hold an n-gram
    for ngrams in _ngrams_in_chunks(sequences, rows, params.max_ngram):
        documents += np.bincount(ngrams.indices, minlength=len(documents))
    known = documents >= params.min_documents
    documents = documents[known]
    if not len(documents):
        raise TrainingError(
            f"no word stands in {params.min_documents} reviews of train, expected some that do:"
            " lower baseline.min_documents, or give more reviews"
        )

    told = [1] if classes == 2 else range(classes)  # from the rest, by a model each
    biases = np.empty(len(told))
    with (
        tempfile.TemporaryFile(dir=scratch) as file,
        tempfile.TemporaryFile(dir=scratch) as weights_file,
    ):
        lengths = []  # of each chunk, the number of known n-grams in its rows
        for ngrams in _ngrams_in_chunks(sequences, rows, params.max_ngram):
            chosen = ngrams[:, known]
            file.write(chosen.indices.astype(np.int32).data)
            lengths.append(np.diff(chosen.indptr))
        features = _Features(file, lengths)
        for model, label in enumerate(track(told, "fitting the linear model", "classes")):
            weights, biases[model] = _told_from_the_rest(
                features, labels == label, documents, params
            )
            weights_file.write(weights.data)
        # What is mapped stays there when its file is closed.
        shape = (len(told), len(documents))
        mapped = np.memmap(weights_file, np.float64, "r", shape=shape)
    return LinearModel(known, mapped, biases, params.max_ngram)


@dataclass(frozen=True)
class _Features:
    """The known n-grams of all rows, on disk, and how many each row of each chunk has."""

    file: IO[bytes]
    lengths: list[NDArray[np.int32]]

    def chunks(self) -> Iterator[tuple[slice, NDArray[np.int32], NDArray[np.int32]]]:
        """Read them once: which rows, their n-grams end to end, and how many each has."""
        self.file.seek(0)
        row = 0
        for lengths in self.lengths:
            size = int(lengths.sum()) * np.dtype(np.int32).itemsize
            ngrams = np.frombuffer(self.file.read(size), np.int32)
            yield slice(row, row + len(lengths)), ngrams, lengths
            row += len(lengths)


def _told_from_the_rest(
    features: _Features,
    is_label: NDArray[np.bool_],
    documents: NDArray[np.int32],
    params: Baseline,
) -> tuple[NDArray[np.float64], float]:
    """Fit the model that tells one label from all others.

    Args:
        features: of all rows.
        is_label: ``bool[n]``, which of the rows have the label.
        documents: ``int32[features]``, how many rows hold an n-gram.
        params: features and regularisation.

    Returns:
        ``float64[features]``, what each n-gram adds to the logit, and what is added to all.
    """
    shares = np.ones((2, len(documents)))  # of the others, of the label
    for rows, ngrams, lengths in features.chunks():
        of_label = ngrams[np.repeat(is_label[rows], lengths)]
        shares[1] += np.bincount(of_label, minlength=len(documents))
    shares[0] += documents - (shares[1] - 1)
    shares /= shares.sum(axis=1, keepdims=True)
    ratios = np.log(shares[1] / shares[0])
    del shares

    regression = SGDClassifier(
        loss="log_loss",
        alpha=1 / (params.inverse_regularization * max(1, len(is_label))),
        average=True,
        random_state=0,
    )
    passes = max(_PASSES, math.ceil(_STEPS / max(1, len(is_label))))
    for _ in track(range(passes), "fitting the linear model", "passes"):
        for rows, ngrams, lengths in features.chunks():
            weighted = _weighted(ngrams, lengths, ratios)
            regression.partial_fit(weighted, is_label[rows].astype(np.int8), classes=[0, 1])
    return regression.coef_[0] * ratios, float(regression.intercept_[0])


def _weighted(
    ngrams: NDArray[np.int32], lengths: NDArray[np.int32], ratios: NDArray[np.float64]
) -> sparse.csr_matrix:
    """Scale rows of n-grams, of these lengths, to length 1, and then weight each n-gram."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
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
