"""Stage ``baseline``: the simple model that ours is shown beside."""

import logging

from rnnpipe.config.load import Params
from rnnpipe.problems import problem_of
from rnnpipe.storage.files import write_json


def run(params: Params) -> None:
    """Fit it, keep what it predicts, and report its figures."""
    problem = problem_of(params)
    report = problem.baseline(params)
    write_json(problem.paths.reports / "baseline.json", report)
    shown = ", ".join(f"{name} {value:,}" for name, value in report.items())
    logging.getLogger(__name__).info("baseline: %s", shown)
