"""The loss of the classifier: cross entropy, in nats a text.

Of two classes a target is the probability of label 1 and an answer its log-odds; of K > 2 a target
is the probability of each class and an answer K logits, of which softmax makes probabilities.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from rnnpipe.networks.backend import tf


def cross_entropy(
    targets: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor | None = None
) -> tf.Tensor:
    """Return the mean loss of a batch, ``float32[]``.

    Args:
        targets: ``float32[batch]``, or ``float32[batch, K]``.
        logits: of the same shape.
        weights: ``float32[batch]``, what each row's loss is multiplied by before the mean over the
            rows is taken; None: 1. The mean of a batch divided among processes is then that of
            their shares, each by its number of rows, whatever their weights.
    """
    if len(logits.shape) == 1:
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)
    else:
        losses = tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=logits)
    return tf.reduce_mean(losses if weights is None else weights * losses)


def count_correct(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Count the right answers, ``int32[]``, where a target is a label and no teacher's guess."""
    known = tf.logical_or(tf.equal(targets, 0.0), tf.equal(targets, 1.0))
    if len(logits.shape) == 1:
        answers = tf.equal(logits > 0, targets > 0.5)
    else:
        known = tf.reduce_all(known, axis=1)
        answers = tf.equal(tf.argmax(logits, axis=1), tf.argmax(targets, axis=1))
    right = tf.logical_and(known, answers)
    return tf.reduce_sum(tf.cast(right, tf.int32))


def count_known(targets: NDArray[np.float32]) -> int:
    """Count the targets that are a label, as :func:`count_correct` tells them."""
    known = np.isin(targets, (0, 1))
    return int((known if known.ndim == 1 else known.all(axis=1)).sum())


def mean_loss(
    logits: NDArray[np.float32],
    labels: NDArray[np.int8],
    class_weights: NDArray[np.float64] | None = None,
) -> float:
    """Return the mean loss of a whole split, in double precision.

    Args:
        logits: ``float32[n]``, or ``float32[n, K]``.
        labels: ``int8[n]``, from 0 to K - 1.
        class_weights: ``float64[K]``, what a row of each class counts in the mean; None: alike.
    """
    if logits.ndim == 1:
        signed = np.where(labels == 1, logits, -logits).astype(np.float64)
        losses = np.logaddexp(0, -signed)
    else:
        exact = logits.astype(np.float64)
        losses = logsumexp(exact, axis=1) - exact[np.arange(len(exact)), labels]
    weights = None if class_weights is None else class_weights[labels]
    return float(np.average(losses, weights=weights))


def balanced_weights(labels: NDArray[np.int8], classes: int) -> NDArray[np.float64]:
    """Return what a row of each class is to count so that all classes count alike.

    The mean over the rows is 1. A class of no row is taken for one of a single row.

    >>> balanced_weights(np.array([0, 0, 0, 1], np.int8), 2)
    array([0.66666667, 2.        ])
    """
    counts = np.bincount(labels, minlength=classes)
    return np.asarray(len(labels) / (classes * np.maximum(counts, 1)), np.float64)


def weigh(
    targets: NDArray[np.float32], class_weights: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Let each class's part in a target count by the weight of the class.

    The weighted loss of a target p and an answer q is ``-sum_k w_k p_k log q_k``: cross entropy
    with the target ``w p / sum_k w_k p_k``, times that sum. A label stays as it is and is given
    its class's weight. A teacher, who learnt from the same uneven labels, expects them to be as
    uneven wherever it is unsure; its target becomes what it would say of classes that are evenly
    frequent. Left alone, a great many of such targets would take back what the weights of the few
    labels give.

    Args:
        targets: ``float32[n]``, or ``float32[n, K]``.
        class_weights: ``float64[K]``.

    Returns:
        Targets of the same shape, and ``float32[n]``, the weight of each.
    """
    if targets.ndim == 1:
        one = class_weights[1] * targets.astype(np.float64)
        weights = class_weights[0] * (1 - targets.astype(np.float64)) + one
        return (one / weights).astype(np.float32), weights.astype(np.float32)
    parts = class_weights * targets
    weights = parts.sum(axis=1)
    return (parts / weights[:, None]).astype(np.float32), weights.astype(np.float32)
