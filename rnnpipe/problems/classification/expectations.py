"""Suites: what must hold (critical) and what is worth a look (warning).

Each expectation carries its name in the verdict and one sentence that says what is expected.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rnnpipe.errors import quoted
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
    "class_share",
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
_MOST_LISTED = 10  # classes in one sentence


def review_suite(
    limits: Validate, classes: Sequence[str], rated: bool = True
) -> "list[Expectation]":
    """Expectations on the facts about reviews.

    Args:
        limits: how many, how balanced, how often repeated, how long.
        classes: the names of the labels, 0 first.
        rated: whether reviews have a rating, from 1 to 10, beside their label, as IMDB's have.
    """
    from rnnpipe.validation.library import Column, gxe

    split = Column("split")
    labelled = split.is_in(["train", "test", "validation"])
    least = {"train": limits.min_labelled, "test": max(1, limits.min_labelled // 10)}
    share = limits.min_class_share / len(classes)
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
        *_labels(classes),
        expect(
            gxe.ExpectColumnValuesToBeNull,
            "unlabelled_have_none",
            "no unlabelled review has a label",
            column="label",
            row_condition=split == "unlabelled",
        ),
        *(
            expect(
                gxe.ExpectColumnMinToBeBetween,
                f"enough_of_class_{label}_in_{name}",
                f"{share:.2g} or more of the labelled reviews in {name} are {quoted(called)}"
                f" ({limits.min_class_share:g} of an even share, validate.min_class_share)",
                column="class_share",
                min_value=share,
                row_condition=(split == name) & (Column("label") == label),
            )
            for name in least
            for label, called in enumerate(classes)
        ),
        *(_ratings() if rated else []),
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


def sequence_suite(classes: Sequence[str]) -> "list[Expectation]":
    """Expectations on the facts about sequences.

    Args:
        classes: the names of the labels, 0 first.
    """
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
                gxe.ExpectTableRowCountToBeBetween,
                f"class_{label}_in_{name}",
                f"{name} holds reviews of {quoted(called)} (where it cannot: give more of them, or"
                " map the label to another class, or to null to leave them out, in prepare.labels)",
                min_value=1,
                row_condition=(split == name) & (Column("label") == label),
            )
            for name in learnt
            for label, called in enumerate(classes)
        ),
        *_labels(classes),
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


def _ratings() -> "list[Expectation]":
    from rnnpipe.validation.library import gxe

    return [
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
    ]


def _listed(classes: Sequence[str]) -> str:
    told = [f"{label} ({quoted(name)})" for label, name in enumerate(classes[:_MOST_LISTED])]
    more = f", … or {len(classes) - 1}" if len(classes) > _MOST_LISTED else ""
    return ", ".join(told) + more if more else ", ".join(told[:-1]) + " or " + told[-1]


def _labels(classes: Sequence[str]) -> "list[Expectation]":
    from rnnpipe.validation.library import Column, gxe

    return [
        expect(
            gxe.ExpectColumnValuesToBeInSet,
            "label_known",
            f"every label is {_listed(classes)}",
            column="label",
            value_set=list(range(len(classes))),
        ),
        expect(
            gxe.ExpectColumnValuesToNotBeNull,
            "labelled_have_label",
            "every review in train, validation and test has a label",
            column="label",
            row_condition=Column("split").is_in(["train", "validation", "test"]),
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
