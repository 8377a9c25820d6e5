import errno
import tracemalloc

import numpy as np
import pyarrow.parquet as pq
import pytest
from corpus import write_corpus
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from rnnpipe.errors import TrainingError
from rnnpipe.problems.classification import linear_model as baseline
from rnnpipe.problems.classification.baseline import fit_and_predict
from rnnpipe.problems.classification.linear_model import fit_baseline
from rnnpipe.problems.classification.params import Baseline, ClassificationParams
from rnnpipe.text.tokens import Ragged

LINES = st.lists(st.lists(st.integers(1, 9), min_size=0, max_size=12), min_size=1, max_size=8)


def ragged(lines) -> Ragged:
    offsets = np.cumsum([0, *map(len, lines)], dtype=np.int64)
    return Ragged(np.array([i for line in lines for i in line], np.int32), offsets)


@given(LINES, st.integers(1, 3))
@settings(deadline=None)
def test_a_row_holds_the_ngrams_of_its_sequence_alone(lines, longest):
    counter = CountVectorizer(
        ngram_range=(1, longest), analyzer="word", token_pattern=r"\d+", binary=True
    )
    texts = [" ".join(map(str, line)) for line in lines]
    expected = counter.fit_transform([*texts, "1"]).toarray()[:-1]
    found = baseline._ngrams(ragged(lines), longest)
    assert set(found.data.tolist()) <= {1.0}
    np.testing.assert_array_equal(
        found.sum(axis=1),
        expected.sum(axis=1),
        err_msg="two n-grams share a bucket, or one is lost",
    )
    # Equal n-grams share a bucket wherever they stand: the same overlap between any two rows.
    np.testing.assert_array_equal((found @ found.T).toarray(), expected @ expected.T)


PAIRS = ((4, 3), (3, 4), (3, 3))


