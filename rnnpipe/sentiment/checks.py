"""Facts about reviews and sequences, and what is expected of them."""

from rnnpipe import validation
from rnnpipe.params import ClassificationParams
from rnnpipe.sentiment.files import REVIEWS, SEQUENCES
from rnnpipe.validation import Checks


def review_checks(params: ClassificationParams) -> Checks:
    """What must hold of the table of reviews."""
    facts = validation.review_facts(REVIEWS)
    return Checks("reviews", facts, validation.review_suite(params.validate_), REVIEWS)


def sequence_checks(params: ClassificationParams) -> Checks:
    """What must hold of splits, token ids and vocabulary."""
    facts = validation.sequence_facts(SEQUENCES)
    return Checks("sequences", facts, validation.sequence_suite(), SEQUENCES / "index.parquet")
