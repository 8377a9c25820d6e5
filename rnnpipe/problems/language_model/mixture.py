"""The network, n-grams and the text's own words, mixed: each foretells what the others do not.

The probability of a word is a weighted mean of three,

    p = (1 - c) (l p_network + (1 - l) p_ngrams) + c p_cache,

where l depends on how long a context the n-grams have met and how often (Jelinek & Mercer 1980;
mixing recurrent networks with n-grams: Mikolov et al. 2010), and c on how many words the text had
so far. The weights are those of highest likelihood, found by expectation-maximisation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rnnpipe.config.document import read_document
from rnnpipe.errors import RegistryError
from rnnpipe.storage.files import write_json
from rnnpipe.text.ngrams import NgramModel
from rnnpipe.text.text_cache import AGES, cached_probabilities, judge_by_cache
from rnnpipe.text.tokens import Ragged

_ROUNDS = 40  # of expectation-maximisation; the likelihood stands still after some ten
_DOUBT = 1.0  # predictions that speak for the weights at the start, where there are no others
_NETWORK, _CACHE = 0.5, 0.05  # those weights

_Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Predictions:
    """What the parts say of the same predictions, one after the other.

    Attributes:
        network: ``float32[n]``, the network's probability of what came.
        ngrams: ``float32[n]``, the n-grams'; positive.
        cache: ``float32[n]``, that by the text's own words; may be 0.
        contexts: ``uint8[n]``, the kind of context the n-grams knew.
        ages: ``uint8[n]``, the age of the text.
    """

    network: NDArray[np.float32]
    ngrams: NDArray[np.float32]
    cache: NDArray[np.float32]
    contexts: NDArray[np.uint8]
    ages: NDArray[np.uint8]


def predict_by_parts(
    network_nats: NDArray[np.float32],
    ngrams: NgramModel,
    sequences: Ragged,
    rows: NDArray[np.int64],
) -> Predictions:
    """Ask n-grams and cache for what a network has judged.

    Args:
        network_nats: ``float32[batch, time]``, the network's loss of each word and end of a text,
            whatever behind it.
        ngrams: of the same vocabulary.
        sequences: token ids, ragged.
        rows: ``int64[batch]``, the texts that were judged.
    """
    predicted = sequences.lengths[rows] + 1
    real = np.arange(network_nats.shape[1]) < predicted[:, None]
    by_ngrams, contexts = ngrams.judge_predictions(sequences, rows)
    by_cache, ages = judge_by_cache(sequences, rows)
    return Predictions(
        np.exp(-network_nats[real]),
        by_ngrams.astype(np.float32),
        by_cache.astype(np.float32),
        contexts.astype(np.uint8),  # of n-grams of six words, the longest, there are 61 kinds
        ages.astype(np.uint8),
    )


@dataclass(frozen=True)
class Mixture:
    """The weights of the parts.

    Attributes:
        network: of the network beside the n-grams, by the kind of context they knew.
        cache: of the text's own words beside both, by the age of the text.
    """

    network: tuple[_Share, ...]
    cache: tuple[_Share, ...]

    def nats(self, parts: Predictions) -> NDArray[np.float64]:
        """Return the loss of each prediction, ``float64[n]``."""
        return -np.log(np.maximum(_mixed(*self._arrays, parts)[0], np.finfo(np.float64).tiny))

    def mean_weights(self, parts: Sequence[Predictions]) -> dict[str, float]:
        """Return what each part weighs in the mean over some predictions."""
        sums, n = np.zeros(2), 0
        network, cache = self._arrays
        for block in parts:
            other = 1 - cache[block.ages]
            sums += [(other * network[block.contexts]).sum(), (1 - other).sum()]
            n += len(block.ages)
        by_network, by_cache = (sums / n).tolist()
        return {"network": by_network, "ngrams": 1 - by_network - by_cache, "cache": by_cache}

    def next_probabilities(
        self, network: NDArray[np.float64], ngrams: NgramModel, before: Sequence[int]
    ) -> NDArray[np.float64]:
        """Return the probability of each id after some words, ``float64[vocabulary_size]``.

        Args:
            network: ``float64[vocabulary_size]``, the network's probabilities.
            ngrams: those that the weights were found for.
            before: all words of the text so far.
        """
        by_ngrams, context = ngrams.next_from(before)
        by_cache, age = cached_probabilities(before, len(network))
        own, cache = self.network[context], self.cache[age]
        return (1 - cache) * (own * network + (1 - own) * by_ngrams) + cache * by_cache

    @property
    def _arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.array(self.network), np.array(self.cache)

    def save(self, path: Path) -> None:
        """Write the weights as JSON."""
        write_json(path, {"network": list(self.network), "cache": list(self.cache)})


def load_mixture(path: Path, ngrams: NgramModel) -> Mixture:
    """Read what :meth:`Mixture.save` wrote.

    Raises:
        RegistryError: the file is missing, or is none, or belongs to other n-grams.
    """
    advice = "take the files that lie beside the model, or make them again with dvc repro"
    found = read_document(Mixture, path, f"{path} holds no weights of a mixture", advice)
    expected = (ngrams.contexts, AGES)
    if (len(found.network), len(found.cache)) != expected:
        raise RegistryError(
            f"{path} has {len(found.network)} and {len(found.cache)} weights, expected"
            f" {expected[0]} and {expected[1]} for its n-grams: {advice}"
        )
    return found


def fit_mixture(parts: Sequence[Predictions], contexts: int) -> Mixture:
    """Find the weights that make some predictions likeliest.

    Where the network alone does better, which rounds without end would come to, it stays alone.

    Args:
        parts: blocks of predictions; memory does not grow with their number.
        contexts: how many kinds of context the n-grams tell apart.
    """
    network, cache = np.full(contexts, _NETWORK), np.full(AGES, _CACHE)
    cache[0] = 0.0  # a text that has said nothing
    start = network, cache
    for _ in range(_ROUNDS):
        of_network, of_both = _DOUBT * start[0], np.full(contexts, _DOUBT)
        of_cache, of_all = _DOUBT * start[1], np.full(AGES, _DOUBT)
        for block in parts:
            total, by_network, by_cache = _mixed(network, cache, block)
            of_network += np.bincount(block.contexts, by_network / total, contexts)
            of_both += np.bincount(block.contexts, 1 - by_cache / total, contexts)
            of_cache += np.bincount(block.ages, by_cache / total, AGES)
            of_all += np.bincount(block.ages, minlength=AGES)
        network, cache = of_network / of_both, of_cache / of_all
    # A sum of rounded shares may be a hair above what it is a share of.
    network, cache = np.minimum(network, 1.0), np.minimum(cache, 1.0)
    mixed = Mixture(tuple(network.tolist()), tuple(cache.tolist()))
    alone = Mixture((1.0,) * contexts, (0.0,) * AGES)
    return min(mixed, alone, key=lambda found: sum(found.nats(block).sum() for block in parts))


def _mixed(
    network: NDArray[np.float64], cache: NDArray[np.float64], parts: Predictions
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return each prediction's probability, and what network and cache contribute to it."""
    of_cache = cache[parts.ages]
    own = network[parts.contexts]
    by_network = (1 - of_cache) * own * parts.network
    by_cache = of_cache * parts.cache
    return by_network + (1 - of_cache) * (1 - own) * parts.ngrams + by_cache, by_network, by_cache
