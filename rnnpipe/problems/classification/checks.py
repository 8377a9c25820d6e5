"""Facts about reviews and sequences, and what is expected of them."""

from rnnpipe.problems.classification.classes import classes_of
from rnnpipe.problems.classification.expectations import review_suite, sequence_suite
from rnnpipe.problems.classification.facts import review_facts, sequence_facts
from rnnpipe.problems.classification.files import REVIEWS, SEQUENCES
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.validation.verdict import Checks


def review_checks(params: ClassificationParams) -> Checks:
    """What must hold of the table of reviews."""
    facts, classes = review_facts(REVIEWS), classes_of(REVIEWS)
    rated = "rating" not in facts or bool(facts["rating"].notna().any())
    return Checks("reviews", facts, review_suite(params.validate_, classes, rated), REVIEWS)


def sequence_checks(params: ClassificationParams) -> Checks:
    """What must hold of splits, token ids and vocabulary."""
    index = SEQUENCES / "index.parquet"
    return Checks("sequences", sequence_facts(SEQUENCES), sequence_suite(classes_of(index)), index)
