"""Language modelling: what word comes next?

Its texts, their splits and their words are those of sentiment, whose pipeline prepares them.
"""

from rnnpipe.language.files import NETWORK, REVIEWS, SEQUENCES, VALIDATED, WORD_VECTORS
from rnnpipe.problems.problem import Later, Problem
from rnnpipe.selection import Selection, Wording

PROBLEM = Problem(
    name="language_model",
    table=REVIEWS,
    selection=Selection("perplexity", "lower", "max_validation_perplexity"),
    wording=Wording("reviews", "n-gram baseline", "n-grams, modified Kneser-Ney smoothing"),
    shaping=frozenset({"problem", "train"}),
    prepare=Later("rnnpipe.sentiment.data:prepare"),
    checks={},  # the root pipeline has checked what this one is given
    baseline=Later("rnnpipe.language.ngram_baseline:learn_and_judge"),
    inputs=(SEQUENCES, WORD_VECTORS),
    learn=Later("rnnpipe.language.learning:learn"),
    export=Later("rnnpipe.exporting.language_model:save_language_model"),
    check_export=Later("rnnpipe.language.exported:check_export"),
    evaluate=Later("rnnpipe.language.figures:evaluate"),
    steps={
        "reviews": REVIEWS,
        "sequences": SEQUENCES,
        "word_vectors": WORD_VECTORS,
        "network": NETWORK,
    },
    suites=(VALIDATED,),
    assemble=Later("rnnpipe.language.model:assemble_model"),
)
