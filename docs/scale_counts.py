"""What docs/scale.md counts in the IMDB reviews: ``python -m docs.scale_counts``, after a run.

The benchmark of growth repeats the reviews, so the words and pairs of words that new text brings
are counted here, on parts of the real text. Half a minute; figures go to docs/scale.json.
"""

import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.growth import find_archive
from rnnpipe.config.load import load_params
from rnnpipe.metrics.classification import CLASSIFICATION_METRICS
from rnnpipe.metrics.interval import bootstrap
from rnnpipe.networks.layers import BIGRAM_MULTIPLIER
from rnnpipe.problems.classification.files import REVIEWS, SEQUENCES
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.storage.files import write_json
from rnnpipe.text.batching import draw_batches
from rnnpipe.text.sequences import load_split
from rnnpipe.text.tokens import split_words
from rnnpipe.text.vocabulary import Vocabulary
from rnnpipe.text.word_vectors import _count_pairs

COUNTS = Path("docs/scale.json")
WORD_SIZES = (5_000, 10_000, 20_000, 40_000)
PAIR_SIZES = (3_000, 6_000, 12_000, 24_000)
BATCHES = 40


def distinct_words() -> dict[str, int]:
    """Count the distinct words of so many reviews, drawn at random."""
    texts = pq.read_table(REVIEWS, columns=["text"])["text"].combine_chunks()
    order = np.random.default_rng(1).permutation(len(texts))
    met: set[str] = set()
    found, start = {}, 0
    for stop in WORD_SIZES:
        met.update(split_words(texts.take(pa.array(order[start:stop]))).distinct.to_pylist())
        found[str(stop)], start = len(met), stop
    return found


def distinct_pairs(params: ClassificationParams) -> dict[str, int]:
    """Count the pairs of words, as the stage word_vectors holds them, of so many reviews."""
    everything = load_split(SEQUENCES, "unlabelled").sequences
    order = np.random.default_rng(1).permutation(len(everything))
    known = len(Vocabulary.load(SEQUENCES / "vocabulary.json"))
    window = params.word_vectors.window
    return {
        str(size): int(_count_pairs([everything.take(order[:size])], known, window).nnz)
        for size in PAIR_SIZES
    }


def batches(params: ClassificationParams) -> dict[str, float]:
    """Average the words of a review and, over some batches, the rows that a batch touches."""
    train, values = load_split(SEQUENCES, "train").sequences, params.train
    lengths = np.minimum(train.lengths, values.sequence_length)
    words, buckets = [], []
    for rows in draw_batches(lengths, values.batch_size, bucket=True, seed=1, epoch=0)[:BATCHES]:
        ids = [train[row][-values.sequence_length :].astype(np.int64) for row in rows]
        pairs = [np.append(0, each[:-1]) * BIGRAM_MULTIPLIER + each for each in ids]
        words.append(len(np.unique(np.concatenate(ids))))
        buckets.append(len(np.unique(np.concatenate(pairs) % values.bigram_buckets)))
    return {
        "words_read_of_a_review": round(float(lengths.mean()), 1),
        "word_rows_of_a_batch": round(float(np.mean(words))),
        "pair_rows_of_a_batch": round(float(np.mean(buckets))),
    }


def table() -> dict[str, float]:
    """Measure what a review takes in the archive and in the table."""
    footer = pq.ParquetFile(REVIEWS).metadata
    with tarfile.open(find_archive()) as tar:
        members = [m for m in tar if m.name.startswith(("aclImdb/train/", "aclImdb/test/"))]
    packed = sum(512 + -(-member.size // 512) * 512 for member in members)
    lines = next(m.size for m in members if m.name == "aclImdb/train/urls_unsup.txt")
    texts = pq.read_table(REVIEWS, columns=["text"])["text"]
    return {
        "reviews": len(texts),
        "text_bytes": round(pc.sum(pc.binary_length(texts)).as_py() / len(texts)),
        "archive_bytes": round(packed / len(texts)),
        "film_list_bytes": round(lines / 50_000, 1),
        "footer_bytes_of_a_row_group": round(footer.serialized_size / footer.num_row_groups),
    }


def bootstrap_nanoseconds() -> float:
    """Time one resample of one row, all metrics together."""
    random = np.random.default_rng(0)
    probabilities = random.random(25_000)
    labels = (random.random(25_000) < probabilities).astype(np.int8)
    began = time.process_time()
    bootstrap(CLASSIFICATION_METRICS, labels, probabilities, samples=50, confidence=0.95, seed=1)
    return round((time.process_time() - began) / 50 / len(labels) * 1e9)


def main() -> None:
    """Count, and keep the figures."""
    params = load_params()
    assert isinstance(params, ClassificationParams)
    figures: dict[str, Any] = dict(table())
    figures |= batches(params) | {"bootstrap_ns": bootstrap_nanoseconds()}
    figures |= {"distinct_words": distinct_words(), "distinct_pairs": distinct_pairs(params)}
    write_json(COUNTS, figures)


if __name__ == "__main__":
    main()
