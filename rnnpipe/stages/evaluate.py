"""Stage ``evaluate``: figures, pictures and predictions; it alone opens the test split."""

import logging

from rnnpipe.config.load import Params
from rnnpipe.problems import problem_of
from rnnpipe.storage.files import write_json


def run(params: Params) -> None:
    """Measure, draw and write."""
    problem = problem_of(params)
    metrics = problem.evaluate(params)
    write_json(problem.paths.reports / "metrics.json", metrics)
    name = problem.selection.metric
    logging.getLogger(__name__).info(
        "%s on test %.4f, of the baseline %.4f", name, metrics[name], metrics["baseline"][name]
    )
