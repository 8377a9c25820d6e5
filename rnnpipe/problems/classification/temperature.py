"""How sure a classifier may be of a text of so many words, fitted by maximum likelihood.

Temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks") divides all logits
by one number, and so changes no answer. Here it follows the number of words that are read: few words
say less than the network, which has only ever seen whole texts, makes of them. Of two classes it
follows, too, which one is called: a network may be too sure of the one and not of the other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

_LEVELS = (-5.0, 5.0)
_SLOPES = (0.0, 1.0)  # to read twice as many words tells no less, and at most twice as much
_DIGITS = 4  # of what is fitted: fewer than differ from one machine to another


@dataclass(frozen=True)
class Temperature:
    """Logits are multiplied by ``exp(level) * words ** slope``: no answer changes by it.

    Attributes:
        level: logarithm of the factor for a text of one word.
        slopes: how fast it rises with the logarithm of the number of words, 0 at the least: where
            the first of two classes is called, and where the second; of more classes alike.
        shortest: fewest words that it was fitted on; of fewer as many are taken.
        longest: most words; of more as many are taken.
    """

    level: float
    slopes: tuple[float, float]
    shortest: int
    longest: int

    def apply(self, logits: NDArray[np.float32], words: NDArray[np.int64]) -> NDArray[np.float64]:
        """Calibrate the logits, ``float[n]`` or ``float[n, K]``, of texts of so many words."""
        lengths = np.log(np.clip(words, self.shortest, self.longest).astype(np.float64))
        if logits.ndim == 1:
            slopes = np.where(logits > 0, self.slopes[1], self.slopes[0])
            return np.asarray(logits * np.exp(self.level + slopes * lengths))
        return np.asarray(logits * np.exp(self.level + self.slopes[0] * lengths)[:, None])


@dataclass(frozen=True)
class Answers:
    """What a network said of some texts, and what is true.

    Attributes:
        logits: ``float32[n]``, the log-odds of label 1 of two; or ``float32[n, K]``.
        labels: ``int8[n]``.
        words: ``int64[n]``, how many were read of each, 1 at the least.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int8]
    words: NDArray[np.int64]

    def take(self, rows: NDArray[np.bool_]) -> "Answers":
        """Return some of them."""
        return Answers(self.logits[rows], self.labels[rows], self.words[rows])


def fit_temperature(
    texts: Answers, sentences: Answers, class_weights: NDArray[np.float64]
) -> Temperature:
    """Fit to texts and to their sentences, either as a whole weighted alike.

    Labels are taken for as sure as the number of texts allows, after Platt (1999): of a class of
    which there are n texts its probability is (n + 1) / (n + 2). So a few texts that are all
    answered rightly do not make a network sure of everything.

    Args:
        texts: one at the least.
        sentences: any number.
        class_weights: ``float64[K]``, what a row of each class counts.
    """
    parts = [part for part in (texts, sentences) if len(part.labels)]
    given = np.concatenate([part.logits for part in parts]).astype(np.float64)
    labels = np.concatenate([part.labels for part in parts])
    words = np.concatenate([part.words for part in parts])
    weighted = [class_weights[part.labels] for part in parts]
    shares = np.concatenate([weights / weights.sum() for weights in weighted]) / len(parts)
    second = np.zeros(len(given))  # where another slope counts
    if given.ndim == 1:
        second = (given > 0).astype(np.float64)
        given = np.stack([np.zeros(len(given)), given], axis=1)

    classes = given.shape[1]
    counts = np.bincount(texts.labels, minlength=classes)
    sure = ((counts + 1) / (counts + 2))[labels]
    targets = np.repeat(((1 - sure) / (classes - 1))[:, None], classes, axis=1)
    targets[np.arange(len(given)), labels] = sure
    lengths = np.log(words.astype(np.float64))
    # Of each row, by what level and slopes are multiplied.
    rises = np.stack([np.ones(len(given)), lengths * (1 - second), lengths * second], axis=1)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        factors = np.exp(rises @ parameters)
        logs = log_softmax(factors[:, None] * given, axis=1)
        slopes = ((np.exp(logs) - targets) * given).sum(axis=1) * factors * shares
        return -float(shares @ (targets * logs).sum(axis=1)), slopes @ rises

    found = minimize(
        loss,
        np.zeros(3),
        jac=True,
        method="L-BFGS-B",
        bounds=[_LEVELS, _SLOPES, _SLOPES],
        options={"ftol": 1e-14, "gtol": 1e-9},
    )
    level, one, other = (round(float(value), _DIGITS) for value in found.x)
    slopes = (one, other if second.any() else one)
    return Temperature(level, slopes, int(words.min()), int(words.max()))
