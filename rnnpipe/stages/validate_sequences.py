"""Stage ``validate_sequences``: stop here if the sequences are not what training can rely on."""

from dataclasses import asdict
from pathlib import Path

from rnnpipe.files import write_json
from rnnpipe.params import Params
from rnnpipe.validation import check, require, sequence_facts, sequence_suite

SEQUENCES = Path("data/sequences")
REPORT = Path("reports/validation_sequences.json")
DOCS = Path("reports/data_docs")
SUITE = "sequences"


def run(params: Params) -> None:
    """Check the sequences; the report is written before a failure ends the stage."""
    facts = sequence_facts(SEQUENCES)
    verdict = check(facts, sequence_suite(), SUITE, DOCS)
    write_json(REPORT, asdict(verdict))
    require(verdict, DOCS / SUITE / "index.html")
