"""How the reports of language modelling speak."""

from rnnpipe.reporting.wording import Wording

WORDING = Wording(
    counted="reviews",
    baseline="n-gram baseline",
    described="n-grams, modified Kneser-Ney smoothing",
    metrics={
        "perplexity": ("Perplexity", False),
        "bits_per_character": ("Bits a character", False),
    },
    gates={
        "validation_perplexity": "Perplexity on validation",
        "suite_sequences": "Expectations on the sequences",
    },
    lineage={
        "reviews": "Table of reviews",
        "sequences": "Sequences and vocabulary",
        "word_vectors": "Word vectors",
    },
)
