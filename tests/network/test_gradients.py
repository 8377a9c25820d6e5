"""The gradient at every state against finite differences, and against BPTT derived by hand."""

from functools import partial

import keras
import numpy as np
import pytest
from networks import BATCH, CELLS, STEPS, VOCABULARY, first_states, pool, small_network
from scipy.special import expit

from rnnpipe.networks import gradients
from rnnpipe.networks.gradients import GradientFlow, flow_table, measure_gradient_flow, summarize

LABELS = np.array([1, 0, 1], np.int8)


@pytest.fixture
def build(params):
    # The shortcut goes past the states, and a pair's vector past a word's.
    return partial(small_network, params, bidirectional=False, bigram_size=0, shortcut=False)


def loss(model, ids, label, shape, added=None):
    """The loss of one review in float64; ``added`` names a state and what is added to it."""
    flat = [np.array(weight, np.float64) for weight in model.trainable_variables]
    x = flat.pop(0)[ids]
    for layer in range(1, shape["num_layers"] + 1):
        sides = []
        for direction in ("forward", "backward")[: 2 if shape["bidirectional"] else 1]:
            weights = [flat.pop(0) for _ in range(3)]
            states = first_states(shape["cell"], shape["hidden_size"])
            outputs = []
            for t, word in enumerate(x if direction == "forward" else x[::-1]):
                states = STEPS[shape["cell"]](word, states, *weights)
                for number in range(len(states)):
                    if added and added[0] == (layer, direction, number, t):
                        states[number] = states[number] + added[1]
                outputs.append(states[0])
            sides.append(np.array(outputs if direction == "forward" else outputs[::-1]))
        x = np.concatenate(sides, axis=1)
    kernel, bias = flat
    logits = pool(x, shape["pooling"], shape["bidirectional"]) @ kernel + bias
    if len(logits) > 1:
        return np.logaddexp.reduce(logits) - logits[label]
    return np.logaddexp(0, -logits[0] if label else logits[0])


@pytest.mark.parametrize(
    ("cell", "bidirectional", "pooling", "classes"),
    [
        *((cell, False, "max_mean", 2) for cell in CELLS),
        ("lstm", True, "last", 2),  # two states, two sides
        ("gru", False, "mean", 3),
    ],
)
def test_a_gradient_is_what_finite_differences_say(build, cell, bidirectional, pooling, classes):
    shape = {
        "cell": cell,
        "bidirectional": bidirectional,
        "pooling": pooling,
        "num_layers": 2,
        "hidden_size": 4,
    }
    model = build(classes=classes, **shape)
    labels = LABELS * (classes - 1)
    flows = measure_gradient_flow(model, BATCH, labels)
    assert len(flows) == 2 * (1 + bidirectional) * (1 + (cell == "lstm"))
    tiny = 1e-5
    for flow in flows:
        number = ("hidden", "carry").index(flow.state)
        for ids, label, norms in zip(BATCH, labels, flow.norms, strict=True):
            ids = ids[ids > 0]
            for t in range(len(ids)):
                place = (int(flow.layer[-1]), flow.direction, number, t)
                slopes = [
                    (
                        loss(model, ids, label, shape, (place, tiny * unit))
                        - loss(model, ids, label, shape, (place, -tiny * unit))
                    )
                    / (2 * tiny)
                    for unit in np.eye(shape["hidden_size"])
                ]
                expected = np.linalg.norm(slopes)
                assert norms[len(ids) - 1 - t] == pytest.approx(expected, rel=1e-4, abs=1e-8)
            assert np.isnan(norms[len(ids) :]).all()


