"""The figure that every language model is judged by, whatever it is made of."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class LogLoss:
    """How well a model predicts texts: each word, and one end a text.

    Attributes:
        total_nll: the summed loss, minus the natural logarithm of the probability of what came.
        predictions: how many words and ends were predicted.
    """

    total_nll: float
    predictions: int

    @property
    def perplexity(self) -> float:
        """Among how many words, all alike, the choice would be as hard.

        >>> round(LogLoss(total_nll=2 * math.log(50), predictions=2).perplexity, 6)
        50.0
        """
        return math.exp(self.total_nll / self.predictions)

    def bits_a_character(self, characters: int) -> float:
        """Return the summed loss in bits for each of so many characters of text."""
        return self.total_nll / math.log(2) / characters
