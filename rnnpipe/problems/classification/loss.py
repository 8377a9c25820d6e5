"""The loss of the classifier: cross entropy, in nats a text."""

import numpy as np
from numpy.typing import NDArray

from rnnpipe.networks.backend import tf


def cross_entropy(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the mean loss of a batch, ``float32[]``.

    Args:
        targets: ``float32[batch]``, the probability of label 1.
        logits: ``float32[batch]``, the network's log-odds of label 1.
    """
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits))


def count_correct(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Count the right answers, ``int32[]``, where a target is 0 or 1 and no teacher's guess."""
    known = tf.logical_or(tf.equal(targets, 0.0), tf.equal(targets, 1.0))
    right = tf.logical_and(known, tf.equal(logits > 0, targets > 0.5))
    return tf.reduce_sum(tf.cast(right, tf.int32))


def mean_loss(logits: NDArray[np.float32], labels: NDArray[np.int8]) -> float:
    """Return the mean loss of a whole split, summed in double precision.

    Args:
        logits: ``float32[n]``, the network's log-odds of label 1.
        labels: ``int8[n]``, 0 or 1.
    """
    signed = np.where(labels == 1, logits, -logits).astype(np.float64)
    return float(np.mean(np.logaddexp(0, -signed)))