def test_a_simple_network_gives_what_bptt_by_hand_does(build):
    model = build(cell="simple_rnn", pooling="last", bidirectional=False)
    table, kernel, recurrent, bias, head, head_bias = (
        np.array(weight, np.float64) for weight in model.trainable_variables
    )
    [flow] = measure_gradient_flow(model, BATCH, LABELS)
    for ids, label, norms in zip(BATCH, LABELS, flow.norms, strict=True):
        h, states = np.zeros(4), []
        for word in table[ids[ids > 0]]:
            h = np.tanh(word @ kernel + h @ recurrent + bias)
            states.append(h)
        # dL/dh_T = (p - y) w; dL/dh_{t-1} = U diag(1 - h_t^2) dL/dh_t (Pascanu et al. 2013, eq. 5).
        gradient = (expit(h @ head + head_bias) - label) * head[:, 0]
        for steps, h in enumerate(reversed(states)):
            assert norms[steps] == pytest.approx(np.linalg.norm(gradient), rel=1e-5)
            gradient = recurrent @ ((1 - h**2) * gradient)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_the_norm_is_a_power_of_what_one_step_does_to_it(build, scale):
    model = build(cell="simple_rnn", pooling="last", hidden_size=4)
    embedding, recurrent_layer = model.get_layer("embedding"), model.get_layer("recurrent_1")
    embedding.words.embeddings.assign(np.zeros((VOCABULARY, 3)))  # states stay 0: tanh is linear
    orthogonal, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 4)))
    recurrent_layer.forward.cell.recurrent_kernel.assign(scale * orthogonal)
    recurrent_layer.forward.cell.bias.assign(np.zeros(4))
    [flow] = measure_gradient_flow(model, np.full((1, 400), 5, np.int32), LABELS[:1])
    # 0.5 to the power of 399 is 1e-120: far below what float32 can hold.
    ratios = flow.norms[0] / flow.norms[0, 0]
    np.testing.assert_allclose(ratios, scale ** np.arange(400.0), rtol=1e-4)


@pytest.mark.parametrize("cell", ["lstm"])  # the step of a cell knows nothing of its row
def test_neither_width_nor_side_nor_company_changes_it(build, cell):
    def norms(ids, **changes):
        flows = measure_gradient_flow(
            build(cell=cell, bidirectional=True, bigram_size=2, shortcut=True, **changes),
            ids,
            LABELS,
        )
        return np.concatenate([flow.norms[:, :5] for flow in flows])

    expected = norms(BATCH)
    wide = np.pad(BATCH, ((0, 0), (0, 9)))
    left = np.array([row[np.argsort(row > 0, kind="stable")] for row in wide])
    np.testing.assert_allclose(norms(wide), expected, rtol=1e-6)
    np.testing.assert_allclose(norms(left, padding_side="left"), expected, rtol=1e-6)


def test_without_a_mask_the_padding_is_made_of_steps(build):
    [flow] = measure_gradient_flow(build(cell="gru", mask=False), BATCH, LABELS)
    assert not np.isnan(flow.norms).any()


def test_a_review_of_no_word_counts_as_one_step(build):
    [flow] = measure_gradient_flow(build(cell="gru"), np.zeros((1, 3), np.int32), LABELS[:1])
    assert np.isnan(flow.norms).tolist() == [[False, True, True]]


def test_many_reviews_come_back_in_their_order(build):
    model = build()
    rows = np.random.default_rng(3).integers(0, 3, 2 * gradients._BATCH + 1)
    for few, many in zip(
        measure_gradient_flow(model, BATCH, LABELS),
        measure_gradient_flow(model, BATCH[rows], LABELS[rows]),
        strict=True,
    ):
        np.testing.assert_allclose(many.norms, few.norms[rows], rtol=1e-6)


def test_a_layer_without_a_rule_is_refused():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.LayerNormalization()(inputs))
    with pytest.raises(TypeError, match="LayerNormalization"):
        measure_gradient_flow(model, BATCH[:, :2], LABELS)


def test_the_table_counts_the_reviews_that_reach_so_far():
    norms = np.array([[1.0, 2.0, np.nan, np.nan], [3.0, 4.0, 5.0, np.nan]])
    table = flow_table([GradientFlow("recurrent_1", "forward", "hidden", norms)])
    assert table["steps_before_end"].tolist() == [0, 1, 2]
    assert table["reviews"].tolist() == [2, 2, 1]
    assert table["median"].tolist() == [2.0, 3.0, 5.0]
    assert (table["low"] <= table["median"]).all()
    assert (table["median"] <= table["high"]).all()


def test_the_summary_compares_a_review_with_itself_and_leaves_out_what_is_not_there():
    norms = np.full((3, 200), np.nan)
    norms[0, :150] = 0.5 ** np.arange(150)
    norms[1:, :20] = 100.0  # short reviews, with other norms
    flows = [
        GradientFlow("recurrent_1", direction, state, norms)
        for direction in ("forward", "backward")
        for state in ("hidden", "carry")
    ]
    summary = summarize(flows)
    assert list(summary) == ["recurrent_1", "recurrent_1_backward"]
    assert summary["recurrent_1"] == {
        "norm_0": 100.0,
        "norm_100": pytest.approx(0.5**100, rel=1e-5),
        "ratio_100": pytest.approx(0.5**100, rel=1e-5),
    }
