import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from rnnpipe import baseline
from rnnpipe.baseline import fit_baseline
from rnnpipe.params import Baseline
from rnnpipe.tokens import Ragged

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


def examples(n: int, seed: int) -> tuple[Ragged, np.ndarray]:
    """Texts of chance words whose label is that of the pair (3, 4) or (4, 3) somewhere in it."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n).astype(np.int8)
    lines = random.integers(5, 30, (n, 10))
    for line, label in zip(lines, labels, strict=True):
        place = random.integers(0, 9)
        line[place : place + 2] = (3, 4) if label else (4, 3)
    return ragged(lines.tolist()), labels


def test_word_pairs_are_learnt_from_the_named_rows_alone():
    sequences, labels = examples(400, seed=1)
    rows = np.arange(0, 400, 2)
    model = fit_baseline(sequences, rows, labels[rows], Baseline())
    others = np.arange(1, 400, 2)
    assert np.mean((model.predict(sequences, others) > 0.5) == labels[others]) > 0.99
    single = fit_baseline(sequences, rows, labels[rows], Baseline(max_ngram=1))
    assert np.mean((single.predict(sequences, others) > 0.5) == labels[others]) < 0.7
    # What stands in no named row changes nothing.
    changed = Ragged(sequences.values.copy(), sequences.offsets)
    for row in others:
        changed.values[sequences.offsets[row] : sequences.offsets[row + 1]] = 7
    again = fit_baseline(changed, rows, labels[rows], Baseline())
    np.testing.assert_array_equal(model.weights, again.weights)


def test_a_prediction_does_not_depend_on_its_company():
    sequences, labels = examples(200, seed=2)
    rows = np.arange(200)
    model = fit_baseline(sequences, rows, labels, Baseline())
    together = model.predict(sequences, rows)
    alone = [model.predict(sequences, np.array([row]))[0] for row in rows[:20]]
    np.testing.assert_allclose(together[:20], alone, rtol=1e-6)
    assert model.predict(sequences, rows[:0]).shape == (0,)
    assert ((together > 0) & (together < 1)).all()
