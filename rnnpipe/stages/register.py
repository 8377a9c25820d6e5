"""Stage register: assemble the model folder and judge it; a refused model is kept, too."""

import logging
from dataclasses import asdict

from rnnpipe.files import read_json, write_json
from rnnpipe.params import Params
from rnnpipe.problems import problem_of
from rnnpipe.registry import decide, trace

logger = logging.getLogger(__name__)


def run(params: Params) -> None:
    """Write ``models/PROBLEM`` and, beside it, the decision on it."""
    problem = problem_of(params)
    places = problem.places
    lineage = trace(
        problem.steps,
        params.model_dump(mode="json", by_alias=True, include=set(problem.shaping)),
    )
    decision = decide(
        places.model_name,
        params.register_,
        problem.selection,
        model=problem.assemble(params, lineage),
        metrics=read_json(places.reports / "metrics.json"),
        suites=[read_json(path) for path in problem.suites],
        lineage=lineage,
    )
    write_json(places.decision, asdict(decision))
    logger.info("%s %s: %s", decision.name, decision.verdict, "; ".join(map(str, decision.reasons)))
