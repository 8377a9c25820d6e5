"""The figure that every language model is judged by, whatever it is made of."""

import math
from dataclasses import dataclass


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

        >>> Judgement(nats=2 * math.log(50), predictions=2).perplexity
        50.0
        """
        return math.exp(self.nats / self.predictions)

    def bits_a_character(self, characters: int) -> float:
        """Give the summed loss in bits for each of so many characters of text."""
        return self.nats / math.log(2) / characters
