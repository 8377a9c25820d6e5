import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics as reference

from rnnpipe.evaluation import (
    CLASSIFICATION_METRICS,
    bootstrap,
    calibration_error,
    curves,
    flatten,
)

ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.01, 0.2, 0.4, 0.5, 0.6, 0.75, 0.99])),
    min_size=2,
    max_size=40,
)


def arrays(rows):
    labels, probabilities = zip(*rows, strict=True)
    return np.array(labels, np.int8), np.array(probabilities)


def expected(labels, probabilities, weights):
    called = probabilities > 0.5
    given_weights = {"sample_weight": weights}
    return {
        "accuracy": reference.accuracy_score(labels, called, **given_weights),
        "precision": reference.precision_score(labels, called, zero_division=0, **given_weights),
        "recall": reference.recall_score(labels, called, zero_division=0, **given_weights),
        "f1": reference.f1_score(labels, called, zero_division=0, **given_weights),
        "auc_roc": reference.roc_auc_score(labels, probabilities, **given_weights),
        "loss": reference.log_loss(labels, probabilities, **given_weights),
    }


@given(ROWS, st.integers(0, 1000))
def test_metrics_agree_with_scikit_learn_on_weighted_rows(rows, seed):
    labels, probabilities = arrays(rows)
    assume(0 < labels.sum() < len(labels))
    weights = np.random.default_rng(seed).integers(1, 4, len(labels)).astype(float)
    for name, value in expected(labels, probabilities, weights).items():
        assert CLASSIFICATION_METRICS[name](labels, probabilities, weights) == pytest.approx(value)


@given(ROWS)
def test_an_interval_holds_its_figure_and_repeats(rows):
    labels, probabilities = arrays(rows)
    options = {"samples": 100, "confidence": 0.95, "seed": 1}
    one = bootstrap(CLASSIFICATION_METRICS, labels, probabilities, **options)
    assert one == bootstrap(CLASSIFICATION_METRICS, labels, probabilities, **options)
    accuracy = one["accuracy"]
    assert 0 <= accuracy.low <= accuracy.high <= 1


def test_the_interval_of_accuracy_covers_as_the_binomial_does():
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 2000).astype(np.int8)
    right = random.random(2000) < 0.8
    probabilities = np.where((labels == 1) == right, 0.9, 0.1)
    interval = bootstrap(
        CLASSIFICATION_METRICS, labels, probabilities, samples=2000, confidence=0.95, seed=1
    )["accuracy"]
    error = 1.96 * np.sqrt(0.8 * 0.2 / 2000)
    assert interval.high - interval.low == pytest.approx(2 * error, rel=0.1)


def test_no_rows_are_an_error_not_a_figure():
    with pytest.raises(ValueError, match="no rows"):
        bootstrap(
            CLASSIFICATION_METRICS,
            np.empty(0, np.int8),
            np.empty(0),
            samples=100,
            confidence=0.95,
            seed=1,
        )


def test_figures_lie_flat():
    labels, probabilities = np.array([0, 1], np.int8), np.array([0.2, 0.9])
    intervals = bootstrap(
        CLASSIFICATION_METRICS, labels, probabilities, samples=100, confidence=0.95, seed=1
    )
    flat = flatten(intervals, 2)
    assert flat["n"] == 2
    assert set(flat) == {"n"} | {
        name + end for name in CLASSIFICATION_METRICS for end in ("", "_low", "_high")
    }


@given(ROWS)
def test_each_picture_gets_its_table(rows):
    labels, probabilities = arrays(rows)
    assume(0 < labels.sum() < len(labels))
    lengths = np.arange(len(labels), dtype=np.int32) + 1
    tables = curves(labels, probabilities, lengths, ("neg", "pos"))
    assert len(tables["confusion"]) == len(labels)
    assert tables["calibration"]["n"].sum() == len(labels)
    assert tables["accuracy_by_length"]["n"].sum() == len(labels)
    for end in (0, -1):
        assert tables["roc"].iloc[end].tolist() == [-end, -end]
    assert 0 <= calibration_error(tables["calibration"]) <= 1
