"""How the reports of language modelling speak."""

from rnnpipe.reporting.wording import Wording

WORDING = Wording(
    counted="reviews",
    baseline="n-gram baseline",
    described="n-grams, modified Kneser-Ney smoothing",
    metrics={
        "perplexity": ("Perplexity", False),
        "perplexity_mixed": ("Perplexity, n-grams and the text's own words mixed in", False),
        "bits_per_character": ("Bits a character", False),
    },
    gates={
        "validation_perplexity": "Perplexity on validation",
        "validation_perplexity_mixed": "Perplexity of the mixture on validation, beside the network's",
        "suite_sequences": "Expectations on the sequences",
    },
    captions={
        "mixture": (
            "What the parts of the mixture weigh",
            "The longer a context and the oftener it was met, the more the n-grams know of it.",
        ),
    },
    lineage={
        "reviews": "Table of reviews",
        "sequences": "Sequences and vocabulary",
        "word_vectors": "Word vectors",
    },
)
