"""A small corpus of any number of classes, as the stage ``sequences`` leaves it."""

import random
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rnnpipe.config.text import Sequences
from rnnpipe.problems.classification.classes import with_classes
from rnnpipe.text.splits import build_sequences

REVIEWS = Path("data/reviews.parquet")
SEQUENCES = Path("data/sequences")
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("label", pa.int8()),
        ("film", pa.string()),
        ("text", pa.string()),
        ("duplicate_of", pa.string()),
    ]
)


def write_corpus(folder: Path, classes: list[str], rows: int = 300) -> pd.DataFrame:
    """Write texts that hold the name of their class, the first class as often as all others.

    One in five is unlabelled, one in five of the test split. Returns the reviews.
    """
    drawn = random.Random(1)
    written = []
    for row in range(rows):
        label = drawn.choice([0] * (len(classes) - 1) + [*range(1, len(classes))])
        words = [f"word{drawn.randrange(40)}" for _ in range(drawn.randint(4, 12))]
        words[drawn.randrange(len(words))] = classes[label]
        split = ("unlabelled", "test", "train", "train", "train")[row % 5]
        labelled = None if split == "unlabelled" else label
        written.append((f"r{row}", split, labelled, f"f{row // 2}", " ".join(words), None))
    table = pd.DataFrame(written, columns=_SCHEMA.names)
    schema = with_classes(_SCHEMA, classes)
    (folder / REVIEWS).parent.mkdir(parents=True)
    reviews = pa.Table.from_pandas(table, schema=_SCHEMA, preserve_index=False).cast(schema)
    pq.write_table(reviews, folder / REVIEWS)
    build_sequences(folder / REVIEWS, folder / SEQUENCES, Sequences())
    index = pq.read_table(folder / SEQUENCES / "index.parquet")
    named = index.cast(with_classes(index.schema, classes))
    pq.write_table(named, folder / SEQUENCES / "index.parquet")
    return table.set_index("id")
