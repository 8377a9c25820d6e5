from math import comb

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics as reference

from rnnpipe.metrics.calibration import calibration_error
from rnnpipe.metrics.classification import CLASSIFICATION_METRICS
from rnnpipe.metrics.curves import curves
from rnnpipe.metrics.interval import bootstrap, flatten
from rnnpipe.metrics.paired import mcnemar, paired_test
from rnnpipe.problems.classification.evaluate import against_largest_class
from rnnpipe.problems.classification.gates import gates_of
from rnnpipe.problems.classification.params import Register

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


@pytest.mark.parametrize(
    ("wins", "losses", "expected"),
    [(0, 0, 1.0), (1, 0, 1 / 2), (5, 1, 7 / 64), (1, 5, 63 / 64), (10, 2, 79 / 4096)],
)
def test_mcnemar_by_hand(wins, losses, expected):
    assert mcnemar(wins, losses, "greater") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("wins", "losses", "expected"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 1, 7 / 32), (1, 5, 7 / 32), (4, 4, 1.0), (10, 2, 79 / 2048)],
)
def test_mcnemar_in_both_directions_by_hand(wins, losses, expected):
    assert mcnemar(wins, losses) == pytest.approx(expected)


counts = st.integers(0, 300)


@given(wins=counts, losses=counts)
def test_mcnemar_both_ways_share_only_the_tie(wins, losses):
    there, back = mcnemar(wins, losses, "greater"), mcnemar(losses, wins, "greater")
    exactly = comb(wins + losses, wins) / 2 ** (wins + losses)
    assert there + back == pytest.approx(1 + exactly)
    assert (
        mcnemar(wins, losses)
        == mcnemar(losses, wins)
        == pytest.approx(min(1, 2 * min(there, back)))
    )


@given(wins=counts, losses=counts)
def test_mcnemar_falls_with_wins_and_rises_with_losses(wins, losses):
    p = mcnemar(wins, losses, "greater")
    assert mcnemar(wins + 1, losses, "greater") <= p + 1e-12
    assert mcnemar(wins, losses + 1, "greater") >= p - 1e-12


@given(ROWS, st.integers(0, 1000))
def test_two_models_are_compared_row_by_row(rows, seed):
    labels, ours = arrays(rows)
    theirs = np.random.default_rng(seed).permutation(ours)
    found = paired_test(labels, ours, theirs)
    right = [
        ((one > 0.5) == (label == 1), (other > 0.5) == (label == 1))
        for label, one, other in zip(labels, ours, theirs, strict=True)
    ]
    assert found.model_only_correct == right.count((True, False))
    assert found.baseline_only_correct == right.count((False, True))
    assert found.p_value == pytest.approx(
        mcnemar(found.model_only_correct, found.baseline_only_correct), rel=1e-3
    )


def test_a_tiny_p_value_is_kept():
    found = paired_test(np.ones(1000, np.int8), np.full(1000, 0.9), np.full(1000, 0.1))
    assert (found.model_only_correct, found.baseline_only_correct) == (1000, 0)
    assert found.p_value == pytest.approx(2.0**-999, rel=1e-3)


STATED = Register(min_validation_accuracy=0.85)


def against(labels, called):
    return against_largest_class(labels.astype(np.int8), np.where(called, 0.9, 0.1))


@given(st.lists(st.booleans(), min_size=2, max_size=60), st.booleans())
def test_always_naming_one_class_is_no_better_than_that(labels, named):
    labels = np.array(labels)
    found = against(labels, np.full(len(labels), named))
    assert found["p_value"] >= 0.5
    assert not found["every_class_called"]
    verdicts = [gate.passed for gate in gates_of({"validation": {"largest_class": found}}, STATED)]
    assert verdicts == [False, False]


def test_an_accurate_model_that_learnt_nothing_is_refused():
    """93 to 7, and right as often as whoever always names the larger class."""
    labels = np.arange(1000) < 70
    called = np.zeros(1000, bool)
    called[[3, 500]] = True  # one right, one wrong
    found = against(labels, called)
    assert (found["share"], found["every_class_called"]) == (0.93, True)
    chance, calls = gates_of({"validation": {"largest_class": found}}, STATED)
    assert (chance.passed, calls.passed) == (False, True)


def test_a_model_that_learnt_something_passes():
    labels = np.arange(1000) < 70
    called = labels.copy()
    called[:30] = False
    found = against(labels, called)
    assert all(gate.passed for gate in gates_of({"validation": {"largest_class": found}}, STATED))


@given(st.floats(0.01, 1.0), st.floats(0.0, 1.0))
def test_how_accurate_is_enough_follows_from_the_largest_class(share, accuracy):
    against = {"share": share, "p_value": 0.0, "every_class_called": True}
    metrics = {"validation": {"accuracy": accuracy, "largest_class": against}}
    gate, *_ = gates_of(metrics, Register())
    assert gate.name == "validation_accuracy"
    assert share <= gate.required <= 1.0
    # A quarter of what the constant answer gets wrong, to the digits that the reports have.
    assert gate.required == pytest.approx(share + (1 - share) / 4, abs=1e-6)
    assert gate.passed == (accuracy >= gate.required)
    assert len(gates_of(metrics, STATED)) == 2
