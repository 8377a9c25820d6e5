"""The fused recurrent layer against Keras's plain one: outputs, final states, all gradients."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpipe.networks.backend import keras, tf
from rnnpipe.networks.recurrent import Recurrent, fused

CELLS = {
    "simple_rnn": keras.layers.SimpleRNN,
    "lstm": keras.layers.LSTM,
    "gru": keras.layers.GRU,
}
TOLERANCE = {"float32": 1e-5, "mixed_bfloat16": 2e-2}

pytestmark = [
    pytest.mark.skipif(not fused.available(), reason="no C compiler, or a GPU, here"),
]


def draw(cell, batch, time, width, hidden_size, seed):
    """A plain layer with weights that leave no unit saturated, and a batch for it."""
    random = np.random.default_rng(seed)
    plain = CELLS[cell](hidden_size, return_sequences=True, return_state=True)
    plain.build((batch, time, width))
    for weight in plain.weights:
        scale = 0.5 / np.sqrt(weight.shape[0]) if weight.path.endswith("kernel") else 0.2
        weight.assign(random.normal(0, scale, weight.shape))
    lengths = random.integers(0, time + 1, batch)
    if batch:
        lengths[random.integers(batch)] = time
    states = 2 if cell == "lstm" else 1
    return SimpleNamespace(
        plain=plain,
        inputs=tf.constant(random.normal(size=(batch, time, width)), tf.float32),
        lengths=tf.constant(lengths, tf.int32),
        initial=tf.constant(random.normal(0, 0.3, (batch, states * hidden_size)), tf.float32),
        # What the loss makes of each output: zero behind the end.
        slope=tf.constant(random.normal(size=(batch, time, hidden_size)), tf.float32)
        * tf.sequence_mask(lengths, time, tf.float32)[:, :, None],
        final_slope=tf.constant(random.normal(size=(batch, states * hidden_size)), tf.float32),
    )


def with_gradients(run, case):
    weights = [tf.identity(weight) for weight in case.plain.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch([case.inputs, case.initial, *weights])
        outputs, final = run(case, weights)
        outputs *= tf.sequence_mask(case.lengths, outputs.shape[1], tf.float32)[:, :, None]
        loss = tf.reduce_sum(outputs * case.slope) + tf.reduce_sum(final * case.final_slope)
    gradients = tape.gradient(loss, [case.inputs, case.initial, *weights])
    return [outputs, final, *gradients]


def plainly(case, weights, reverse):
    """Keras's cell step by step, a masked step leaving the state: no shortcut of any backend."""
    cell = case.plain.cell
    originals = cell.trainable_variables
    inputs = tf.reverse_sequence(case.inputs, case.lengths, seq_axis=1) if reverse else case.inputs
    states = tf.split(case.initial, case.initial.shape[1] // cell.units, axis=1)
    scope = keras.StatelessScope(
        state_mapping=[
            (variable, value) for variable, value in zip(originals, weights, strict=True)
        ]
    )
    outputs = []
    with scope:
        for t in range(inputs.shape[1]):
            output, new = cell(inputs[:, t], states)
            alive = (t < case.lengths)[:, None]
            states = [tf.where(alive, a, b) for a, b in zip(new, states, strict=True)]
            outputs.append(tf.where(alive, output, 0.0))
    outputs = tf.stack(outputs, axis=1)
    if reverse:
        outputs = tf.reverse_sequence(outputs, case.lengths, seq_axis=1)
    return outputs, tf.concat(states, axis=1)


def distance(found, expected):
    """The difference's norm as a share of the expected norm, or of that of values of 0.1.

    The terms of a sum may cancel: then their rounding is not small beside what is left.
    """
    found, expected = np.asarray(found), np.asarray(expected)
    least = 0.1 * np.sqrt(expected.size)
    return float(np.linalg.norm(found - expected) / max(np.linalg.norm(expected), least))


def assert_equals_plainly(cell, case, reverse, precision):
    def fast(case, weights):
        return fused.recurrent(
            cell,
            case.inputs,
            case.lengths,
            weights,
            case.initial,
            reverse=reverse,
            precision=precision,
        )

    found = with_gradients(fast, case)
    expected = with_gradients(lambda case, weights: plainly(case, weights, reverse), case)
    names = ("outputs", "final", "inputs", "initial", "kernel", "recurrent_kernel", "bias")
    for name, a, b in zip(names, found, expected, strict=True):
        assert distance(a, b) < TOLERANCE[precision], name
    assert not np.any(
        found[0].numpy()[~np.asarray(tf.sequence_mask(case.lengths, case.inputs.shape[1]))]
    )


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=8, deadline=None)
@given(
    sizes=st.tuples(*(st.integers(1, most) for most in (40, 12, 40, 70))),
    seed=st.integers(0, 2**31),
)
def test_equals_the_plain_layer_forward_and_backward(cell, reverse, precision, sizes, seed):
    if precision == "mixed_bfloat16":
        # The error of a handful of terms is the rounding of the largest: no mean to speak of.
        sizes = tuple(max(size, least) for size, least in zip(sizes, (4, 3, 16, 16), strict=True))
    assert_equals_plainly(cell, draw(cell, *sizes, seed), reverse, precision)


