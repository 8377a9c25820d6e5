"""How sure a classifier may be of a text of so many words, fitted by maximum likelihood.

Temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks") divides all logits
by one number, and so changes no answer. Here it follows the number of words that are read: few words
say less than the network, which has only ever seen whole texts, makes of them. Of two classes a
network may lean to one of them beyond chance; then that is taken back too, as Platt (1999) does, by
so much a word that is read, so that it touches long texts, of which it is known, and not short ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax
from scipy.stats import chi2

# Of the logarithms. From a text of one word to one of twice as many what is known at most doubles.
_LEVELS = (-5.0, 5.0)
_SLOPES = (0.0, 1.0)
_TILTS = (-3.0, 3.0)  # of the log-odds of the longest text
_LARGEST_P_VALUE = 0.01  # that chance alone makes a network lean so
_DIGITS = 4  # of what is fitted: fewer than differ from one machine to another


@dataclass(frozen=True)
class Temperature:
    """Logits times ``exp(level) * words ** slope``, plus ``tilt * words / longest``.

    Attributes:
        level: logarithm of the factor for a text of one word.
        slope: how fast the factor rises with the logarithm of the number of words; 0 at the least.
        tilt: what is added to the one logit of two classes, of the longest text; 0 where nothing is,
            and always of more classes.
        shortest: fewest words that it was fitted on; of fewer as many are taken.
        longest: most words; of more as many are taken.
    """

    level: float
    slope: float
    tilt: float
    shortest: int
    longest: int

    def apply(self, logits: NDArray[np.float32], words: NDArray[np.int64]) -> NDArray[np.float64]:
        """Calibrate the logits, ``float[n]`` or ``float[n, K]``, of texts of so many words."""
        lengths = np.clip(words, self.shortest, self.longest).astype(np.float64)
        factors = np.exp(self.level + self.slope * np.log(lengths))
        if logits.ndim == 1:
            return np.asarray(logits * factors + self.tilt * lengths / self.longest)
        return np.asarray(logits * factors[:, None])


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
    two = given.ndim == 1
    if two:
        given = np.stack([np.zeros(len(given)), given], axis=1)
    labels = np.concatenate([part.labels for part in parts])
    words = np.concatenate([part.words for part in parts])
    weighted = [class_weights[part.labels] for part in parts]
    shares = np.concatenate([weights / weights.sum() for weights in weighted]) / len(parts)

    n, classes = given.shape
    counts = np.bincount(texts.labels, minlength=classes)
    sure = ((counts + 1) / (counts + 2))[labels]
    targets = np.repeat(((1 - sure) / (classes - 1))[:, None], classes, axis=1)
    targets[np.arange(n), labels] = sure
    lengths = np.log(words.astype(np.float64))
    middle = float(shares @ lengths)  # so that level and slope are fitted apart
    longest = int(words.max())
    reach = words / longest

    def losses(parameters: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[float, ...]]:
        level, slope, tilt = parameters
        factors = np.exp(level + slope * (lengths - middle))
        logits = factors[:, None] * given
        logits[:, -1] += tilt * reach
        logs = log_softmax(logits, axis=1)
        wrong = (np.exp(logs) - targets) * shares[:, None]
        rises = (wrong * given).sum(axis=1) * factors
        slopes = (rises.sum(), rises @ (lengths - middle), wrong[:, -1] @ reach)
        return -(targets * logs).sum(axis=1), slopes

    def fit(tilts: tuple[float, float]) -> NDArray[np.float64]:
        def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            each, slopes = losses(parameters)
            return float(shares @ each), np.array(slopes)

        bounds = [_LEVELS, _SLOPES, tilts]
        found = minimize(loss, np.zeros(3), jac=True, method="L-BFGS-B", bounds=bounds)
        return np.asarray(found.x)

    found = fit((0.0, 0.0))
    if two:
        tilted = fit(_TILTS)
        # By the texts alone: the sentences of one are no independent witnesses.
        gained = (losses(found)[0] - losses(tilted)[0])[: len(texts.labels)].sum()
        if chi2.sf(2 * gained, df=1) <= _LARGEST_P_VALUE:
            found = tilted
    level, slope, tilt = (
        round(float(value), _DIGITS) for value in (found[0] - found[1] * middle, *found[1:])
    )
    return Temperature(level, slope, tilt, int(words.min()), longest)
