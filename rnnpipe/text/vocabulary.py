"""The vocabulary: which words are counted, which are learnt, and the ids that they get."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from rnnpipe.config.document import read_document
from rnnpipe.errors import RegistryError, quoted
from rnnpipe.storage.files import write_json
from rnnpipe.text.tokens import (
    CHUNK,
    FIRST_WORD_ID,
    UNKNOWN_ID,
    Ragged,
    Words,
    concatenate,
    split_words_in_chunks,
)
from rnnpipe.text.word_rules import CURRENT, RULES

_MOST_BYTES = 2**30  # of a vocabulary's file


@dataclass(frozen=True)
class Vocabulary:
    """The known words; word i has the id i + 2, after padding and the unknown word.

    Attributes:
        words: in the order of their ids.
        rules: number of the word rules that texts were split by, and are.
    """

    words: tuple[str, ...]
    rules: int = CURRENT

    def __len__(self) -> int:
        """Count all ids, padding and the unknown word included."""
        return len(self.words) + FIRST_WORD_ID

    @classmethod
    def learn(cls, counts: Mapping[str, int], size: int, min_count: int) -> "Vocabulary":
        """Take the most frequent words, ties in alphabetical order.

        Args:
            counts: occurrences of each word in the training texts.
            size: most ids, padding and the unknown word included.
            min_count: fewest occurrences of a word.
        """
        known = sorted(
            (word for word, count in counts.items() if count >= min_count),
            key=lambda word: (-counts[word], word),
        )
        return cls(tuple(known[: size - FIRST_WORD_ID]))

    def encode(self, words: Words) -> Ragged:
        """Turn words into ids, ``int32``; a text without words becomes one unknown word.

        >>> from rnnpipe.text.tokens import split_words
        >>> vocabulary = Vocabulary(("good", "not"))
        >>> encoded = vocabulary.encode(split_words(pa.array(["Not good, cheap", "..."])))
        >>> encoded[0].tolist(), encoded[1].tolist()
        ([3, 2, 1], [1])
        """
        distinct = words.distinct.to_pylist()
        ids = np.array([self._ids.get(word, UNKNOWN_ID) for word in distinct], np.int32)
        return words.numbered(ids, UNKNOWN_ID)

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        # Arrow's own look-up would index all words anew for each text that comes alone.
        return {word: number for number, word in enumerate(self.words, FIRST_WORD_ID)}

    def encode_texts(self, texts: Sequence[str]) -> Ragged:
        """Turn texts into ids, ``int32``, in the order given.

        Bytes that were no UTF-8 where a text came from read as question marks.

        Raises:
            TypeError: one text is given in place of a sequence of texts, or one of them is none.
        """
        if isinstance(texts, str):
            raise TypeError("found one text, expected a sequence of texts: put it in brackets")
        for position, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(
                    f"found {quoted(text)} at position {position}, expected a text: leave it out,"
                    ' or give ""'
                )
        readable = [text.encode("utf-8", "replace").decode() for text in texts]
        chunks = (
            pa.array(readable[start : start + CHUNK], pa.large_string())
            for start in range(0, len(readable), CHUNK)
        )
        return concatenate(
            [self.encode(words) for words in split_words_in_chunks(chunks, self.rules)]
        )

    def save(self, path: Path) -> None:
        """Write the words with the rules they were split by."""
        write_json(path, {"rules": RULES[self.rules], "words": list(self.words)})

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read what :meth:`save` wrote, now or by earlier rules.

        Raises:
            RegistryError: the words were split by rules that this program does not know.
        """
        what, advice = f"{path} is no vocabulary", "take the one that lies beside the model"
        saved = read_document(_Saved, path, what, advice, _MOST_BYTES)
        number = next((number for number, rules in RULES.items() if saved.rules == rules), None)
        if number is None:
            raise RegistryError(
                f"{path} was made by the word rules {quoted(saved.rules)}, this rnnpipe has the rules"
                f" {', '.join(map(str, RULES))}: use the rnnpipe version that trained the model"
            )
        if len(set(saved.words)) < len(saved.words):
            raise RegistryError(f"{what} (a word stands in it twice): {advice}")
        return cls(saved.words, number)


class _Saved(BaseModel):
    rules: dict[str, Any]
    words: tuple[Annotated[str, Field(min_length=1)], ...]


class DistinctWords:
    """All words that were met, numbered as they came, and how often each stands in what is learnt.

    Number 0 is no word: it stands in a text that holds none.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}
        self._occurrences = np.zeros(0, np.int64)

    def number(self, words: Words) -> Ragged:
        """Return the numbers of a chunk's words, ``int32``, ragged."""
        numbers = self._numbers
        distinct = [numbers.setdefault(word, len(numbers)) for word in words.distinct.to_pylist()]
        return words.numbered(np.array(distinct, np.int32), 0)

    def count(self, numbers: NDArray[np.int32]) -> None:
        """Count words that are learnt from, by number."""
        found = np.bincount(numbers, minlength=len(self._numbers))
        found[: len(self._occurrences)] += self._occurrences
        self._occurrences = found

    def occurrences(self, least: int) -> dict[str, int]:
        """Return how often each word stands there that does so ``least`` times at the least."""
        return {
            word: count
            for (word, number), count in zip(
                self._numbers.items(), self._occurrences.tolist(), strict=False
            )
            if count >= least and number
        }

    def ids_of(self, vocabulary: Vocabulary) -> NDArray[np.int32]:
        """Return the token id of each number, ``int32``."""
        ids = np.full(len(self._numbers), UNKNOWN_ID, np.int32)
        for token_id, word in enumerate(vocabulary.words, FIRST_WORD_ID):
            ids[self._numbers[word]] = token_id
        return ids
