"""How texts become sequences, as a section of parameters."""

from rnnpipe.config.section import Section, knob


class Sequences(Section):
    """How text becomes token ids."""

    vocabulary_size: int = knob(
        30000,
        "number of token ids, padding and unknown included; the most frequent words get one",
        "larger: fewer unknown words, more memory, rarer words learnt worse",
        ge=10,
        le=1_000_000,
    )
    min_count: int = knob(
        2, "fewest occurrences for a word to get an id", "larger: drops typing errors", ge=1
    )
    use_unlabelled: bool = knob(
        True,
        "count words of the unlabelled reviews too",
        "true: a better estimate of what is frequent",
    )
