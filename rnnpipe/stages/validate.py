"""Stage ``validate``: stop here if the reviews are not what training can rely on."""

from dataclasses import asdict
from pathlib import Path

from rnnpipe.files import write_json
from rnnpipe.params import Params
from rnnpipe.validation import check, require, review_facts, review_suite

REVIEWS = Path("data/reviews.parquet")
REPORT = Path("reports/validation.json")
DOCS = Path("reports/data_docs")
SUITE = "reviews"


def run(params: Params) -> None:
    """Check the reviews; the report is written before a failure ends the stage."""
    facts = review_facts(REVIEWS)
    verdict = check(facts, review_suite(params.validate_), SUITE, DOCS)
    write_json(REPORT, asdict(verdict))
    require(verdict, DOCS / SUITE / "index.html")
