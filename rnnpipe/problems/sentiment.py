"""Sentiment: does a review praise or condemn?"""

from rnnpipe.problems.problem import Problem, later
from rnnpipe.selection import Selection, Wording
from rnnpipe.sentiment.files import (
    BASELINE,
    NETWORK,
    PRETRAINED,
    REPORTS,
    REVIEWS,
    SEQUENCES,
    WORD_VECTORS,
)

PROBLEM = Problem(
    name="sentiment",
    table=REVIEWS,
    selection=Selection("accuracy", "higher", "min_validation_accuracy"),
    wording=Wording("reviews", "linear baseline", "logistic regression on runs of words"),
    shaping=frozenset({"problem", "sequences", "word_vectors", "pretrained", "baseline", "train"}),
    prepare=later("rnnpipe.sentiment.data:prepare"),
    checks={
        "validate": later("rnnpipe.sentiment.checks:review_checks"),
        "validate_sequences": later("rnnpipe.sentiment.checks:sequence_checks"),
    },
    baseline=later("rnnpipe.sentiment.linear:fit_and_predict"),
    inputs=(SEQUENCES, WORD_VECTORS, PRETRAINED, BASELINE),
    learn=later("rnnpipe.sentiment.learning:learn"),
    evaluate=later("rnnpipe.sentiment.figures:evaluate"),
    steps={"reviews": REVIEWS, "sequences": SEQUENCES, "network": NETWORK},
    suites=(REPORTS / "validation.json", REPORTS / "validation_sequences.json"),
    assemble=later("rnnpipe.sentiment.model:assemble_model"),
)
