"""Stage ``validate``: stop here if the data are not what training can rely on."""

from rnnpipe.config.load import Params
from rnnpipe.problems import problem_of
from rnnpipe.validation.verdict import gate


def run(params: Params) -> None:
    """Check the data; the report is written before a failure ends the stage."""
    problem = problem_of(params)
    checks = problem.validate(params)
    reports = problem.paths.reports
    report = reports / "validation.json"
    gate(checks, report, reports / "data_docs")
