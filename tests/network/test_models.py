"""The networks against a NumPy re-derivation from the cells' equations, and their files."""

import zipfile
from functools import partial

import keras
import numpy as np
import pytest
from networks import BATCH, CELLS, STEPS, VOCABULARY, first_states, pool, small_network

from rnnpipe.errors import RegistryError
from rnnpipe.networks.saving import load_network, save_network
from rnnpipe.problems.classification.network import build_classifier
from rnnpipe.storage.files import sha256_file


@pytest.fixture
def build(params):
    return partial(small_network, params)


def run(cell, x, weights):
    """All hidden states, ``[time, hidden]``."""
    states, outputs = first_states(cell, weights[1].shape[0]), []
    for step in x:
        states = STEPS[cell](step, states, *weights)
        outputs.append(states[0])
    return np.array(outputs)


def expected_logits(model, ids, cell, layers, bidirectional, pooling):
    flat = [np.array(weight) for weight in model.trainable_variables]
    words, pairs = flat.pop(0), flat.pop(0)
    before = np.insert(ids[:-1], 0, 0).astype(np.int64)
    x = vectors = np.hstack([words[ids], pairs[(before * 1_000_003 + ids) % len(pairs)]]).astype(
        np.float64
    )
    for _ in range(layers):
        states = run(cell, x, [flat.pop(0) for _ in range(3)])
        if bidirectional:
            backward = run(cell, x[::-1], [flat.pop(0) for _ in range(3)])[::-1]
            states = np.concatenate([states, backward], axis=1)
        x = states
    kernel, bias = flat
    pooled = np.concatenate([pool(x, pooling, bidirectional), vectors.mean(axis=0)])
    return pooled @ kernel + bias


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["last", "max", "mean", "max_mean"])
def test_a_network_computes_what_its_equations_say(build, cell, bidirectional, pooling):
    model = build(cell=cell, bidirectional=bidirectional, pooling=pooling, num_layers=2)
    logits = model(BATCH, training=False).numpy()
    for row, logit in zip(BATCH, logits, strict=True):
        ids = row[row > 0]
        expected = expected_logits(model, ids, cell, 2, bidirectional, pooling)
        assert logit == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("classes", [3, 5])
def test_of_more_than_two_classes_each_has_a_logit(build, tmp_path, classes):
    model = build(classes, cell="gru", bidirectional=True, pooling="max_mean")
    logits = model(BATCH, training=False).numpy()
    expected = [expected_logits(model, row[row > 0], "gru", 1, True, "max_mean") for row in BATCH]
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    save_network(model, tmp_path / "network.keras")
    np.testing.assert_array_equal(load_network(tmp_path / "network.keras")(BATCH), logits)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("pooling", ["last", "max_mean"])
def test_a_prediction_does_not_depend_on_width_batch_or_side(build, cell, pooling):
    shape = {"cell": cell, "pooling": pooling, "bidirectional": True}
    model = build(**shape)
    together = model(BATCH, training=False).numpy()
    wide = np.pad(BATCH, ((0, 0), (0, 9)))
    np.testing.assert_allclose(model(wide, training=False), together, atol=1e-6)
    for row in range(len(BATCH)):
        alone = BATCH[row : row + 1, BATCH[row] > 0]
        np.testing.assert_allclose(model(alone, training=False), together[row : row + 1], atol=1e-6)
    left = build(**shape, padding_side="left")
    np.testing.assert_allclose(
        left(np.array([row[np.argsort(row > 0, kind="stable")] for row in wide]), training=False),
        together,
        atol=1e-6,
    )


def test_without_a_mask_the_padding_is_read(build):
    model = build(mask=False)
    wide = np.pad(BATCH, ((0, 0), (0, 9)))
    assert np.abs(model(wide, training=False) - model(BATCH, training=False)).max() > 1e-3


def test_a_batch_of_nothing_but_padding_gets_an_answer(build):
    assert np.isfinite(build()(np.zeros((2, 3), np.int32), training=False)).all()


def test_word_vectors_start_the_embedding_and_may_be_narrowed(params):
    vectors = np.random.default_rng(1).normal(size=(VOCABULARY, 8)).astype(np.float32)
    train = params.train.model_copy(update={"embedding_size": 5, "hidden_size": 4})
    model = build_classifier(train, VOCABULARY, vectors)
    np.testing.assert_array_equal(model.get_layer("embedding").words.embeddings, vectors[:, :5])


def test_the_same_seed_gives_the_same_weights(params):
    def weights(seed):
        train = params.train.model_copy(update={"seed": seed, "hidden_size": 4})
        return b"".join(
            np.array(weight).tobytes()
            for weight in build_classifier(train, VOCABULARY, None).weights
        )

    assert weights(1) == weights(1) != weights(2)


@pytest.mark.parametrize("cell", CELLS)
def test_a_saved_network_comes_back_and_its_bytes_are_its_own(build, tmp_path, cell):
    hashes = set()
    for name in ("one", "two"):
        model = build(cell=cell, bidirectional=True)
        save_network(model, tmp_path / name / "network.keras")
        hashes.add(sha256_file(tmp_path / name / "network.keras"))
    assert len(hashes) == 1
    loaded = load_network(tmp_path / "one" / "network.keras")
    np.testing.assert_array_equal(loaded(BATCH), model(BATCH))


def test_a_network_with_code_in_it_is_refused(tmp_path):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2, output_shape=(2,))(inputs))
    model.save(tmp_path / "network.keras")
    with pytest.raises(RegistryError, match="network.keras"):
        load_network(tmp_path / "network.keras")


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_a_broken_network_is_refused(tmp_path, content):
    path = tmp_path / "network.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RegistryError, match="network.keras"):
        load_network(path)


def test_a_network_without_its_weights_is_refused(build, tmp_path):
    save_network(build(), tmp_path / "network.keras")
    with (
        zipfile.ZipFile(tmp_path / "network.keras") as whole,
        zipfile.ZipFile(tmp_path / "cut.keras", "w") as cut,
    ):
        cut.writestr("config.json", whole.read("config.json"))
    with pytest.raises(RegistryError, match="cut.keras"):
        load_network(tmp_path / "cut.keras")
