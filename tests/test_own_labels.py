"""Labels of a table of one's own: what goes in comes out under its name, or is refused by name."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpipe.errors import ParameterError, SourceError
from rnnpipe.problems.classification.classes import MOST_CLASSES, classes_of, in_order, values_of
from rnnpipe.problems.classification.labels import label_key, plain_value
from rnnpipe.problems.classification.own_table import prepare_table
from rnnpipe.problems.classification.params import Prepare
from rnnpipe.problems.classification.reviews import Prepared
from rnnpipe.storage.files import sha256_file


def prepared(folder: Path, column: Any, columns: Any = None, **how: Any) -> Prepared:
    table = {"text": [f"text {row}" for row in range(len(column))], "label": column}
    pq.write_table(pa.table(table | (columns or {})), folder / "own.parquet")
    return prepare_table(
        folder / "own.parquet", folder / "out.parquet", Prepare.model_validate(how)
    )


def classes_and_labels(column: Any, columns: Any = None, **how: Any) -> tuple[Any, list[Any]]:
    """The names of the classes, and the name of each row that is there."""
    with tempfile.TemporaryDirectory() as name:
        prepared(Path(name), column, columns, **how)
        classes = classes_of(Path(name) / "out.parquet")
        rows = pq.read_table(Path(name) / "out.parquet").to_pylist()
    # Nothing but labelled rows has a label.
    assert all((row["split"] == "unlabelled") == (row["label"] is None) for row in rows)
    for split in ("train", "test"):
        here = {row["label"] for row in rows if row["split"] == split}
        assert here == set(range(len(classes)))
    return classes, [
        row["label"] if row["label"] is None else classes[row["label"]] for row in rows
    ]


NAME = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(plain_value)
NUMBER = st.integers(-(10**6), 10**6) | st.decimals(-100, 100, places=2).map(float)


def distinct(values: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=2, max_size=most, unique_by=label_key)


KINDS = distinct(NAME, 8) | distinct(NUMBER, 8) | st.just([True, False])


@settings(max_examples=60, deadline=None)
@given(KINDS, st.randoms(use_true_random=False), st.booleans())
def test_what_goes_in_comes_out_under_its_name(values, chance, some_unlabelled):
    if all(isinstance(value, int | float) for value in values) and not isinstance(values[0], bool):
        values = [float(value) for value in values]  # a column of parquet is of one kind
    column = values * 4 + [None] * 3 * some_unlabelled
    chance.shuffle(column)
    names = {value: " ".join(plain_value(value).split()) for value in values}
    classes, found = classes_and_labels(column)
    assert found == [names.get(value) for value in column]
    assert classes == in_order(names.values())
    as_numbers = values_of(classes)
    assert list(as_numbers or classes) == sorted(as_numbers or classes)


@settings(max_examples=40, deadline=None)
@given(
    distinct(st.sampled_from(["good", "so so", "café", "straße", "plain"]), 5),
    st.lists(st.sampled_from([str, str.upper, str.title, " {} ".format]), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
def test_spellings_of_a_label_are_one_class_called_as_most_of_them(values, ways, chance):
    column = [*(way(value) for way in ways for value in values), *values * (len(ways) + 1)]
    chance.shuffle(column)
    classes, found = classes_and_labels(column)
    assert classes == tuple(sorted(values))
    assert [label_key(name) for name in found] == [label_key(cell) for cell in column]


def test_of_spellings_as_frequent_the_first_is_the_name():
    assert classes_and_labels(["Yes", "no", "yes", "NO"])[0] == ("Yes", "no")
    assert classes_and_labels(["yes", "NO", "Yes", "no"])[0] == ("NO", "yes")


def test_composed_and_decomposed_letters_are_one_label():
    assert classes_and_labels(["e\u0301", "é", "e", "é", "e"])[0] == ("e", "é")


@given(st.lists(st.integers(0, 3), min_size=8, max_size=60), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_rows_changes_no_class(chosen, chance):
    column = [f"class {label}" for label in [*chosen, *range(4), *range(4)]]
    first = classes_and_labels(column)
    chance.shuffle(column)
    again = classes_and_labels(column)
    assert first[0] == again[0]
    assert Counter(first[1]) == Counter(again[1])


def test_a_hundred_classes_are_learnt_and_one_more_is_refused():
    names = [f"topic {number}" for number in range(MOST_CLASSES + 1)]
    assert classes_and_labels(names[:-1] * 2)[0] == in_order(names[:-1])
    with pytest.raises(SourceError, match="found 101 different labels, expected at most 100"):
        classes_and_labels(names * 2)


STARS = ["1", "2.0", "3", "4", 5, "5"] * 8


def stars() -> list[str]:
    return [str(star) for star in STARS]


def test_a_mapping_names_classes_in_its_order_and_leaves_rows_out(caplog):
    labels = {"4": "Good", "5": "good", "1": "bad", "2": "bad", "3": None}
    caplog.set_level("INFO")
    classes, found = classes_and_labels(stars(), labels=labels)
    assert classes == ("Good", "bad")
    meaning = {"1": "bad", "2": "bad", "4": "Good", "5": "Good"}
    assert found == [meaning[plain_value(star)] for star in STARS if star != "3"]
    assert "8 left out by prepare.labels; classes: 'Good' 24, 'bad' 16" in caplog.text


def test_a_mapping_that_only_leaves_out_takes_the_others_as_they_stand():
    classes, found = classes_and_labels(stars(), labels={"3.0": None})
    assert classes == ("1", "2", "4", "5")
    assert len(found) == len(STARS) - 8


def test_rows_that_are_left_out_need_neither_text_nor_split(tmp_path):
    columns = {
        "text": ["a", "b", " ", "d", "e"],
        "part": ["train", "train", "?", "test", "test"],
    }
    labels = ["x", "y", "n/a", "x", "y"]
    found = prepared(tmp_path, labels, columns, split_column="part", labels={"n/a": None})
    assert (found.reviews, found.left_out) == ({"train": 2, "test": 2, "unlabelled": 0}, 1)
    ids = pq.read_table(tmp_path / "out.parquet")["id"].to_pylist()
    assert ids == [f"row/{row:08}" for row in (0, 1, 3, 4)]  # counted as in the file


def test_names_may_hold_what_parts_a_path(tmp_path):
    """The digest tells classes apart however they are called."""
    digests = {
        prepared(tmp_path, [*names] * 3).digest
        for names in (("a/b", "a b"), ("a%2Fb", "a b"), ("a/b", "a"), ("unsup", "a"))
    }
    assert len(digests) == 4


def test_the_digest_tells_of_unlabelled_rows_whatever_a_class_is_called(tmp_path):
    labels = ["unsup", "a"] * 3
    digests = {prepared(tmp_path, [*labels, *[None] * more]).digest for more in range(3)}
    assert len(digests) == 3


def test_two_classes_named_as_imdbs_have_the_digest_of_an_archive(tmp_path):
    mapped = {"good": "pos", "bad": "neg"}
    found = prepared(tmp_path, ["good", "bad"] * 4, labels=mapped)
    assert classes_of(tmp_path / "out.parquet") == ("pos", "neg")
    assert prepared(tmp_path, ["pos", "neg"] * 4).digest == found.digest
    before = sha256_file(tmp_path / "out.parquet")
    prepared(tmp_path, ["pos", "neg"] * 4)
    assert sha256_file(tmp_path / "out.parquet") == before


SPLIT = {"split_column": "s"}


@pytest.mark.parametrize(
    ("labels", "how", "message"),
    [
        (["a"] * 5, {}, "found only 'a' labels .5 rows.*nothing to tell apart; look at"),
        ([None] * 5, {}, "found no labels, expected two classes or more"),
        (["a", "b", "a", "a"], {}, "a single labelled row of 'b', expected some .* to null"),
        ([*range(800)], {}, "800 different numbers, expected at most 100.* a regression"),
        ([row / 7 for row in range(40)] * 2, {"labels": {"0": None}}, None),
        ([row / 7 for row in range(40)], {}, "40 different numbers.* a regression"),
        ([*range(101)] * 2, {}, "101 different numbers.* a regression"),
        (["x" * 201, "y"] * 2, {}, "a label of 201 characters, 'xxx.*at most 200"),
        (["a", "b", "c"] * 2, {"labels": {"a": "x", "b": "y"}}, r"known of 'c' \(row 2\); known: 'a'"),
        (["a", "b"] * 2, {"labels": {"a": "x", "b": "y", "c": "z"}}, "no row of 'z', which prepare.lab"),
        (["a", "b"] * 2, {"labels": {"a": None, "b": None}}, "found no labels"),
        (["a", "b"] * 2, {"labels": {"a": None}}, "found only 'b' labels"),
    ],
)  # fmt: skip
def test_labels_that_are_no_choice_are_refused_by_name(labels, how, message):
    if message is None:
        assert len(classes_and_labels(labels, **how)[0]) == 39
        return
    with pytest.raises(SourceError, match=f"own.parquet, column 'label': .*{message}") as caught:
        classes_and_labels(labels, **how)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("train test train train", "found no row of 'a' in test, expected .* in train and test: "),
        ("test test test train", "found no row of 'a' in train"),
        ("train train test test validation", "no row of 'b' in validation, .* and validation: put"),
        ("train train train train", "found no labelled row at all in test"),
        ("train unlabelled test train", "single labelled row of 'b'"),
    ],
)
def test_a_class_that_a_given_split_lacks_is_refused_by_name(parts, message):
    column = parts.split()
    with pytest.raises(SourceError, match=message):
        classes_and_labels([*"abab", "a"][: len(column)], {"s": column}, **SPLIT)


def test_a_class_of_one_group_is_refused_by_name():
    columns = {"author": ["ann"] * 20 + [f"author {row}" for row in range(60)]}
    with pytest.raises(
        SourceError, match="no row of 'rare' in test.*prepare.group_column.*to null"
    ):
        classes_and_labels(["rare"] * 20 + ["a", "b"] * 30, columns, group_column="author")


def test_one_label_of_two_meanings_is_refused():
    with pytest.raises(ParameterError, match="means two things by 'a'"):
        classes_and_labels(["a", "b"] * 2, labels={"a": "x", "A": "y"})


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(2, 40), st.integers(0, 10**6))
def test_small_classes_stand_in_train_and_test(classes, rows, seed):
    labels = np.repeat([f"c{label:02}" for label in range(classes)], rows).tolist()
    columns = {"text": [f"{seed} {row}" for row in range(len(labels))]}
    classes_and_labels(labels, columns)
