"""The figure that every language model is judged by, whatever it is made of."""

import math
from dataclasses import dataclass

import pyarrow.compute as pc

from rnnpipe.tokens import Words


@dataclass(frozen=True)
class Judgement:
    """How well a model predicts texts: each word, and one end a text.

    Attributes:
        nats: the summed loss, minus the natural logarithm of the probability of what came.
        predictions: how many words and ends were predicted.
    """

    nats: float
    predictions: int

    @property
    def perplexity(self) -> float:
        """Among how many words, all alike, the choice would be as hard.

        >>> round(Judgement(nats=2 * math.log(50), predictions=2).perplexity, 6)
        50.0
        """
        return math.exp(self.nats / self.predictions)

    def bits_a_character(self, characters: int) -> float:
        """Give the summed loss in bits for each of so many characters of text."""
        return self.nats / math.log(2) / characters


def count_characters(words: Words) -> int:
    """Count the characters of texts as a model sees them: words, and what ends each.

    Behind every word stands one character: a space or, behind the last, the text's end.
    Punctuation is not seen.

    >>> from rnnpipe.tokens import split_words
    >>> import pyarrow as pa
    >>> count_characters(split_words(pa.array(["A good film!", "Not bad"])))
    20
    """
    lengths = pc.utf8_length(words.distinct).to_numpy(zero_copy_only=False)
    return int(lengths[words.codes.values].sum()) + len(words.codes.values)
