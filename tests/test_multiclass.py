"""Metrics and pictures of any number of classes, against scikit-learn."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from rnnpipe.metrics.classification import (
    CLASSIFICATION_METRICS,
    by_class,
    called,
    probabilities_of,
)
from rnnpipe.metrics.curves import calibration_error, curves
from rnnpipe.metrics.interval import resample
from rnnpipe.metrics.multiclass import BY_CLASS, ClassFigures, lay_out
from rnnpipe.metrics.paired import paired_test
from rnnpipe.problems.classification.evaluate import against_largest_class
from rnnpipe.problems.classification.plots import draw_evaluation
from rnnpipe.reporting.drawn_names import drawn_names

SEEDS = st.integers(0, 10_000)


def answers(seed, classes, n=60, every=True):
    """Labels, probabilities with many ties, and whole weights."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n).astype(np.int8)
    if every:
        labels[:classes] = np.arange(classes)
    shares = random.integers(1, 6, (n, classes)).astype(float)
    shares[np.arange(n), labels] += random.integers(0, 4, n)
    return labels, shares / shares.sum(1, keepdims=True), random.integers(1, 4, n).astype(float)


def expected(labels, probabilities, weights, values):
    answered, weighted = probabilities.argmax(1), {"sample_weight": weights}
    size = probabilities.shape[1]
    options = {"zero_division": 0, **weighted}
    functions = {
        "precision": reference.precision_score,
        "recall": reference.recall_score,
        "f1": reference.f1_score,
    }
    found = {
        "accuracy": reference.accuracy_score(labels, answered, **weighted),
        "auc_roc": np.mean(
            [
                reference.roc_auc_score(labels == label, probabilities[:, label], **weighted)
                for label in range(size)
            ]
        ),
        "loss": reference.log_loss(labels, probabilities, labels=range(size), **weighted),
        "mean_absolute_error": reference.mean_absolute_error(
            np.array(values)[labels], np.array(values)[answered], **weighted
        ),
        "quadratic_kappa": reference.cohen_kappa_score(
            labels, answered, labels=range(size), weights="quadratic", **weighted
        ),
    }
    for name, function in functions.items():
        found[name] = function(labels, answered, average="macro", **options)
        found[f"{name}_weighted"] = function(labels, answered, average="weighted", **options)
        for label, figure in enumerate(
            function(labels, answered, average=None, labels=range(size), **options)
        ):
            found[f"{label}.{name}"] = figure
    return found


@settings(max_examples=25)
@given(SEEDS, st.integers(2, 7))
def test_figures_agree_with_scikit_learn_on_weighted_rows(seed, classes):
    labels, probabilities, weights = answers(seed, classes)
    values = np.sort(np.random.default_rng(seed).permutation(20)[:classes]).astype(float)
    found = ClassFigures(labels, probabilities, values)(weights)
    assert found == pytest.approx(expected(labels, probabilities, weights, values))


@given(SEEDS, st.integers(2, 5))
def test_a_weight_is_how_often_a_row_counts(seed, classes):
    """So that a bootstrap's resample has the figures of the rows that it drew."""
    labels, probabilities, _ = answers(seed, classes, n=20, every=False)
    weights = np.random.default_rng(seed).integers(0, 3, len(labels))
    assume(weights.sum())
    values = range(classes)
    once = ClassFigures(labels, probabilities, values)(weights.astype(float))
    drawn = np.repeat(np.arange(len(labels)), weights)
    again = ClassFigures(labels[drawn], probabilities[drawn], values)(np.ones(len(drawn)))
    assert once == pytest.approx(again)


@given(SEEDS, st.integers(2, 6), st.randoms(use_true_random=False))
def test_to_number_the_classes_anew_changes_no_figure(seed, classes, random):
    labels, probabilities, weights = answers(seed, classes)
    # Of equals the first is called, so there must be none.
    probabilities += np.random.default_rng(seed).uniform(0, 1e-6, probabilities.shape)
    values = [float(label) for label in range(classes)]
    new = random.sample(range(classes), classes)  # of each old label
    moved = np.empty_like(probabilities)
    moved[:, new] = probabilities
    placed = np.empty(classes)
    placed[new] = values
    before = ClassFigures(labels, probabilities, values)(weights)
    after = ClassFigures(np.array(new, np.int8)[labels], moved, placed)(weights)
    assert after == pytest.approx(
        {
            f"{new[int(key.split('.')[0])]}.{key.split('.')[1]}" if "." in key else key: value
            for key, value in before.items()
        }
    )


@given(SEEDS)
def test_of_two_classes_the_general_figures_are_the_binary_ones(seed):
    labels, probabilities, weights = answers(seed, 2)
    one = probabilities[:, 1]
    general = ClassFigures(labels, by_class(one))(weights)
    for name, metric in CLASSIFICATION_METRICS.items():
        key = f"1.{name}" if name in BY_CLASS else name
        assert general[key] == pytest.approx(metric(labels, one, weights))


@given(SEEDS, st.integers(2, 6))
def test_logits_become_probabilities_and_those_labels(seed, classes):
    logits = np.random.default_rng(seed).normal(0, 30, (20, classes)).astype(np.float32)
    probabilities = probabilities_of(logits)
    assert probabilities.dtype == np.float64
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(20))
    assert called(probabilities).tolist() == logits.argmax(axis=1).tolist()
    # One logit is the difference of two, but for float32.
    binary = probabilities_of(logits[:, 1] - logits[:, 0])
    assert by_class(binary) == pytest.approx(probabilities_of(logits[:, :2]), abs=1e-5)
    assert called(binary).tolist() == (logits[:, 1] > logits[:, 0]).astype(int).tolist()


