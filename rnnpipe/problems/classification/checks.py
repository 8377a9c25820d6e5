"""Facts about reviews and sequences, and what is expected of them."""

from rnnpipe.problems.classification.expectations import review_suite, sequence_suite
from rnnpipe.problems.classification.facts import review_facts, sequence_facts
from rnnpipe.problems.classification.files import REVIEWS, SEQUENCES
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.validation.verdict import Checks


def review_checks(params: ClassificationParams) -> Checks:
    """What must hold of the table of reviews."""
    facts = review_facts(REVIEWS)
    return Checks("reviews", facts, review_suite(params.validate_), REVIEWS)


def sequence_checks(params: ClassificationParams) -> Checks:
    """What must hold of splits, token ids and vocabulary."""
    facts = sequence_facts(SEQUENCES)
    return Checks("sequences", facts, sequence_suite(), SEQUENCES / "index.parquet")
