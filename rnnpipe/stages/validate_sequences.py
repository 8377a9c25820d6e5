"""Stage ``validate_sequences``: stop here if the sequences are not what training can rely on."""

from dataclasses import asdict
from pathlib import Path

from rnnpipe.files import write_json
from rnnpipe.params import Params
from rnnpipe.problems import problem_of
from rnnpipe.validation import check, require

SEQUENCES = Path("data/sequences")
REPORT = Path("reports/validation_sequences.json")
DOCS = Path("reports/data_docs")


def run(params: Params) -> None:
    """Check the sequences; the report is written before a failure ends the stage."""
    checks = problem_of(params).sequence_checks(SEQUENCES)
    verdict = check(checks.facts, checks.suite, checks.name, DOCS)
    write_json(REPORT, asdict(verdict))
    require(verdict, DOCS / checks.name / "index.html")