@pytest.mark.parametrize("cell", CELLS)
def test_a_batch_of_more_slabs_than_partial_gradients(cell):
    assert_equals_plainly(cell, draw(cell, 300, 3, 9, 10, 1), False, "float32")


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("sizes", [(0, 5, 3, 4), (3, 0, 3, 4)])
def test_nothing_gives_nothing(cell, sizes):
    case = draw(cell, *sizes, 1)
    outputs, *gradients = with_gradients(
        lambda case, weights: fused.recurrent(
            cell, case.inputs, case.lengths, weights, case.initial
        ),
        case,
    )
    assert outputs.shape == (*sizes[:2], 4)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("precision", TOLERANCE)
def test_equals_the_keras_layer_at_the_size_of_the_benchmark(cell, precision):
    case = draw(cell, 64, 50, 128, 128, 1)

    def keras_layer(case, weights):
        mapping = list(zip(case.plain.trainable_variables, weights, strict=True))
        states = tf.split(case.initial, 2 if cell == "lstm" else 1, axis=1)
        with keras.StatelessScope(state_mapping=mapping):
            outputs, *final = case.plain(
                case.inputs, initial_state=states, mask=tf.sequence_mask(case.lengths, 50)
            )
        return outputs, tf.concat(final, axis=1)

    found = with_gradients(
        lambda case, weights: fused.recurrent(
            cell, case.inputs, case.lengths, weights, case.initial, precision=precision
        ),
        case,
    )
    expected = with_gradients(keras_layer, case)
    for a, b in zip(found, expected, strict=True):
        assert distance(a, b) < TOLERANCE[precision]


@pytest.mark.parametrize("cell", CELLS)
def test_a_row_depends_on_no_other_row(cell):
    case = draw(cell, 37, 9, 20, 24, 3)
    weights = case.plain.trainable_variables
    whole, _ = fused.recurrent(cell, case.inputs, case.lengths, weights, case.initial)
    for row in (0, 17, 36):
        alone, _ = fused.recurrent(
            cell,
            case.inputs[row : row + 1],
            case.lengths[row : row + 1],
            weights,
            case.initial[row : row + 1],
        )
        np.testing.assert_array_equal(alone[0], whole[row])


