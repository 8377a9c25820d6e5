"""Text that goes on from a beginning, by an exported language model: nothing here knows TensorFlow."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnpipe.errors import ParameterError, RegistryError
from rnnpipe.problems.language_model.exported import ExportedLanguageModel
from rnnpipe.problems.language_model.mixture import Mixture, load_mixture
from rnnpipe.registry.find import find
from rnnpipe.registry.folder import MODEL_FILES
from rnnpipe.text.fingerprint import require_same_vocabulary
from rnnpipe.text.ngram_file import load_ngrams
from rnnpipe.text.ngrams import NgramModel
from rnnpipe.text.tokens import FIRST_WORD_ID, UNKNOWN_ID
from rnnpipe.text.vocabulary import Vocabulary
from rnnpipe.text.windows import BOUNDARY_ID

_MOST_AT_ONCE = 1024  # words that are read, of a long beginning
_MOST_NATS = 700.0  # a word; more has no perplexity that a float could hold
_UNKNOWN = "<unknown>"  # how a word is shown that the vocabulary does not hold


@dataclass(frozen=True)
class Sampling:
    """How the next word is drawn.

    Attributes:
        temperature: what differences of scores are divided by: below 1 bolder words become rarer,
            above 1 more frequent; 0 always takes the likeliest word.
        top_k: only so many of the likeliest words are drawn from; 0: all.
        top_p: of these, only the fewest likeliest that together have this probability (nucleus
            sampling, Holtzman et al. 2020); 1: all.
        repetition: what the logarithm of the probability of a word is multiplied by that the text
            has already (after Keskar et al. 2019, section 4.1): the rarer a word, the less is it
            said again; 1: as often as the model likes.
        no_repeat: no run of so many words comes twice (Paulus et al. 2018, section 2.5), so that
            no text goes round in circles; 0: it may.
        most_words: where a text that does not end is cut off.
        unknown: whether a word may be drawn that the vocabulary does not hold.
        seed: decides the text; the same seed gives the same text.

    Raises:
        ParameterError: a value is out of its range.
    """

    temperature: float = 0.8
    top_k: int = 50
    top_p: float = 0.95
    repetition: float = 1.2
    no_repeat: int = 3
    most_words: int = 100
    unknown: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        for name, fine, expected in (
            ("temperature", 0 <= self.temperature <= 100, "0 to 100"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("repetition", 1 <= self.repetition <= 100, "1 to 100"),
            ("no_repeat", self.no_repeat >= 0, "0 or more"),
            ("most_words", self.most_words >= 1, "1 or more"),
            ("seed", self.seed >= 0, "0 or more"),
        ):
            if not fine:
                raise ParameterError(f"{name} is {getattr(self, name)}, expected {expected}")


@dataclass(frozen=True)
class Continuation:
    """What was drawn.

    Attributes:
        words: one after the other, without the beginning.
        ended: whether the model ended the text, rather than the limit.
        known_words: how many words of the beginning the model knows.
        perplexity: of what was drawn, and of the end if it was, by the model as it is: all words
            at temperature 1, whatever they were drawn from.
    """

    words: tuple[str, ...]
    ended: bool
    known_words: int
    perplexity: float


@dataclass(frozen=True)
class Drawn:
    """An id that was drawn, and the logarithm of its probability by the model as it is."""

    token_id: int
    log_probability: float


@dataclass(frozen=True)
class MixedIn:
    """What a network is mixed with."""

    ngrams: NgramModel
    mixture: Mixture


def load_language_model(
    model: str | Path | None = None, root: Path = Path()
) -> tuple[ExportedLanguageModel, Vocabulary]:
    """Load a model by path, version (``v0.2.0``) or stage (``prod``), with its vocabulary.

    Args:
        model: which; None takes the work tree's, else the one in stage ``prod``.
        root: the project's folder, where versions and stages are looked up.

    Raises:
        RegistryError: there is no such model, its folder is not whole, or its parts do not belong
            together.
    """
    needed = (*MODEL_FILES, "vocabulary.json")
    folder = find(None if model is None else str(model), root, "language_model", needed)
    vocabulary = Vocabulary.load(folder / "vocabulary.json")
    network = ExportedLanguageModel(folder / "network.onnx")
    network.require_matching(len(vocabulary), _MOST_AT_ONCE)
    require_same_vocabulary(network.vocabulary, vocabulary, "the language model")
    return network, vocabulary


def load_mixed_in(model: str | Path | None, vocabulary: Vocabulary, root: Path = Path()) -> MixedIn:
    """Load what lies beside a model to be mixed with it.

    Args:
        model: which, as for :func:`load_language_model`.
        vocabulary: the model's.
        root: the project's folder.

    Raises:
        RegistryError: it was registered without, or its parts do not belong together.
    """
    needed = ("ngrams.npz", "mixture.json")
    folder = find(None if model is None else str(model), root, "language_model", needed)
    ngrams = load_ngrams(folder / needed[0])
    if len(ngrams.unigrams) != len(vocabulary):
        raise RegistryError(
            f"{folder / needed[0]} knows {len(ngrams.unigrams):,} words, the vocabulary beside it"
            f" has {len(vocabulary):,}: take the files of one model"
        )
    return MixedIn(ngrams, load_mixture(folder / needed[1], ngrams))


def generate(
    model: ExportedLanguageModel,
    vocabulary: Vocabulary,
    beginning: str,
    sampling: Sampling,
    mixed_in: MixedIn | None = None,
) -> Continuation:
    """Go on from a beginning, which may be empty.

    Args:
        model: any exported language model.
        vocabulary: the model's.
        beginning: any text.
        sampling: how to draw.
        mixed_in: what the network is mixed with; None asks the network alone.

    Raises:
        RegistryError: model and vocabulary do not belong together.
    """
    require_same_vocabulary(model.vocabulary, vocabulary, "the language model")
    # A text without words would be read as one unknown word.
    ids = vocabulary.encode_texts([beginning])[0] if beginning.strip() else np.empty(0, np.int32)
    found = list(continue_ids(model, ids, sampling, mixed_in))
    drawn = [one.token_id for one in found]
    ended = drawn[-1:] == [BOUNDARY_ID]
    names = [
        _UNKNOWN if i == UNKNOWN_ID else vocabulary.words[i - FIRST_WORD_ID] for i in drawn if i
    ]
    nats = -sum(one.log_probability for one in found) / len(found)
    return Continuation(
        tuple(names), ended, int((ids != UNKNOWN_ID).sum()), math.exp(min(nats, _MOST_NATS))
    )


def continue_ids(
    model: ExportedLanguageModel,
    token_ids: NDArray[np.int32],
    sampling: Sampling,
    mixed_in: MixedIn | None = None,
) -> Iterator[Drawn]:
    """Draw one id after the other; the last one is 0 where the model ends the text.

    Args:
        model: any exported language model.
        token_ids: ``int32[any]``, the words so far.
        sampling: how to draw.
        mixed_in: what the network is mixed with, if anything.
    """
    text = token_ids.tolist()
    random = np.random.default_rng(sampling.seed)
    read = np.concatenate([[BOUNDARY_ID], token_ids]).astype(np.int32)
    state = model.zero_state()
    while len(read) > _MOST_AT_ONCE:
        _, state = model.read(read[None, :_MOST_AT_ONCE], state)
        read = read[_MOST_AT_ONCE:]
    for _ in range(sampling.most_words):
        scores, state = model.read(read[None], state)
        logarithms = _log_probabilities(scores[0], text, mixed_in)
        drawn = draw(logarithms, sampling, random, text)
        yield Drawn(drawn, float(logarithms[drawn]))
        if drawn == BOUNDARY_ID:
            return
        text.append(drawn)
        read = np.array([drawn], np.int32)


def _log_probabilities(
    scores: NDArray[np.float32], text: Sequence[int], mixed_in: MixedIn | None
) -> NDArray[np.float64]:
    """Return the logarithm of each id's probability, ``float64[vocabulary_size]``."""
    shifted = scores.astype(np.float64) - scores.max()
    logarithms = np.asarray(shifted - np.log(np.exp(shifted).sum()))
    if mixed_in is None:
        return logarithms
    mixed = mixed_in.mixture.next_probabilities(np.exp(logarithms), mixed_in.ngrams, text)
    return np.log(np.maximum(mixed, np.finfo(np.float64).tiny))


