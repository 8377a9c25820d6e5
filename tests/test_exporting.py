"""The exported network against the Keras network that it was written from, and its file."""


import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpipe.exporting import save_exported
from rnnpipe.inference import ExportedNetwork
from rnnpipe.models import build_classifier
from rnnpipe.recurrent import fused

VOCABULARY = 20
CELLS = ["simple_rnn", "lstm", "gru"]
SIDES = ["right", "left"]


@pytest.fixture(scope="session")
def build(params):
    def run(seed=1, **changes):
        small = {"hidden_size": 4, "embedding_size": 3, **changes}
        model = build_classifier(params.train.model_copy(update=small), VOCABULARY, None)
        random = np.random.default_rng(seed)
        for weight in model.trainable_variables:  # biases start at zero: fill everything
            weight.assign(random.normal(0, 1 / np.sqrt(weight.shape[-1]), weight.shape))
        return model

    return run


def batch(lengths, width, side, seed=1):
    """Token ids ``int32[n, width]``, padded on a side."""
    random = np.random.default_rng(seed)
    ids = np.zeros((len(lengths), width), np.int32)
    for row, length in zip(ids, lengths, strict=True):
        place = slice(0, length) if side == "right" else slice(width - length, width)
        row[place] = random.integers(1, VOCABULARY, length)
    return ids


def exported(model, folder):
    save_exported(model, folder / "network.onnx")
    return ExportedNetwork(folder / "network.onnx")


def assert_equal(model, network, ids, mask):
    expected = model(ids, training=False).numpy()
    found = network.logits(ids)
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    # Keras's own layers, behind the fused operation, read padding where there is nothing else.
    compared = ids.any(axis=1) | (fused.available() or not mask)
    np.testing.assert_allclose(found[compared], expected[compared], rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["last", "max", "mean", "max_mean"])
def test_an_exported_network_answers_like_keras(build, tmp_path, cell, bidirectional, pooling):
    for mask, side in [(True, "right"), (True, "left"), (False, "right"), (False, "left")]:
        model = build(
            cell=cell,
            bidirectional=bidirectional,
            pooling=pooling,
            mask=mask,
            padding_side=side,
            num_layers=2,
        )
        network = exported(model, tmp_path)
        for lengths, width in [([7, 0, 1, 3], 7), ([1], 1), ([0, 0], 5), ([4], 9)]:
            assert_equal(model, network, batch(lengths, width, side), mask)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.fixed_dictionaries(
        {
            "cell": st.sampled_from(CELLS),
            "bidirectional": st.booleans(),
            "pooling": st.sampled_from(["last", "max", "mean", "max_mean"]),
            "num_layers": st.integers(1, 3),
            "hidden_size": st.integers(1, 9),
            "embedding_size": st.integers(1, 9),
            "mask": st.booleans(),
            "padding_side": st.sampled_from(SIDES),
        }
    ),
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=6),
    behind=st.integers(0, 4),
    seed=st.integers(0, 99),
)
def test_every_shape_of_network_and_batch(build, tmp_path_factory, shape, lengths, behind, seed):
    model = build(seed, **shape)
    ids = batch(lengths, max(1, *lengths) + behind, shape["padding_side"], seed)
    network = exported(model, tmp_path_factory.mktemp("network"))
    assert_equal(model, network, ids, shape["mask"])


@pytest.mark.parametrize("cell", CELLS)
def test_a_network_of_real_size_agrees_over_long_reviews(build, tmp_path, cell):
    model = build(cell=cell, hidden_size=128, embedding_size=128)
    ids = batch([400, 399, 17], 400, "right")
    assert_equal(model, exported(model, tmp_path), ids, mask=True)
