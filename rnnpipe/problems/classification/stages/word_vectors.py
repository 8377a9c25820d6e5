"""Stage ``word_vectors``: token ids to word vectors, without a look at any label."""

from pathlib import Path

import numpy as np

from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.storage.files import atomic_file
from rnnpipe.text.sequences import load_split
from rnnpipe.text.vocabulary import Vocabulary
from rnnpipe.text.word_vectors import learn_word_vectors

SEQUENCES = Path("data/sequences")
WORD_VECTORS = Path("data/word_vectors.npy")


def run(params: ClassificationParams) -> None:
    """Learn from train and the unlabelled reviews."""
    texts = [load_split(SEQUENCES, name).sequences for name in ("train", "unlabelled")]
    vectors = learn_word_vectors(
        texts,
        len(Vocabulary.load(SEQUENCES / "vocabulary.json")),
        params.word_vectors.size,
        params.word_vectors.window,
        params.word_vectors.seed,
    )
    with atomic_file(WORD_VECTORS) as partial, partial.open("wb") as file:
        np.save(file, vectors)