def draw(
    log_probabilities: NDArray[np.float64],
    sampling: Sampling,
    random: np.random.Generator,
    text: Sequence[int] = (),
) -> int:
    """Draw an id.

    Args:
        log_probabilities: ``float64[vocabulary_size]``, of each id.
        sampling: how to draw.
        random: decides which.
        text: the ids so far, without the start.
    """
    ordered = np.array(log_probabilities, np.float64)
    if not sampling.unknown:
        ordered[UNKNOWN_ID] = -np.inf
    said = np.unique(np.asarray(text, np.int64))
    ordered[said] *= sampling.repetition
    ordered[_closing_a_circle(text, sampling.no_repeat)] = -np.inf
    # Stable: of equal scores the lower id, which is the more frequent word, comes first.
    likeliest = np.argsort(-ordered, kind="stable")
    if sampling.temperature == 0:
        return int(likeliest[0])
    if sampling.top_k:
        likeliest = likeliest[: sampling.top_k]
    weights = np.exp((ordered[likeliest] - ordered[likeliest[0]]) / sampling.temperature)
    bounds = np.cumsum(weights)
    if sampling.top_p < 1:
        bounds = bounds[: np.searchsorted(bounds, sampling.top_p * bounds[-1]) + 1]
    place = int(np.searchsorted(bounds, random.random() * bounds[-1], side="right"))
    return int(likeliest[place])


def _closing_a_circle(text: Sequence[int], length: int) -> list[int]:
    """Return the ids after which a run of ``length`` ids would stand in the text twice."""
    if not length:
        return []
    runs = [list(text[end - length : end]) for end in range(length, len(text) + 1)]
    begun = list(text[max(len(text) - length + 1, 0) :])
    return [run[-1] for run in runs if run[:-1] == begun]
