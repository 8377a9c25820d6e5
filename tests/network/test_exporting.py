"""The exported network against the Keras network that it was written from, and its file."""

import subprocess
import sys

import keras
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpipe.errors import RegistryError, TrainingError
from rnnpipe.networks.onnx_graph import require_exportable
from rnnpipe.networks.recurrent import fused
from rnnpipe.problems.classification.export import save_classifier
from rnnpipe.problems.classification.exported import ExportedNetwork
from rnnpipe.problems.classification.network import build_classifier
from rnnpipe.storage.files import sha256_file
from rnnpipe.text.batching import Padding
from rnnpipe.text.tokens import Ragged

VOCABULARY = 20
CELLS = ["simple_rnn", "lstm", "gru"]
SIDES = ["right", "left"]


@pytest.fixture(scope="session")
def build(params):
    def run(seed=1, classes=2, **changes):
        small = {"hidden_size": 4, "embedding_size": 3, "bigram_buckets": 64, **changes}
        model = build_classifier(params.train.model_copy(update=small), VOCABULARY, None, classes)
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
    save_classifier(model, folder / "network.onnx")
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
@pytest.mark.parametrize("pooling", ["last", "max", "mean", "max_mean"])
def test_an_exported_network_answers_like_keras(build, tmp_path, cell, pooling):
    for bidirectional, mask, side in [(True, True, "right"), (False, True, "left")]:
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
            "bigram_size": st.integers(0, 5),
            "mask": st.booleans(),
            "shortcut": st.booleans(),
            "padding_side": st.sampled_from(SIDES),
        }
    ),
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=6),
    behind=st.integers(0, 4),
    seed=st.integers(0, 99),
    classes=st.integers(2, 5),
)
def test_every_shape_of_network_and_batch(
    build, tmp_path_factory, shape, lengths, behind, seed, classes
):
    model = build(seed, classes, **shape)
    ids = batch(lengths, max(1, *lengths) + behind, shape["padding_side"], seed)
    network = exported(model, tmp_path_factory.mktemp("network"))
    assert network.classes == classes
    assert_equal(model, network, ids, shape["mask"])


@pytest.mark.parametrize("cell", CELLS)
def test_a_network_of_real_size_agrees_over_long_reviews(build, tmp_path, cell):
    model = build(cell=cell, hidden_size=128, embedding_size=128)
    ids = batch([400, 399, 17], 400, "right")
    assert_equal(model, exported(model, tmp_path), ids, mask=True)


def test_the_bytes_of_the_file_are_the_networks_own(build, tmp_path):
    def digest(name, seed):
        save_classifier(build(seed, bidirectional=True), tmp_path / name)
        return sha256_file(tmp_path / name)

    assert digest("one", 1) == digest("two", 1) != digest("three", 2)


@pytest.mark.parametrize(("classes", "output"), [(2, ("logit", 1)), (3, ("logits", 2))])
def test_the_file_is_a_plain_graph_with_a_named_input_and_output(build, tmp_path, classes, output):
    save_classifier(build(classes=classes), tmp_path / "network.onnx")
    graph = onnx.load(tmp_path / "network.onnx", load_external_data=False).graph
    assert {node.domain for node in graph.node} == {""}  # none but ONNX's own operators
    assert all(constant.data_location == 0 for constant in graph.initializer)  # no other file
    assert [(value.name, len(value.type.tensor_type.shape.dim)) for value in graph.input] == [
        ("token_ids", 2)
    ]
    assert [(value.name, len(value.type.tensor_type.shape.dim)) for value in graph.output] == [
        output
    ]


@pytest.mark.parametrize("classes", [2, 3, 100])
def test_a_network_belongs_to_as_many_names_as_it_has_classes(build, tmp_path, classes):
    network = exported(build(classes=classes), tmp_path)
    network.require_matching(VOCABULARY, Padding(400), classes)
    for others in (2, classes - 1, classes + 1):
        if others != classes:
            with pytest.raises(RegistryError, match=f"{classes} classes, the files beside it say"):
                network.require_matching(VOCABULARY, Padding(400), others)


def test_a_layer_without_a_rule_is_refused(tmp_path):
    inputs = keras.Input((None,), dtype="int32")
    model = keras.Model(inputs, keras.layers.Flatten()(inputs))
    with pytest.raises(TypeError, match="Flatten"):
        save_classifier(model, tmp_path / "network.onnx")
    assert not list(tmp_path.iterdir())


def test_weights_beyond_the_format_are_refused_with_what_to_lower(build, monkeypatch):
    network = build()
    require_exportable(network)
    monkeypatch.setattr("rnnpipe.networks.onnx_graph._MOST_BYTES", 100)
    with pytest.raises(TrainingError, match=r"sequences\.vocabulary_size"):
        require_exportable(network)


@pytest.mark.parametrize("content", [b"", b"no network", None])
def test_a_broken_file_is_refused(tmp_path, content):
    path = tmp_path / "network.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RegistryError, match="network.onnx"):
        ExportedNetwork(path)


@pytest.mark.parametrize(("mask", "classes"), [(True, 2), (False, 2), (True, 3)])
@pytest.mark.parametrize("number", [0, 1, 100])
def test_sequences_are_answered_in_their_order_whatever_batch_they_ride_in(
    build, tmp_path, mask, classes, number
):
    network = exported(build(classes=classes, mask=mask), tmp_path)
    random = np.random.default_rng(number)
    lengths = random.integers(1, 15, number)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    sequences = Ragged(random.integers(1, VOCABULARY, offsets[-1]).astype(np.int32), offsets)
    padding = Padding(length=10, fixed=not mask)
    logits = network.predict_logits(sequences, padding)
    alone = [network.logits(padding.pad(sequences, np.array([row])))[0] for row in range(number)]
    assert logits.dtype == np.float32
    assert logits.shape == ((number,) if classes == 2 else (number, classes))
    expected = np.array(alone, np.float32).reshape(logits.shape)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-6)


def test_predicting_loads_nothing_heavy():
    code = (
        "import sys, rnnpipe.problems.classification.predict\n"
        "print({'tensorflow', 'keras', 'onnx', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert done.stdout == "set()\n"
