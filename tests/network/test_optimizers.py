"""The optimizers against Keras's own, dense and by rows."""

import numpy as np
import pytest

from rnnpipe.networks.backend import keras, tf
from rnnpipe.networks.optimizers import Optimizer

KERAS = {
    "adam": keras.optimizers.Adam,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": keras.optimizers.SGD,
}
RATE, STEPS = 0.05, 7


def start(seed, *shapes):
    random = np.random.default_rng(seed)
    return [tf.Variable(random.normal(size=shape), dtype=tf.float32) for shape in shapes]


def gradients_of(seed, step, *shapes):
    random = np.random.default_rng([seed, step])
    return [tf.constant(random.normal(size=shape), tf.float32) for shape in shapes]


@pytest.mark.parametrize("clip_norm", [None, 0.7])
@pytest.mark.parametrize("method", KERAS)
def test_steps_as_keras_does(method, clip_norm):
    shapes = ((5, 3), (4,))
    ours, theirs = start(1, *shapes), start(1, *shapes)
    optimizer = Optimizer(method, ours)
    optimizer.learning_rate.assign(RATE)
    reference = KERAS[method](RATE, global_clipnorm=clip_norm)
    reference.build(theirs)
    for step in range(STEPS):
        gradients = gradients_of(1, step, *shapes)
        norm = optimizer.step(gradients, clip_norm)
        assert float(norm) == pytest.approx(float(tf.linalg.global_norm(gradients)), rel=1e-6)
        reference.apply(gradients, theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", KERAS)
def test_rows_that_are_all_touched_move_as_the_whole(method):
    rows, width = 6, 3
    by_rows, whole = start(2, (rows, width)), start(2, (rows, width))
    sparse, dense = Optimizer(method, by_rows), Optimizer(method, whole)
    for optimizer in (sparse, dense):
        optimizer.learning_rate.assign(RATE)
    for step in range(STEPS):
        # Each row in several parts, in no order: a word stands in a batch more than once.
        order = np.random.default_rng(step).permutation(np.repeat(np.arange(rows), 3))
        (parts,) = gradients_of(3, step, (len(order), width))
        total = tf.math.unsorted_segment_sum(parts, order, rows)
        slices = tf.IndexedSlices(parts, tf.constant(order), (rows, width))
        norms = [sparse.step([slices], 1.0), dense.step([total], 1.0)]
        np.testing.assert_allclose(*norms, rtol=1e-6)
    np.testing.assert_allclose(by_rows[0], whole[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", KERAS)
def test_a_row_that_no_batch_touches_stays_with_all_its_state(method):
    (table,) = start(4, (5, 2))
    before = table.numpy()
    optimizer = Optimizer(method, [table])
    optimizer.learning_rate.assign(RATE)
    for step in range(STEPS):
        (parts,) = gradients_of(4, step, (2, 2))
        optimizer.step([tf.IndexedSlices(parts, tf.constant([1, 3]), (5, 2))], None)
    untouched = [0, 2, 4]
    np.testing.assert_array_equal(table.numpy()[untouched], before[untouched])
    assert not np.isclose(table.numpy()[[1, 3]], before[[1, 3]]).any()
    for slot in optimizer.variables[1:]:
        assert not slot.numpy()[untouched].any()
