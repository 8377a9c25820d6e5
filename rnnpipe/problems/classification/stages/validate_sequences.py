"""Stage ``validate_sequences``: stop here if the sequences are not what training can rely on."""

from rnnpipe.problems.classification.checks import sequence_checks
from rnnpipe.problems.classification.files import REPORTS
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.validation.verdict import gate


def run(params: ClassificationParams) -> None:
    """Check the sequences; the report is written before a failure ends the stage."""
    gate(sequence_checks(params), REPORTS / "validation_sequences.json", REPORTS / "data_docs")
