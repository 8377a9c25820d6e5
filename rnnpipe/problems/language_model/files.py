"""What the language model's stages hand each other, and what they take from the root pipeline."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnpipe.storage.paths import paths_of
from rnnpipe.text.sequences import open_sequences
from rnnpipe.text.tokens import Ragged

REVIEWS = Path("data/reviews.parquet")
SEQUENCES = Path("data/sequences")
WORD_VECTORS = Path("data/word_vectors.npy")
VALIDATED = Path("reports/validation_sequences.json")

_PLACES = paths_of("language_model")

BASELINE = _PLACES.data / "ngrams.parquet"
NGRAMS = _PLACES.data / "ngrams.npz"  # as far as the mixture needs them
MIXTURE = _PLACES.data / "mixture.json"
LOSSES = _PLACES.data / "losses"
NETWORK = _PLACES.network
REPORTS = _PLACES.reports


def open_texts() -> tuple[Ragged, dict[str, NDArray[np.int64]]]:
    """Open the sequences, and say which belong to whom.

    Returns:
        All token ids, and the rows, ``int64[n]``, of ``train`` (labelled or not), ``validation``
        and ``test``: by film, as sentiment has them.
    """
    index, sequences = open_sequences(SEQUENCES)
    split = index["split"]
    return sequences, {
        "train": np.flatnonzero(split.isin(["train", "unlabelled"])),
        "validation": np.flatnonzero(split == "validation"),
        "test": np.flatnonzero(split == "test"),
    }
