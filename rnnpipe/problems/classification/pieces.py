"""Validation as a calibration sees it: two halves without a film in common, reviews and sentences.

A sentence bears the label of the review that it stands in.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rnnpipe.problems.classification.files import REVIEWS, SEQUENCES
from rnnpipe.text.held_out import held_out, place_of
from rnnpipe.text.sentences import split_sentences
from rnnpipe.text.sequences import load_split
from rnnpipe.text.tokens import CHUNK, UNKNOWN_ID, Ragged
from rnnpipe.text.vocabulary import Vocabulary

FEWEST = 50  # reviews of a half; of fewer nothing is fitted
# More make no figure better, and would want more memory the larger the corpus.
_MOST_REVIEWS = 10_000
_MOST_SENTENCES = 100_000


@dataclass(frozen=True)
class Pieces:
    """Some reviews of validation and their sentences.

    Attributes:
        labels: ``int8[n]``, of the reviews.
        reviews: their token ids, ragged.
        sentences: token ids of the sentences that hold a known word, ragged.
        review: ``int64[m]``, which of the reviews each sentence stands in.
    """

    labels: NDArray[np.int8]
    reviews: Ragged
    sentences: Ragged
    review: NDArray[np.int64]


def halves() -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
    """Divide the rows of validation.

    A film's reviews stand on one side, by a fixed hash; a review without a film is a group of its
    own. Of a large split 10,000 are taken, by that hash, of both sides alike.

    Returns:
        ``int64[n]``, rising numbers of rows; ``bool[n]``, which of them are the first half, or None
        where a half would have fewer than 50 reviews, or lack a class that validation has.
    """
    index = pq.read_table(
        SEQUENCES / "index.parquet",
        columns=["id", "label", "film"],
        filters=pc.field("split") == "validation",
    )
    ids, films = index["id"].to_pylist(), index["film"].to_pylist()
    labels = index["label"].to_numpy()
    groups = [
        f"film:{film}" if film is not None else f"id:{name}"
        for name, film in zip(ids, films, strict=True)
    ]
    places = np.array([place_of(f"calibration:{group}".encode()) for group in groups])
    first = held_out(places, 0.5, "calibration", labels)
    rows = np.sort(np.argsort(2 * places % 1, kind="stable")[:_MOST_REVIEWS])
    first, labels = first[rows], labels[rows]
    for side in (first, ~first):
        if side.sum() < FEWEST or len(np.unique(labels[side])) < len(np.unique(labels)):
            return rows, None
    return rows, first


def cut(rows: NDArray[np.int64]) -> Pieces:
    """Read some reviews of validation, whole and sentence by sentence.

    Args:
        rows: ``int64[n]``, their numbers in the split.
    """
    split = load_split(SEQUENCES, "validation")
    texts = _texts([split.ids[row] for row in rows])
    parts = [(sentence, n) for n, text in enumerate(texts) for sentence in split_sentences(text)]
    chosen = np.unique(
        np.linspace(0, len(parts) - 1, min(len(parts), _MOST_SENTENCES)).astype(np.int64)
    )
    vocabulary = Vocabulary.load(SEQUENCES / "vocabulary.json")
    sentences = vocabulary.encode_texts([parts[place][0] for place in chosen])
    known = np.append(0, np.cumsum(sentences.values != UNKNOWN_ID))[sentences.offsets]
    told = np.flatnonzero(np.diff(known))
    review = np.array([parts[place][1] for place in chosen], np.int64)[told]
    return Pieces(split.labels[rows], split.sequences.take(rows), sentences.take(told), review)


def _texts(ids: list[str]) -> list[str]:
    """Return the texts of some reviews; of the others no more than a piece at once is in memory."""
    wanted = pa.array(ids, pa.string())
    found: dict[str, str] = {}
    table = pq.ParquetFile(REVIEWS)
    # Asked for all row groups at once, Arrow keeps the bytes of each one until the last is read.
    for group in range(table.num_row_groups):
        for batch in table.iter_batches(CHUNK, row_groups=[group], columns=["id", "text"]):
            here = batch.filter(pc.is_in(batch["id"], wanted))
            found |= dict(zip(here["id"].to_pylist(), here["text"].to_pylist(), strict=True))
    return [found[name] for name in ids]
