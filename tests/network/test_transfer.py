"""A classifier that starts from a language model: the same states, or a plain refusal."""

import numpy as np
import pytest
from language import CELLS, VOCABULARY, VOCABULARY_SIZE
from networks import small_language_model

from rnnpipe.errors import RegistryError, TrainingError
from rnnpipe.networks.backend import keras
from rnnpipe.networks.transfer import Start, start_from
from rnnpipe.problems.classification.network import build_classifier
from rnnpipe.text.vocabulary import Vocabulary


@pytest.fixture
def classifier(params):
    def run(classes=2, **changes):
        shape = {"hidden_size": 4, "embedding_size": 3, "bigram_buckets": 64, **changes}
        return build_classifier(
            params.train.model_copy(update=shape), VOCABULARY_SIZE, None, classes
        )

    return run


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bigram_size", [0, 5])
def test_every_state_is_the_language_models(
    classifier, tmp_path, cell, num_layers, bidirectional, bigram_size
):
    language_model = small_language_model(cell=cell, num_layers=2)
    network = classifier(
        cell=cell, num_layers=num_layers, bidirectional=bidirectional, bigram_size=bigram_size
    )
    Start.of(language_model).save(tmp_path / "start.npz")
    start_from(network, Start.load(tmp_path / "start.npz"), VOCABULARY)
    text = np.array([[5, 6, 7, 5]], np.int32)
    states = keras.Model(network.input, network.get_layer(f"recurrent_{num_layers}").output)(text)
    lengths = np.array([4], np.int32)
    for direction in range(1 + bidirectional):
        values = language_model.embedding(text[:, :: -1 if direction else 1])
        for layer in language_model.stacks[direction][:num_layers]:
            values = layer(values, lengths)
        expected = values[0, :: -1 if direction else 1]
        found = states[0, :, 4 * direction : 4 * (direction + 1)]
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_of_more_classes_the_start_is_the_same(classifier):
    start, networks = Start.of(small_language_model()), [classifier(), classifier(classes=3)]
    for network in networks:
        start_from(network, start, VOCABULARY)
    below = [[np.array(weight) for weight in network.weights[:-2]] for network in networks]
    for two, three in zip(*below, strict=True):
        np.testing.assert_array_equal(two, three)


def test_what_differs_is_named_all_of_it(classifier):
    language_model = small_language_model(bidirectional=False)
    network = classifier(cell="gru", hidden_size=5, embedding_size=2, num_layers=2)
    with pytest.raises(TrainingError) as caught:
        start_from(network, Start.of(language_model), VOCABULARY)
    for part in (
        "embedding_size is 2 in the classifier, 3",
        "cell is gru in the classifier, lstm",
        "hidden_size is 5 in the classifier, 4",
        "num_layers is 2 in the classifier, only 1",
        "reads forward alone",
    ):
        assert part in str(caught.value)


def test_another_vocabulary_is_refused_before_anything_is_copied(classifier):
    network = classifier()
    before = network.get_layer("embedding").words.embeddings.numpy()
    other = Vocabulary((*VOCABULARY.words[:-1], "other"))
    with pytest.raises(RegistryError, match="do not belong together"):
        start_from(network, Start.of(small_language_model()), other)
    np.testing.assert_array_equal(network.get_layer("embedding").words.embeddings, before)


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_file_that_is_no_start_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "start.npz").write_bytes(content)
    with pytest.raises(RegistryError, match="is no language model to start from"):
        Start.load(tmp_path / "start.npz")
