"""Sentiment: does a review praise or condemn?"""

from rnnpipe.problems.problem import Later, Problem
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
    name="classification",
    table=REVIEWS,
    selection=Selection("accuracy", "higher", "min_validation_accuracy"),
    wording=Wording("reviews", "linear baseline", "logistic regression on runs of words"),
    shaping=frozenset({"problem", "sequences", "word_vectors", "pretrained", "baseline", "train"}),
    prepare=Later("rnnpipe.sentiment.data:prepare"),
    checks={
        "validate": Later("rnnpipe.sentiment.checks:review_checks"),
        "validate_sequences": Later("rnnpipe.sentiment.checks:sequence_checks"),
    },
    baseline=Later("rnnpipe.sentiment.linear:fit_and_predict"),
    inputs=(SEQUENCES, WORD_VECTORS, PRETRAINED, BASELINE),
    learn=Later("rnnpipe.sentiment.learning:learn"),
    export=Later("rnnpipe.exporting.classifier:save_classifier"),
    check_export=Later("rnnpipe.sentiment.exported:check_export"),
    evaluate=Later("rnnpipe.sentiment.figures:evaluate"),
    steps={
        "reviews": REVIEWS,
        "sequences": SEQUENCES,
        "pretrained": PRETRAINED,
        "network": NETWORK,
    },
    suites=(REPORTS / "validation.json", REPORTS / "validation_sequences.json"),
    assemble=Later("rnnpipe.sentiment.model:assemble_model"),
)