def test_gives_the_same_bytes_on_any_number_of_cores():
    code = (
        "import os, sys, hashlib; cores = int(sys.argv[1])\n"
        "os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])\n"
        "sys.path[:0] = ['tests', 'tests/network']\n"
        "from test_recurrent import *\n"
        "case = draw('lstm', 70, 30, 24, 40, 5)\n"
        "run = lambda case, weights: fused.recurrent('lstm', case.inputs, case.lengths, weights,"
        " case.initial)\n"
        "for _ in range(2):\n"
        "    made = b''.join(tf.convert_to_tensor(a).numpy().tobytes()"
        " for a in with_gradients(run, case)[1:])\n"
        "    print(hashlib.sha256(made).hexdigest())"
    )

    def hashes_on(count):
        command = [sys.executable, "-c", code, str(count)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core here")
    found = hashes_on(1) + hashes_on(2)  # twice on two: nor does it vary there
    assert len(found) == 4
    assert len(set(found)) == 1


@pytest.mark.parametrize("lengths", [[-1, 3], [3, 6]])
def test_refuses_lengths_beyond_the_steps(lengths):
    case = draw("gru", 2, 5, 4, 4, 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="length"):
        fused.recurrent(
            "gru", case.inputs, tf.constant(lengths), case.plain.trainable_variables, case.initial
        )


def test_refuses_weights_of_another_cell():
    case = draw("gru", 2, 5, 4, 4, 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="shapes"):
        fused.recurrent("lstm", case.inputs, case.lengths, case.plain.trainable_variables)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_layer_computes_alike_without_the_operation(cell, bidirectional, monkeypatch):
    case = draw(cell, 6, 7, 5, 8, 2)
    layer = Recurrent(cell, 8, bidirectional, "float32")
    fast = layer(case.inputs, case.lengths)
    monkeypatch.setattr(fused, "available", lambda: False)
    slow = layer(case.inputs, case.lengths)
    real = np.asarray(tf.sequence_mask(case.lengths, 7))
    np.testing.assert_allclose(np.asarray(fast)[real], np.asarray(slow)[real], atol=1e-6)


def test_judging_is_float32_whatever_the_training(monkeypatch):
    case = draw("lstm", 6, 7, 5, 8, 2)
    layers = [Recurrent("lstm", 8, False, precision) for precision in TOLERANCE]
    for layer in layers:
        layer.build(case.inputs.shape, case.lengths.shape)
    layers[1].set_weights(layers[0].get_weights())
    judged = [np.asarray(layer(case.inputs, case.lengths, training=False)) for layer in layers]
    np.testing.assert_array_equal(*judged)
    if fused.bfloat16_available():
        trained = np.asarray(layers[1](case.inputs, case.lengths, training=True))
        assert 0 < distance(trained, judged[0]) < TOLERANCE["mixed_bfloat16"]


@pytest.mark.parametrize("fused_runs", [True, False])
@pytest.mark.parametrize("cell", CELLS)
def test_a_scan_cut_in_two_goes_on_where_it_stood(cell, fused_runs, monkeypatch):
    if not fused_runs:
        monkeypatch.setattr(fused, "available", lambda: False)
    layer = Recurrent(cell, 5, False, "float32")
    inputs = tf.constant(np.random.default_rng(3).normal(size=(3, 7, 4)), tf.float32)
    lengths = tf.constant([7, 5, 2], tf.int32)  # one ends behind the cut, one before it
    layer.build(inputs.shape, lengths.shape)
    whole, final = layer.scan(inputs, lengths)
    first, carried = layer.scan(inputs[:, :4], tf.minimum(lengths, 4))
    second, ended = layer.scan(inputs[:, 4:], tf.maximum(lengths - 4, 0), carried)
    real = np.arange(7) < lengths.numpy()[:, None]
    np.testing.assert_allclose(np.concatenate([first, second], 1)[real], whole[real], atol=1e-6)
    np.testing.assert_allclose(ended[0], final[0], atol=1e-6)


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_a_step_is_a_scan_of_one_step_whatever_is_shared(cell):
    layer = Recurrent(cell, 4, False, "float32")
    layer.build((None, None, 3), (None,))
    random = np.random.default_rng(1)
    for weight in layer.trainable_variables:
        weight.assign(random.normal(0, 1, weight.shape))
    inputs = random.normal(size=(5, 3)).astype(np.float32)
    states = random.normal(size=(2, 1, 8 if cell == "lstm" else 4)).astype(np.float32)
    hidden, final = layer.step(inputs, states)
    rows = [np.broadcast_to(part, (2, 5, part.shape[-1])) for part in (inputs, states)]
    given, begin = (part.reshape(10, -1) for part in rows)
    expected, (expected_final,) = layer.scan(given[:, None], np.ones(10, np.int32), [begin])
    np.testing.assert_allclose(hidden.numpy().reshape(10, -1), expected[:, 0], atol=1e-6)
    np.testing.assert_allclose(final.numpy().reshape(10, -1), expected_final, atol=1e-6)