def test_a_class_that_is_missing_has_no_area_and_no_share_in_a_mean():
    labels, probabilities = np.array([0, 0, 1], np.int8), np.eye(3)[[0, 0, 1]] * 0.8 + 0.05
    found = ClassFigures(labels, probabilities)(np.ones(3))
    assert (found["auc_roc"], found["precision"], found["recall"], found["f1"]) == (1, 1, 1, 1)
    alone = ClassFigures(labels[:2], probabilities[:2], (1, 2, 3))(np.ones(2))
    assert (alone["auc_roc"], alone["quadratic_kappa"]) == (0.5, 0)


def test_each_class_stands_under_its_name_with_its_intervals():
    labels, probabilities, _ = answers(1, 3)
    intervals = resample(
        ClassFigures(labels, probabilities), len(labels), samples=100, confidence=0.9, seed=1
    )
    names = ("a.b", "accuracy", "💡")
    laid = lay_out(intervals, names, labels)
    assert tuple(laid["classes"]) == names
    assert sum(figures["n"] for figures in laid["classes"].values()) == laid["n"] == len(labels)
    for figures in laid["classes"].values():
        assert set(figures) == {"n", *(f"{k}{e}" for k in BY_CLASS for e in ("", "_low", "_high"))}
        assert figures["f1_low"] <= figures["f1"] <= figures["f1_high"]
    assert not [key for key in laid if "." in key]


@given(SEEDS, st.integers(3, 6))
def test_two_models_of_many_classes_are_compared_row_by_row(seed, classes):
    labels, ours, _ = answers(seed, classes)
    theirs = answers(seed + 1, classes)[1]
    found = paired_test(labels, ours, theirs)
    right = [(one.argmax(1) == labels).astype(int) for one in (ours, theirs)]
    assert found.model_only_correct == int((right[0] > right[1]).sum())
    assert found.baseline_only_correct == int((right[1] > right[0]).sum())


@given(SEEDS, st.integers(2, 6), st.integers(0, 1))
def test_whoever_always_names_one_class_is_no_better_and_found_out(seed, classes, named):
    labels, _, _ = answers(seed, classes, every=False)
    probabilities = np.full((len(labels), classes), 0.1)
    probabilities[:, named] = 0.9
    found = against_largest_class(labels, probabilities)
    assert found["share"] == pytest.approx(np.bincount(labels).max() / len(labels), abs=1e-6)
    assert found["p_value"] >= 0.5
    assert not found["every_class_called"]
    right = against_largest_class(labels, np.eye(classes)[labels])
    assert right["p_value"] < 0.05
    assert right["every_class_called"] == (len(set(labels.tolist())) == classes)


# --- Pictures ---------------------------------------------------------------------------------

ODD = ("$\\frac{", "_hidden", "a$b$c", "😀", "坏", "سيئ", "हिन्दी", "x" * 500, "<b>&", "two\nlines")


def drawn(folder, names, n=300, seed=1):
    labels, probabilities, _ = answers(seed, len(names), n=n)
    lengths = np.arange(n, dtype=np.int32) + 1
    tables = curves(labels, probabilities, lengths, names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Matplotlib warns of signs that its font lacks
        draw_evaluation(tables, names, folder)
    return tables


@pytest.mark.parametrize(
    "names", [ODD, ODD[:3], tuple(map(str, range(14))), tuple(map(str, range(40)))], ids=len
)
def test_every_picture_of_any_classes_is_drawn(tmp_path, names):
    tables = drawn(tmp_path, names)
    assert {path.stem for path in tmp_path.iterdir()} == {
        *("confusion", "roc", "precision_recall", "calibration", "accuracy_by_length")
    }
    # What dvc.yaml draws from, by the names that it draws by.
    assert set(tables["confusion"]) == {"actual", "predicted"}
    assert set(tables["roc"]) == {"false_positive_rate", "true_positive_rate"}
    assert set(tables["precision_recall"]) == {"recall", "precision"}
    assert tables["roc"].iloc[0].tolist() == [0, 0]
    assert tables["roc"].iloc[-1].tolist() == [1, 1]
    assert tables["roc"].diff().iloc[1:].min().min() >= 0
    assert ("roc_by_class" in tables) == (len(names) <= 10)
    assert set(tables["confusion"]["actual"]) == set(names)
    assert 0 <= calibration_error(tables["calibration"]) <= 1
    assert tables["calibration"]["n"].sum() == 300


@settings(max_examples=60)
@given(st.lists(st.text(min_size=1, max_size=40), min_size=2, max_size=12, unique=True))
def test_names_in_a_picture_are_short_and_tell_classes_apart(names):
    shown = drawn_names(names)
    assert all(0 < len(name) <= 24 for name in shown)
    assert len(set(shown)) == len(names)
    for label, (name, short) in enumerate(zip(names, shown, strict=True)):
        assert short in (name, f"class {label}") or short[:-1] in repr(name) or "\\" in short


def test_a_class_that_is_called_like_a_number_is_not_taken_for_it():
    assert drawn_names(["class 1", "坏"]) == ["class 0", "class 1"]


def test_an_uneven_pair_of_classes_is_drawn_by_class(tmp_path):
    random = np.random.default_rng(1)
    labels = (random.random(400) < 0.1).astype(np.int8)
    given = np.clip(labels * 0.4 + random.random(400) * 0.6, 0, 1)
    lengths = np.arange(400, dtype=np.int32) + 1
    tables = curves(labels, given, lengths, ("rare", "not"))
    assert set(tables["precision_recall_by_class"]["class"]) == {"rare", "not"}
    draw_evaluation(tables, ("rare", "not"), tmp_path)
    even = curves((np.arange(400) % 2).astype(np.int8), given, lengths, ("a", "b"))
    assert "roc_by_class" not in even