def examples(n: int, seed: int, classes: int = 2) -> tuple[Ragged, np.ndarray]:
    """Texts of chance words whose label is that of a pair of words somewhere in it."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n).astype(np.int8)
    lines = random.integers(5, 30, (n, 10))
    for line, label in zip(lines, labels, strict=True):
        place = random.integers(0, 9)
        line[place : place + 2] = PAIRS[label]
    return ragged(lines.tolist()), labels


def test_word_pairs_are_learnt_from_the_named_rows_alone(tmp_path):
    sequences, labels = examples(400, seed=1)
    rows = np.arange(0, 400, 2)
    model = fit_baseline(sequences, rows, labels[rows], Baseline(), tmp_path)
    others = np.arange(1, 400, 2)
    assert np.mean((model.predict(sequences, others) > 0.5) == labels[others]) > 0.99
    single = fit_baseline(sequences, rows, labels[rows], Baseline(max_ngram=1), tmp_path)
    assert np.mean((single.predict(sequences, others) > 0.5) == labels[others]) < 0.7
    # What stands in no named row changes nothing.
    changed = Ragged(sequences.values.copy(), sequences.offsets)
    for row in others:
        changed.values[sequences.offsets[row] : sequences.offsets[row + 1]] = 7
    again = fit_baseline(changed, rows, labels[rows], Baseline(), tmp_path)
    np.testing.assert_array_equal(model.weights, again.weights)


def test_a_prediction_does_not_depend_on_its_company(tmp_path):
    sequences, labels = examples(200, seed=2)
    rows = np.arange(200)
    model = fit_baseline(sequences, rows, labels, Baseline(), tmp_path)
    together = model.predict(sequences, rows)
    alone = [model.predict(sequences, np.array([row]))[0] for row in rows[:20]]
    np.testing.assert_allclose(together[:20], alone, rtol=1e-6)
    assert model.predict(sequences, rows[:0]).shape == (0,)
    assert ((together > 0) & (together < 1)).all()


def test_the_model_is_that_of_all_features_in_memory(tmp_path, monkeypatch):
    """Set aside some rows at a time, it comes near the optimum that liblinear finds."""
    sequences, labels = examples(400, seed=3)
    rows = np.arange(400)
    monkeypatch.setattr(baseline, "CHUNK", 150)
    params = Baseline(inverse_regularization=1.0)
    model = fit_baseline(sequences, rows, labels, params, tmp_path)
    assert not list(tmp_path.iterdir())
    features = baseline._unit(baseline._ngrams(sequences, 2)[:, model.known])
    shares = np.array(
        [1.0 + features[labels == label].astype(bool).sum(axis=0) for label in (0, 1)]
    )
    shares /= shares.sum(axis=1, keepdims=True)
    features = features @ sparse.diags_array(np.log(shares[1] / shares[0]))
    exact = LogisticRegression(C=1.0, solver="liblinear").fit(features, labels)
    expected = exact.predict_proba(features)[:, 1]
    np.testing.assert_allclose(model.predict(sequences, rows), expected, atol=0.02)


def test_words_that_are_all_too_rare_are_named_with_what_to_lower(tmp_path):
    sequences, labels = examples(30, seed=7)
    with pytest.raises(TrainingError, match=r"no word stands in 31 reviews.*min_documents"):
        fit_baseline(sequences, np.arange(30), labels, Baseline(min_documents=31), tmp_path)


def test_a_failure_half_way_leaves_nothing_behind(tmp_path, monkeypatch):
    sequences, labels = examples(100, seed=4)

    def fail(*_args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(baseline, "_weighted", fail)
    with pytest.raises(OSError, match="Input/output"):
        fit_baseline(sequences, np.arange(100), labels, Baseline(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_each_of_three_classes_is_told_from_the_rest(tmp_path, monkeypatch):
    sequences, labels = examples(300, seed=5, classes=3)
    rows, others = np.arange(0, 300, 2), np.arange(1, 300, 2)
    monkeypatch.setattr(baseline, "CHUNK", 80)  # two chunks, the last one smaller
    monkeypatch.setattr(baseline, "_STEPS", 6_000)
    model = fit_baseline(sequences, rows, labels[rows], Baseline(), tmp_path, classes=3)
    assert not list(tmp_path.iterdir())
    found = model.predict(sequences, others)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    largest = np.bincount(labels[others]).max() / len(others)
    assert np.mean(found.argmax(axis=1) == labels[others]) > 0.95 > largest
    assert model.predict(sequences, others[:0]).shape == (0, 3)
    # As three models of two classes say, each by itself.
    single = [
        fit_baseline(sequences, rows, (labels[rows] == label).astype(np.int8), Baseline(), tmp_path)
        for label in range(3)
    ]
    told = np.stack([one.predict(sequences, others) for one in single], axis=1)
    np.testing.assert_allclose(found, told / told.sum(axis=1, keepdims=True))


def test_memory_does_not_grow_with_the_number_of_classes(tmp_path, monkeypatch):
    sequences, _ = examples(60, seed=6)
    monkeypatch.setattr(baseline, "_STEPS", 1)
    monkeypatch.setattr(baseline, "_PASSES", 1)

    def peak(classes):
        labels = (np.arange(60) % classes).astype(np.int8)
        tracemalloc.start()
        try:
            model = fit_baseline(
                sequences, np.arange(60), labels, Baseline(), tmp_path, classes=classes
            )
            assert model.predict(sequences, np.arange(60)).shape[1:] == (classes,)[classes == 2 :]
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(20) < 1.05 * peak(2)


def test_a_table_of_three_classes_has_a_probability_for_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(baseline, "_STEPS", 10_000)
    reviews = write_corpus(tmp_path, ["bad", "fair", "good"])
    rows = pq.read_table("data/sequences/index.parquet")
    # It is written as it is read, a group at a time; the first ones are of train alone.
    pq.write_table(rows, "data/sequences/index.parquet", row_group_size=50)
    report = fit_and_predict(ClassificationParams())
    assert pq.ParquetFile("data/baseline.parquet").num_row_groups > 1
    table = pq.read_table("data/baseline.parquet").to_pandas()
    index = rows.select(["id", "split"]).to_pandas()
    judged = index[index["split"] != "train"]
    assert table[["id", "split"]].to_numpy().tolist() == judged.to_numpy().tolist()
    columns = ["probability_0", "probability_1", "probability_2"]
    assert table.columns.tolist() == ["id", "split", *columns]
    assert set(table["split"]) == {"validation", "test", "unlabelled"}
    np.testing.assert_allclose(table[columns].sum(axis=1), 1)
    judged = table[table["split"] == "validation"]
    right = judged[columns].to_numpy().argmax(axis=1) == reviews["label"].loc[judged["id"]]
    assert report["validation_accuracy"] == round(right.mean(), 6)
    largest = reviews["label"].loc[judged["id"]].value_counts(normalize=True).max()
    assert right.mean() > 0.9 > largest
