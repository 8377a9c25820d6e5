"""Suites: what must hold (critical) and what is worth a look (warning).

Each expectation carries its name in the verdict and one sentence that says what is expected.
"""

from typing import TYPE_CHECKING

from rnnpipe.problems.classification.params import Validate

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

from rnnpipe.validation.expectations import expect, has_columns, never

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
MAX_UNKNOWN_SHARE = 0.2


def review_suite(limits: Validate) -> "list[Expectation]":
    """Expectations on the facts about reviews.

    Args:
        limits: how many, how balanced, how often repeated, how long.
    """
    from rnnpipe.validation.library import Column, gxe

    split = Column("split")
    labelled = split.is_in(["train", "test", "validation"])
    least = {"train": limits.min_labelled, "test": max(1, limits.min_labelled // 10)}
    share = limits.min_class_share
    return [
        has_columns(REVIEW_COLUMNS),
        *_identity(["train", "validation", "test", "unlabelled"]),
        *(
            expect(
                gxe.ExpectTableRowCountToBeBetween,
                f"enough_reviews_in_{name}",
                f"at least {count} labelled reviews in {name}",
                min_value=count,
                row_condition=split == name,
            )
            for name, count in least.items()
        ),
        expect(
            gxe.ExpectColumnValuesToBeInSet,
            "label_known",
            "every label is 0 (negative) or 1 (positive)",
            column="label",
            value_set=[0, 1],
        ),
        expect(
            gxe.ExpectColumnValuesToNotBeNull,
            "labelled_have_label",
            "every review in train, validation and test has a label",
            column="label",
            row_condition=labelled,
        ),
        expect(
            gxe.ExpectColumnValuesToBeNull,
            "unlabelled_have_none",
            "no unlabelled review has a label",
            column="label",
            row_condition=split == "unlabelled",
        ),
        *(
            expect(
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
        expect(
            gxe.ExpectColumnValuesToBeBetween,
            "rating_in_range",
            "every rating, where there is one, is from 1 to 10",
            column="rating",
            min_value=1,
            max_value=10,
        ),
        never(
            "rating_contradicts_label",
            "rating_agrees_with_label",
            "negative reviews are rated 4 or less, positive ones 7 or more",
        ),
        never("is_blank", "not_blank", "no review is empty or blank"),
        never("is_wordless", "has_words", "every review has a letter or a digit", "warning"),
        expect(
            gxe.ExpectColumnValuesToBeBetween,
            "not_too_long",
            f"no review is longer than {limits.max_characters} characters",
            column="characters",
            max_value=limits.max_characters,
        ),
        never(
            "has_replacement_character",
            "no_replacement_characters",
            "no review holds U+FFFD, which stands for bytes that could not be decoded",
            "warning",
        ),
        never(
            "has_control_characters",
            "no_control_characters",
            "no review holds control characters, often a sign of a wrong encoding",
            "warning",
        ),
        expect(
            gxe.ExpectColumnValuesToBeInSet,
            "few_duplicates_within_splits",
            f"at most {limits.max_duplicate_share:g} of the labelled reviews repeat another of"
            " their split",
            column="is_duplicate_within_split",
            value_set=[False],
            mostly=1 - limits.max_duplicate_share,
            row_condition=labelled,
        ),
        never(
            "is_duplicate_across_train_test",
            "no_duplicates_across_splits",
            "no text stands in both train and test (the next stage drops it from train)",
            "warning",
        ),
        never(
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
        has_columns(SEQUENCE_COLUMNS),
        *_identity([*learnt, "unlabelled"]),
        expect(
            gxe.ExpectColumnValuesToBeBetween,
            "not_empty",
            "every sequence holds at least one id",
            column="length",
            min_value=1,
        ),
        expect(
            gxe.ExpectColumnValuesToBeInSet,
            "offsets_fit_lengths",
            "the offsets cut the stored ids into sequences of the stated lengths, leaving none",
            column="offsets_fit",
            value_set=[True],
        ),
        expect(
            gxe.ExpectColumnValuesToBeBetween,
            "ids_in_vocabulary",
            "every id stands for a word or for the unknown word; padding is never stored",
            column="ids_outside_vocabulary",
            max_value=0,
        ),
        *(
            expect(
                gxe.ExpectColumnDistinctValuesToEqualSet,
                f"both_labels_in_{name}",
                f"{name} holds reviews of both labels, 0 and 1",
                column="label",
                value_set=[0, 1],
                row_condition=split == name,
            )
            for name in learnt
        ),
        expect(
            gxe.ExpectColumnValuesToNotBeNull,
            "labelled_have_label",
            "every review in train, validation and test has a label",
            column="label",
            row_condition=split.is_in(list(learnt)),
        ),
        never(
            "film_in_train_and_validation",
            "no_film_in_train_and_validation",
            "no film is reviewed in both train and validation",
        ),
        never(
            "film_in_train_and_test",
            "no_film_in_train_and_test",
            "no film is reviewed in both train and test",
            "warning",
        ),
        *(
            expect(
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


def _identity(splits: list[str]) -> "list[Expectation]":
    from rnnpipe.validation.library import gxe

    return [
        expect(
            gxe.ExpectColumnValuesToNotBeNull, "id_present", "every review has an id", column="id"
        ),
        expect(
            gxe.ExpectColumnValuesToBeUnique,
            "id_unique",
            "every id stands once, so that no review is in two splits",
            column="id",
        ),
        expect(
            gxe.ExpectColumnValuesToNotBeNull,
            "split_present",
            "every review has a split",
            column="split",
        ),
        expect(
            gxe.ExpectColumnValuesToBeInSet,
            "split_known",
            "every split is one of " + ", ".join(splits),
            column="split",
            value_set=splits,
        ),
    ]
