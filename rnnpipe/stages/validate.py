"""Stage ``validate``: stop here if the data are not what training can rely on."""

from rnnpipe.params import Params
from rnnpipe.problems import problem_of
from rnnpipe.validation import gate


def run(params: Params) -> None:
    """Check the data; the report is written before a failure ends the stage."""
    problem = problem_of(params)
    checks = problem.checks["validate"](params)
    reports = problem.places.reports
    report = reports / "validation.json"
    gate(checks, report, reports / "data_docs")
