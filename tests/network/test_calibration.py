"""How sure a classifier may be, by the number of words: fitted on validation."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import VOCABULARY, small_network

from rnnpipe.metrics.classification import by_class, called, probabilities_of
from rnnpipe.networks.saving import load_network, save_network
from rnnpipe.problems.classification.calibrate import calibrate, calibrated
from rnnpipe.problems.classification.classes import with_classes
from rnnpipe.problems.classification.export import save_classifier
from rnnpipe.problems.classification.exported import ExportedNetwork
from rnnpipe.problems.classification.pieces import FEWEST, cut, halves
from rnnpipe.problems.classification.temperature import Answers, Temperature, fit_temperature
from rnnpipe.text.batching import Padding
from rnnpipe.text.tokens import FIRST_WORD_ID, Ragged
from rnnpipe.text.vocabulary import Vocabulary

WORDS = tuple(f"word{number}" for number in range(VOCABULARY - FIRST_WORD_ID))
TEMPERATURES = st.builds(
    Temperature,
    level=st.floats(-5, 2),
    slopes=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    shortest=st.integers(1, 5),
    longest=st.integers(5, 40),
)
NONE = Answers(np.empty(0, np.float32), np.empty(0, np.int8), np.empty(0, np.int64))


def labels_called(logits):
    return called(probabilities_of(logits))


def drawn(seed, classes, n=4000, slopes=(0.3, 0.3)):
    """Answers of a network whose temperature is known."""
    random = np.random.default_rng(seed)
    words = random.integers(1, 400, n)
    logits = random.normal(0, 3, n if classes == 2 else (n, classes)).astype(np.float32)
    true = by_class(probabilities_of(Temperature(-1.5, slopes, 1, 400).apply(logits, words)))
    labels = (true.cumsum(axis=1) < random.random((n, 1))).sum(axis=1).astype(np.int8)
    return Answers(logits, labels, words)


def fitted(answers):
    classes = 2 if answers.logits.ndim == 1 else answers.logits.shape[1]
    return fit_temperature(answers, answers, np.ones(classes))


@pytest.mark.parametrize(("classes", "slopes"), [(2, (0.25, 0.35)), (4, (0.3, 0.3))])
def test_the_temperature_that_texts_were_drawn_by_is_found(classes, slopes):
    found = fitted(drawn(1, classes, 12_000, slopes))
    assert found.level == pytest.approx(-1.5, abs=0.2)
    assert found.slopes == pytest.approx(slopes, abs=0.05)
    assert (found.slopes[0] == found.slopes[1]) == (classes > 2)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.sampled_from([2, 3, 5]), st.integers(1, 60))
def test_a_temperature_keeps_every_answer_and_grows_with_the_words(seed, classes, n):
    answers = drawn(seed, classes, n)
    found = fitted(answers)
    scaled = found.apply(answers.logits, answers.words)
    np.testing.assert_array_equal(labels_called(scaled), labels_called(answers.logits))
    for one in (1.0, -1.0):
        logits = np.full(500, one) if classes == 2 else np.full((500, classes), one)
        sure = np.abs(found.apply(logits, np.arange(500))).reshape(500, -1)[:, 0]
        assert sure[0] > 0
        assert np.isfinite(sure).all()
        assert (np.diff(sure) >= 0).all()
    if classes == 2:  # of texts of one length what was likelier stays so
        told = found.apply(answers.logits, np.full(n, 100))
        np.testing.assert_array_equal(np.argsort(told), np.argsort(answers.logits))


@settings(max_examples=25)
@given(st.integers(FEWEST, 5000), st.floats(0.1, 20))
def test_texts_that_are_all_answered_rightly_make_nobody_sure_of_everything(n, size):
    labels = (np.arange(n) % 2).astype(np.int8)
    logits = np.where(labels == 1, size, -size).astype(np.float32)
    words = np.full(n, 100)
    found = fitted(Answers(logits, labels, words))
    surest = probabilities_of(found.apply(logits, words)).max()
    assert 0.5 < surest <= 1 - 1 / (n + 3)


def test_texts_that_have_no_sentences_are_enough():
    answers = drawn(3, 2)
    assert fit_temperature(answers, NONE, np.ones(2)) == fitted(answers)


@settings(max_examples=6)
@given(
    temperature=TEMPERATURES,
    classes=st.integers(2, 4),
    mask=st.booleans(),
    side=st.sampled_from(["right", "left"]),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    seed=st.integers(0, 99),
)
def test_keras_and_onnx_answer_alike_whatever_batch_a_text_comes_in(
    params, tmp_path_factory, temperature, classes, mask, side, lengths, seed
):
    folder = tmp_path_factory.mktemp("network")
    plain = small_network(params, classes, mask=mask, padding_side=side)
    network = calibrated(plain, temperature)
    assert [id(weight) for weight in network.weights] == [id(weight) for weight in plain.weights]
    save_classifier(network, folder / "network.onnx")
    save_network(network, folder / "network.keras")
    exported = ExportedNetwork(folder / "network.onnx")
    exported.require_matching(VOCABULARY, Padding(12), classes)

    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.random.default_rng(seed).integers(1, VOCABULARY, offsets[-1]).astype(np.int32)
    sequences = Ragged(values, offsets)
    padding = Padding(12, side, fixed=not mask)
    rows = np.arange(len(lengths))
    ids = padding.pad(sequences, rows)
    before, expected = plain(ids).numpy(), network(ids).numpy()
    np.testing.assert_allclose(exported.logits(ids), expected, rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(load_network(folder / "network.keras")(ids).numpy(), expected)
    told = temperature.apply(before, np.array(lengths))
    np.testing.assert_allclose(expected, told, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(labels_called(expected), labels_called(before))
    alone = [exported.logits(padding.pad(sequences, rows[[row]]))[0] for row in rows]
    np.testing.assert_allclose(exported.predict_logits(sequences, padding), alone, atol=1e-5)


# --- From a project's files ---------------------------------------------------------------------


def write_project(folder, texts, films, labels, classes=("neg", "pos")):
    """Texts of validation, with one of train beside them, as the stages before train leave them."""
    (folder / "data/sequences").mkdir(parents=True)
    n = len(texts)
    ids = [f"row/{number}" for number in range(n + 1)]
    columns = {
        "id": ids,
        "split": ["train", *["validation"] * n],
        "label": pa.array([0, *labels], pa.int8()),
        "film": pa.array([None, *films], pa.string()),
    }
    vocabulary = Vocabulary(WORDS)
    vocabulary.save(folder / "data/sequences/vocabulary.json")
    encoded = vocabulary.encode_texts(["word1", *texts])
    np.save(folder / "data/sequences/token_ids.npy", encoded.values)
    np.save(folder / "data/sequences/offsets.npy", encoded.offsets)
    for name, more in (("sequences/index", {}), ("reviews", {"text": ["word1", *texts]})):
        table = pa.table(columns | more)
        table = table.replace_schema_metadata(with_classes(table.schema, classes).metadata)
        pq.write_table(table, folder / f"data/{name}.parquet")


def sentence(random):
    return " ".join(random.choice(WORDS, random.integers(1, 9))).capitalize() + "."


def texts_of(random, n):
    # A sentence of no known word, which nothing can be said about, stands in each.
    return [
        " ".join([*(sentence(random) for _ in range(random.integers(1, 6))), "Unheard of!"])
        for _ in range(n)
    ]


@settings(max_examples=15)
@given(seed=st.integers(0, 999), n=st.integers(2, 400), films=st.integers(1, 60))
def test_the_halves_share_no_film(tmp_path_factory, seed, n, films):
    folder = tmp_path_factory.mktemp("project")
    random = np.random.default_rng(seed)
    film = [f"f{number}" if number else None for number in random.integers(0, films, n)]
    write_project(folder, ["word1"] * n, film, random.integers(0, 2, n))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        rows, first = halves()
        patch.setattr("rnnpipe.problems.classification.pieces._MOST_REVIEWS", n // 2 + 1)
        fewer, _ = halves()
    assert rows.tolist() == list(range(n))
    assert len(fewer) == n // 2 + 1
    if first is None:
        assert n < 4 * FEWEST or films < 20
        return
    assert min(first.sum(), (~first).sum()) >= FEWEST
    one, other = ({film[row] for row in np.flatnonzero(side)} for side in (first, ~first))
    assert not one & other - {None}


def test_what_is_fitted_is_measured_on_other_films_and_of_few_texts_nothing_is(
    params, tmp_path, monkeypatch
):
    random = np.random.default_rng(1)
    texts = texts_of(random, 400)
    network = small_network(params)
    padding = Padding.of(params.train)
    ids = padding.pad(Vocabulary(WORDS).encode_texts(texts), np.arange(len(texts)))
    true = probabilities_of(network(ids).numpy() / 4)
    labels = (random.random(len(texts)) < true).astype(np.int8)
    films = [f"f{number // 2}" for number in range(len(texts))]
    found = {}
    for number in (400, 2 * FEWEST - 2):
        folder = tmp_path / str(number)
        write_project(folder, texts[:number], films[:number], labels[:number])
        monkeypatch.chdir(folder)
        found[number] = calibrate(params, network)
    (whole, report), (small, unfitted) = found.values()
    before = report["calibration"]["before"]
    assert 0 <= report["ece"] < before["ece"] <= 1
    assert report["sentences"]["n"] == before["sentences"]["n"] > 400
    assert report["sentences"]["ece"] < before["sentences"]["ece"]
    assert np.abs(whole(ids)).mean() < np.abs(network(ids)).mean()
    assert json.dumps(report)
    assert small is network
    assert unfitted["calibration"] is None
    assert set(unfitted) == set(report)


def test_sentences_belong_to_their_review_and_hold_a_known_word(tmp_path, monkeypatch):
    random = np.random.default_rng(2)
    texts = texts_of(random, 30)
    labels = random.integers(0, 2, 30).astype(np.int8)
    write_project(tmp_path, texts, [None] * 30, labels)
    monkeypatch.chdir(tmp_path)
    rows = np.array([3, 7, 20])
    pieces = cut(rows)
    np.testing.assert_array_equal(pieces.labels, labels[rows])
    numbers = [texts[row].count(".") for row in rows]
    np.testing.assert_array_equal(pieces.review, np.repeat(np.arange(3), numbers))
    for place in range(3):
        told = [pieces.sentences[row] for row in np.flatnonzero(pieces.review == place)]
        np.testing.assert_array_equal(np.concatenate(told), pieces.reviews[place][:-2])
