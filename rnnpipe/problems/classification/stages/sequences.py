"""Stage ``sequences``: reviews to token ids, divided into splits."""

import logging
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq

from rnnpipe.problems.classification.classes import classes_of
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.storage.files import write_json
from rnnpipe.text.splits import build_sequences

REVIEWS = Path("data/reviews.parquet")
SEQUENCES = Path("data/sequences")
REPORT = Path("reports/sequences.json")


def run(params: ClassificationParams) -> None:
    """Divide, count, encode, and report what was dropped, and of which class what is left."""
    report = build_sequences(REVIEWS, SEQUENCES, params.sequences)
    write_json(REPORT, {**asdict(report), "classes": _rows_of_classes(SEQUENCES / "index.parquet")})
    logging.getLogger(__name__).info(
        "%d train, %d validation, %d test, %d unlabelled reviews; %d token ids",
        report.train,
        report.validation,
        report.test,
        report.unlabelled,
        report.vocabulary_size,
    )


def _rows_of_classes(index: Path) -> dict[str, dict[str, int]]:
    """Count the rows of each class, by its name, in each split of the index."""
    rows = pq.read_table(index, columns=["split", "label"], read_dictionary=["split"]).to_pandas()
    counts = rows.groupby(["split", "label"], observed=True).size()
    return {
        split: {
            name: int(counts.get((split, label), 0)) for label, name in enumerate(classes_of(index))
        }
        for split in ("train", "validation", "test")
    }
