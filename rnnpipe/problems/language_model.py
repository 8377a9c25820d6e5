"""Language modelling: what word comes next?

Its texts, their splits and their words are those of sentiment, whose pipeline prepares them.
"""

from rnnpipe.language.files import NETWORK, REVIEWS, SEQUENCES, VALIDATED, WORD_VECTORS
from rnnpipe.problems.problem import Problem, later
from rnnpipe.selection import Selection, Wording

PROBLEM = Problem(
    name="language_model",
    table=REVIEWS,
    selection=Selection("perplexity", "lower", "max_validation_perplexity"),
    wording=Wording("reviews", "n-gram baseline", "n-grams, modified Kneser-Ney smoothing"),
    shaping=frozenset({"problem", "train"}),
    prepare=later("rnnpipe.sentiment.data:prepare"),
    checks={
        "validate": later("rnnpipe.sentiment.checks:review_checks"),
        "validate_sequences": later("rnnpipe.sentiment.checks:sequence_checks"),
    },
    baseline=later("rnnpipe.language.ngram_baseline:learn_and_judge"),
    inputs=(SEQUENCES, WORD_VECTORS),
    learn=later("rnnpipe.language.learning:learn"),
    export=later("rnnpipe.exporting.language_model:save_language_model"),
    evaluate=later("rnnpipe.language.figures:evaluate"),
    steps={"reviews": REVIEWS, "sequences": SEQUENCES, "network": NETWORK},
    suites=(VALIDATED,),
    assemble=later("rnnpipe.language.model:assemble_model"),
)
