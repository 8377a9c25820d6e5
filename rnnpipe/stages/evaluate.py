"""Stage ``evaluate``: figures, pictures and predictions; it alone opens the test split."""

import logging

from rnnpipe.files import write_json
from rnnpipe.params import Params
from rnnpipe.problems import problem_of


def run(params: Params) -> None:
    """Measure, draw and write."""
    problem = problem_of(params)
    metrics = problem.evaluate(params)
    write_json(problem.places.reports / "metrics.json", metrics)
    name = problem.selection.metric
    logging.getLogger(__name__).info(
        "%s on test %.4f, of the baseline %.4f", name, metrics[name], metrics["baseline"][name]
    )
