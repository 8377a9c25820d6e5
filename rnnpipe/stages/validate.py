"""Stage ``validate``: stop here if the reviews are not what training can rely on."""

from dataclasses import asdict
from pathlib import Path

from rnnpipe.files import write_json
from rnnpipe.params import Params
from rnnpipe.problems import problem_of
from rnnpipe.validation import check, require

REVIEWS = Path("data/reviews.parquet")
REPORT = Path("reports/validation.json")
DOCS = Path("reports/data_docs")


def run(params: Params) -> None:
    """Check the reviews; the report is written before a failure ends the stage."""
    checks = problem_of(params).review_checks(REVIEWS, params.validate_)
    verdict = check(checks.facts, checks.suite, checks.name, DOCS)
    write_json(REPORT, asdict(verdict))
    require(verdict, DOCS / checks.name / "index.html")
