"""Suites: what must hold (critical) and what is worth a look (warning).

Each expectation carries its name in the verdict and one sentence that says what is expected.
"""

import math
from typing import TYPE_CHECKING, Any

from rnnpipe.params import SeriesValidate, Validate, Windows

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

REVIEW_COLUMNS = (
    "id",
    "split",
    "label",
    "rating",
    "film",
    "characters",
    "is_blank",
    "is_wordless",
    "has_replacement_character",
    "has_control_characters",
    "rating_contradicts_label",
    "film_in_train_and_test",
    "is_duplicate_within_split",
    "is_duplicate_across_train_test",
)
SEQUENCE_COLUMNS = (
    "id",
    "split",
    "label",
    "film",
    "length",
    "offsets_fit",
    "ids_outside_vocabulary",
    "unknown_share",
    "film_in_train_and_validation",
    "film_in_train_and_test",
)
SERIES_COLUMNS = (
    "id",
    "is_step",
    "is_repeated",
    "is_backward",
    "is_gap",
    "is_short",
    "is_not_finite",
    "is_out_of_range",
    "is_far_off",
    "is_constant",
    "holds_not_finite",
    "holds_out_of_range",
    "holds_far_off",
)
MAX_UNKNOWN_SHARE = 0.2


def review_suite(limits: Validate) -> "list[Expectation]":
    """Expectations on the facts about reviews.

    Args:
        limits: how many, how balanced, how often repeated, how long.
    """
    from rnnpipe.validation.library import Column, gxe

    split = Column("split")
    labelled = split.is_in(["train", "test"])
    least = {"train": limits.min_labelled, "test": max(1, limits.min_labelled // 10)}
    share = limits.min_class_share
    return [
        _columns(REVIEW_COLUMNS),
        *_identity(["train", "test", "unlabelled"]),
        *(
            _expect(
                gxe.ExpectTableRowCountToBeBetween,
                f"enough_reviews_in_{name}",
                f"at least {count} labelled reviews in {name}",
                min_value=count,
                row_condition=split == name,
            )
            for name, count in least.items()
        ),
        _expect(
            gxe.ExpectColumnValuesToBeInSet,
            "label_known",
            "every label is 0 (negative) or 1 (positive)",
            column="label",
            value_set=[0, 1],
        ),
        _expect(
            gxe.ExpectColumnValuesToNotBeNull,
            "labelled_have_label",
            "every review in train and test has a label",
            column="label",
            row_condition=labelled,
        ),
        _expect(
            gxe.ExpectColumnValuesToBeNull,
            "unlabelled_have_none",
            "no unlabelled review has a label",
            column="label",
            row_condition=split == "unlabelled",
        ),
        *(
            _expect(
                gxe.ExpectColumnMeanToBeBetween,
                f"classes_balanced_in_{name}",
                f"between {share:g} and {1 - share:g} of the reviews in {name} are positive",
                column="label",
                min_value=share,
                max_value=1 - share,
                row_condition=split == name,
            )
            for name in least
        ),
        _expect(
            gxe.ExpectColumnValuesToBeBetween,
            "rating_in_range",
            "every rating, where there is one, is from 1 to 10",
            column="rating",
            min_value=1,
            max_value=10,
        ),
        _never(
            "rating_contradicts_label",
            "rating_agrees_with_label",
            "negative reviews are rated 4 or less, positive ones 7 or more",
        ),
        _never("is_blank", "not_blank", "no review is empty or blank"),
        _never("is_wordless", "has_words", "every review has a letter or a digit", "warning"),
        _expect(
            gxe.ExpectColumnValuesToBeBetween,
            "not_too_long",
            f"no review is longer than {limits.max_characters} characters",
            column="characters",
            max_value=limits.max_characters,
        ),
        _never(
            "has_replacement_character",
            "no_replacement_characters",
            "no review holds U+FFFD, which stands for bytes that could not be decoded",
            "warning",
        ),
        _never(
            "has_control_characters",
            "no_control_characters",
            "no review holds control characters, often a sign of a wrong encoding",
            "warning",
        ),
        _expect(
            gxe.ExpectColumnValuesToBeInSet,
            "few_duplicates_within_splits",
            f"at most {limits.max_duplicate_share:g} of the labelled reviews repeat another of"
            " their split",
            column="is_duplicate_within_split",
            value_set=[False],
            mostly=1 - limits.max_duplicate_share,
            row_condition=labelled,
        ),
        _never(
            "is_duplicate_across_train_test",
            "no_duplicates_across_splits",
            "no text stands in both train and test (the next stage drops it from train)",
            "warning",
        ),
        _never(
            "film_in_train_and_test",
            "no_film_in_train_and_test",
            "no film is reviewed in both train and test",
            "warning",
        ),
    ]


def sequence_suite() -> "list[Expectation]":
    """Expectations on the facts about sequences."""
    from rnnpipe.validation.library import Column, gxe

    split = Column("split")
    learnt = ("train", "validation", "test")
    return [
        _columns(SEQUENCE_COLUMNS),
        *_identity([*learnt, "unlabelled"]),
        _expect(
            gxe.ExpectColumnValuesToBeBetween,
            "not_empty",
            "every sequence holds at least one id",
            column="length",
            min_value=1,
        ),
        _expect(
            gxe.ExpectColumnValuesToBeInSet,
            "offsets_fit_lengths",
            "the offsets cut the stored ids into sequences of the stated lengths, leaving none",
            column="offsets_fit",
            value_set=[True],
        ),
        _expect(
            gxe.ExpectColumnValuesToBeBetween,
            "ids_in_vocabulary",
            "every id stands for a word or for the unknown word; padding is never stored",
            column="ids_outside_vocabulary",
            max_value=0,
        ),
        *(
            _expect(
                gxe.ExpectColumnDistinctValuesToEqualSet,
                f"both_labels_in_{name}",
                f"{name} holds reviews of both labels, 0 and 1",
                column="label",
                value_set=[0, 1],
                row_condition=split == name,
            )
            for name in learnt
        ),
        _expect(
            gxe.ExpectColumnValuesToNotBeNull,
            "labelled_have_label",
            "every review in train, validation and test has a label",
            column="label",
            row_condition=split.is_in(list(learnt)),
        ),
        _never(
            "film_in_train_and_validation",
            "no_film_in_train_and_validation",
            "no film is reviewed in both train and validation",
        ),
        _never(
            "film_in_train_and_test",
            "no_film_in_train_and_test",
            "no film is reviewed in both train and test",
            "warning",
        ),
        *(
            _expect(
                gxe.ExpectColumnMeanToBeBetween,
                f"few_unknown_words_in_{name}",
                f"at most {MAX_UNKNOWN_SHARE:g} of a review's words are unknown, on average"
                f" over {name}",
                "warning",
                column="unknown_share",
                max_value=MAX_UNKNOWN_SHARE,
                row_condition=split == name,
            )
            for name in learnt
        ),
    ]


def series_suite(limits: SeriesValidate, windows: Windows) -> "list[Expectation]":
    """Expectations on the facts about the steps and columns of a series.

    Args:
        limits: how far off a value may be.
        windows: how long the series must be at least.
    """
    from rnnpipe.validation.library import Column, gxe

    parts = {name: getattr(windows, name) for name in ("train", "validation", "test")}
    horizon = windows.horizons[-1]
    room = {"train": windows.look_back + horizon, "validation": horizon, "test": horizon}
    # Splits by number need their sum; those by share so many steps that each has its room.
    least = max(
        math.ceil(sum(part for part in parts.values() if part >= 1)),
        *(math.ceil(room[name] / part) for name, part in parts.items() if part < 1),
        sum(room.values()),
    )
    ranges = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in limits.ranges.items())
    far = f"farther than {limits.max_deviations:g} standard deviations from its column's mean"
    return [
        _columns(SERIES_COLUMNS),
        _expect(
            gxe.ExpectTableRowCountToBeBetween,
            "long_enough",
            f"at least {least} steps: train, validation and test with a look-back of"
            f" {windows.look_back} and {horizon} steps ahead",
            min_value=least,
            row_condition=Column("is_step") == 1,
        ),
        _never("is_backward", "times_rise", "no time is earlier than the one before"),
        _never("is_repeated", "times_unique", "no time comes twice"),
        _never("is_gap", "no_gaps", "no step is longer than the usual one"),
        _never(
            "is_short",
            "regular_steps",
            "no step is shorter than the usual one (a summer hour of local time is)",
        ),
        _never("is_not_finite", "values_finite", "every value is a finite number"),
        _never("holds_not_finite", "columns_finite", "no column holds anything else"),
        _never("is_constant", "no_constant_column", "no column has the same value throughout"),
        _never(
            "is_out_of_range",
            "values_in_range",
            f"every value lies in its column's range ({ranges or 'none is given'})",
        ),
        _never(
            "holds_out_of_range", "columns_in_range", "no column holds a value out of its range"
        ),
        _never("is_far_off", "values_not_far_off", f"no value lies {far}"),
        _never("holds_far_off", "columns_not_far_off", f"no column holds a value {far}"),
    ]


def _columns(names: tuple[str, ...]) -> "Expectation":
    from rnnpipe.validation.library import gxe

    return _expect(
        gxe.ExpectTableColumnsToMatchSet,
        "columns",
        "these columns, or what they follow from, are there: " + ", ".join(names),
        column_set=list(names),
        exact_match=False,
    )


def _identity(splits: list[str]) -> "list[Expectation]":
    from rnnpipe.validation.library import gxe

    return [
        _expect(
            gxe.ExpectColumnValuesToNotBeNull, "id_present", "every review has an id", column="id"
        ),
        _expect(
            gxe.ExpectColumnValuesToBeUnique,
            "id_unique",
            "every id stands once, so that no review is in two splits",
            column="id",
        ),
        _expect(
            gxe.ExpectColumnValuesToNotBeNull,
            "split_present",
            "every review has a split",
            column="split",
        ),
        _expect(
            gxe.ExpectColumnValuesToBeInSet,
            "split_known",
            "every split is one of " + ", ".join(splits),
            column="split",
            value_set=splits,
        ),
    ]


def _never(column: str, name: str, expected: str, severity: str = "critical") -> "Expectation":
    """A boolean fact that holds for no row."""
    from rnnpipe.validation.library import gxe

    return _expect(
        gxe.ExpectColumnValuesToBeInSet,
        name,
        expected,
        severity,
        column=column,
        value_set=[False],
    )


def _expect(
    kind: "type[Expectation]", name: str, expected: str, severity: str = "critical", **how: Any
) -> "Expectation":
    return kind(meta={"name": name}, description=expected, severity=severity, **how)
