"""Stage ``sequences``: reviews to token ids, divided into splits."""

import logging
from dataclasses import asdict
from pathlib import Path

from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.storage.files import write_json
from rnnpipe.text.splits import build_sequences

REVIEWS = Path("data/reviews.parquet")
SEQUENCES = Path("data/sequences")
REPORT = Path("reports/sequences.json")


def run(params: ClassificationParams) -> None:
    """Divide, count, encode, and report what was dropped."""
    report = build_sequences(REVIEWS, SEQUENCES, params.sequences)
    write_json(REPORT, asdict(report))
    logging.getLogger(__name__).info(
        "%d train, %d validation, %d test, %d unlabelled reviews; %d token ids",
        report.train,
        report.validation,
        report.test,
        report.unlabelled,
        report.vocabulary_size,
    )
