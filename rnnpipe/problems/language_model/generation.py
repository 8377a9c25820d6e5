"""Text that goes on from a beginning, by an exported language model: nothing here knows TensorFlow."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnpipe.errors import ParameterError
from rnnpipe.problems.language_model.exported import ExportedLanguageModel
from rnnpipe.registry.find import find
from rnnpipe.registry.folder import MODEL_FILES
from rnnpipe.text.fingerprint import require_same_vocabulary
from rnnpipe.text.tokens import FIRST_WORD_ID, UNKNOWN_ID
from rnnpipe.text.vocabulary import Vocabulary
from rnnpipe.text.windows import BOUNDARY_ID

_MOST_AT_ONCE = 1024  # words that are read, of a long beginning
_UNKNOWN = "<unknown>"  # how a word is shown that the vocabulary does not hold


@dataclass(frozen=True)
class Sampling:
    """How the next word is drawn.

    Attributes:
        temperature: what differences of scores are divided by: below 1 bolder words become rarer,
            above 1 more frequent; 0 always takes the likeliest word.
        top_k: only so many of the likeliest words are drawn from; 0: all.
        most_words: where a text that does not end is cut off.
        unknown: whether a word may be drawn that the vocabulary does not hold.
        seed: decides the text; the same seed gives the same text.

    Raises:
        ParameterError: a value is out of its range.
    """

    temperature: float = 0.8
    top_k: int = 50
    most_words: int = 100
    unknown: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        for name, fine, expected in (
            ("temperature", 0 <= self.temperature <= 100, "0 to 100"),
            ("top_k", self.top_k >= 0, "0 or more"),
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
    """

    words: tuple[str, ...]
    ended: bool
    known_words: int


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


def generate(
    model: ExportedLanguageModel, vocabulary: Vocabulary, beginning: str, sampling: Sampling
) -> Continuation:
    """Go on from a beginning, which may be empty.

    Raises:
        RegistryError: model and vocabulary do not belong together.
    """
    require_same_vocabulary(model.vocabulary, vocabulary, "the language model")
    # A text without words would be read as one unknown word.
    ids = vocabulary.encode_texts([beginning])[0] if beginning.strip() else np.empty(0, np.int32)
    drawn = list(continue_ids(model, ids, sampling))
    ended = drawn[-1:] == [BOUNDARY_ID]
    names = [
        _UNKNOWN if i == UNKNOWN_ID else vocabulary.words[i - FIRST_WORD_ID] for i in drawn if i
    ]
    return Continuation(tuple(names), ended, int((ids != UNKNOWN_ID).sum()))


def continue_ids(
    model: ExportedLanguageModel, token_ids: NDArray[np.int32], sampling: Sampling
) -> Iterator[int]:
    """Draw one id after the other; the last one is 0 where the model ends the text.

    Args:
        model: any exported language model.
        token_ids: ``int32[any]``, the words so far.
        sampling: how to draw.
    """
    random = np.random.default_rng(sampling.seed)
    read = np.concatenate([[BOUNDARY_ID], token_ids]).astype(np.int32)
    state = model.zero_state()
    while len(read) > _MOST_AT_ONCE:
        _, state = model.read(read[None, :_MOST_AT_ONCE], state)
        read = read[_MOST_AT_ONCE:]
    for _ in range(sampling.most_words):
        scores, state = model.read(read[None], state)
        drawn = draw(scores[0], sampling, random)
        yield drawn
        if drawn == BOUNDARY_ID:
            return
        read = np.array([drawn], np.int32)


def draw(scores: NDArray[np.float32], sampling: Sampling, random: np.random.Generator) -> int:
    """Draw an id by its score, ``float32[vocabulary_size]``."""
    ordered = scores.astype(np.float64)
    if not sampling.unknown:
        ordered[UNKNOWN_ID] = -np.inf
    # Stable: of equal scores the lower id, which is the more frequent word, comes first.
    likeliest = np.argsort(-ordered, kind="stable")
    if sampling.temperature == 0:
        return int(likeliest[0])
    if sampling.top_k:
        likeliest = likeliest[: sampling.top_k]
    weights = np.exp((ordered[likeliest] - ordered[likeliest[0]]) / sampling.temperature)
    bounds = np.cumsum(weights)
    place = int(np.searchsorted(bounds, random.random() * bounds[-1], side="right"))
    return int(likeliest[place])
