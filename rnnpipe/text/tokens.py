"""Text to token ids: one set of rules for training and for prediction.

What a word is, :mod:`rnnpipe.text.word_rules` says. The splitting runs in Arrow's columnar string kernels, which
beat word-level tokenizers about three times over on the IMDB reviews.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnnpipe.text.word_rules import CURRENT, separated

PADDING_ID = 0
UNKNOWN_ID = 1
FIRST_WORD_ID = 2

CHUNK = 2_500  # texts split at once: large enough for the kernels, small enough for the memory
_THREADS = 2  # Arrow's string kernels run on one core and let go of the interpreter's lock


@dataclass(frozen=True)
class Ragged:
    """Sequences of unlike length, end to end.

    Attributes:
        values: ``int32[total]``, all sequences one after the other.
        offsets: ``int64[n + 1]``; sequence i is ``values[offsets[i]:offsets[i + 1]]``.
    """

    values: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """``int64[n]``, the length of each sequence."""
        return np.diff(self.offsets)

    def take(self, rows: NDArray[np.int64]) -> "Ragged":
        """Copy some sequences, in the order of ``rows``."""
        starts, lengths = self.offsets[rows], self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        values = np.empty(offsets[-1], np.int32)
        for start, place, length in zip(starts, offsets[:-1], lengths, strict=True):
            values[place : place + length] = self.values[start : start + length]
        return Ragged(values, offsets)


@dataclass(frozen=True)
class StoredIds:
    """Token ids in a file, of which only what is asked for comes into memory.

    A memory map would do the same, but each of its pages that was ever touched counts as the
    process's memory. This stands in the place of an array wherever slices of it and its length
    are all that is wanted; ``np.asarray`` reads it whole.

    Attributes:
        file: open for reading.
        begin: where the first id lies in it, in bytes.
        length: number of ids.
        dtype: of an id; ``int32`` in what this program writes.
    """

    file: IO[bytes]
    begin: int
    length: int
    dtype: np.dtype[Any]

    @classmethod
    def open(cls, path: Path) -> "StoredIds":
        """Open a ``.npy`` file of one dimension."""
        header = np.load(path, mmap_mode="r")  # no more of it is read than the header
        return cls(Path(path).open("rb"), header.offset, len(header), header.dtype)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, part: slice) -> NDArray[np.int32]:
        start, stop, _ = part.indices(self.length)
        ids = np.empty(max(0, stop - start), self.dtype)
        unread = ids.view(np.uint8).data
        place = self.begin + start * self.dtype.itemsize
        while unread:
            count = os.preadv(self.file.fileno(), [unread], place)
            if not count:
                raise EOFError(f"{self.file.name} ends before its {self.length:,} ids do")
            unread, place = unread[count:], place + count
        return ids

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.int32]:
        return self[:] if dtype is None else self[:].astype(dtype)

    def between(self, start: int, stop: int) -> "StoredIds":
        """Return some of the ids in a row, still unread."""
        begin = self.begin + start * self.dtype.itemsize
        return StoredIds(self.file, begin, stop - start, self.dtype)

    def as_values(self) -> NDArray[np.int32]:
        """Return this as the values of a :class:`Ragged`, of which slices alone are taken."""
        return cast("NDArray[np.int32]", self)


@dataclass(frozen=True)
class Words:
    """The words of some texts: each text's words as positions in ``distinct``."""

    distinct: pa.Array
    codes: Ragged

    def numbered(self, numbers: NDArray[np.int32], wordless: int) -> Ragged:
        """Put a number in the place of each word, ``int32``.

        Args:
            numbers: ``int32``, one for each of ``distinct``.
            wordless: what a text without words becomes.
        """
        values, offsets = numbers[self.codes.values], self.codes.offsets
        empty = np.flatnonzero(np.diff(offsets) == 0)
        if len(empty):
            values = np.insert(values, offsets[empty], wordless).astype(np.int32)
            offsets = offsets + np.searchsorted(empty, np.arange(len(offsets)))
        return Ragged(values, offsets)


def split_words(texts: pa.Array, rules: int = CURRENT) -> Words:
    """Split texts into words.

    Args:
        texts: ``string[n]`` without nulls.
        rules: number of the word rules.

    >>> words = split_words(pa.array(["It's NOT good!<br />Not at all.", "?"]))
    >>> words.distinct.take(pa.array(words.codes[0])).to_pylist()
    ["it's", 'not', 'good', 'not', 'at', 'all']
    >>> len(words.codes[1])
    0
    """
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    spaced, separator, ends_trimmed = separated(texts, rules)
    lists = pc.split_pattern_regex(spaced, pattern=separator)
    encoded = pc.dictionary_encode(lists.flatten())
    # Trimming the few distinct words is far cheaper than trimming every word; two words
    # may become one by it ("'good'" and "good"), so they are numbered anew.
    trimmed = pc.dictionary_encode(pc.utf8_trim(encoded.dictionary, ends_trimmed))
    codes = trimmed.indices.to_numpy(zero_copy_only=False)[encoded.indices.to_numpy()]
    # What the separator cuts off at the ends of a text is an empty word: drop those.
    empty = pc.index(trimmed.dictionary, "").as_py()
    kept = codes != empty
    ends = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
    offsets = ends[lists.offsets.to_numpy().astype(np.int64)]
    return Words(trimmed.dictionary, Ragged(codes[kept].astype(np.int32), offsets))


def split_words_in_chunks(texts: Iterable[pa.Array], rules: int = CURRENT) -> Iterator[Words]:
    """Split one array of texts after the other, on two cores, results in order."""
    remaining = iter(texts)
    with ThreadPoolExecutor(_THREADS) as pool:
        running = [
            pool.submit(split_words, texts, rules) for texts in islice(remaining, _THREADS + 1)
        ]
        while running:
            yield running.pop(0).result()
            running.extend(pool.submit(split_words, texts, rules) for texts in islice(remaining, 1))


def count_characters(words: Words) -> int:
    """Count the characters of texts as a model sees them: words, and what ends each.

    Behind every word stands one character: a space or, behind the last, the text's end.
    Punctuation is not seen.

    >>> count_characters(split_words(pa.array(["A good film!", "Not bad"])))
    20
    """
    lengths = pc.utf8_length(words.distinct).to_numpy(zero_copy_only=False)
    return int(lengths[words.codes.values].sum()) + len(words.codes.values)


def concatenate(parts: Sequence[Ragged]) -> Ragged:
    """Put ragged arrays one behind the other."""
    starts = np.cumsum([0, *(len(part.values) for part in parts)], dtype=np.int64)
    offsets = [part.offsets[:-1] + start for part, start in zip(parts, starts[:-1], strict=True)]
    values = [part.values for part in parts]
    return Ragged(
        np.concatenate(values) if values else np.empty(0, np.int32),
        np.concatenate([*offsets, starts[-1:]]),
    )
