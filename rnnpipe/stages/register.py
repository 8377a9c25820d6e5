"""Stage register: assemble the model folder and judge it; a refused model is kept, too."""

import logging
from dataclasses import asdict

from rnnpipe.config.load import Params
from rnnpipe.problems import problem_of
from rnnpipe.registry.decision import decide, trace
from rnnpipe.storage.files import read_json, write_json

logger = logging.getLogger(__name__)


def run(params: Params) -> None:
    """Write ``models/PROBLEM`` and, beside it, the decision on it."""
    problem = problem_of(params)
    paths = problem.paths
    lineage = trace(
        problem.lineage,
        params.model_dump(mode="json", by_alias=True, include=set(problem.model_sections)),
    )
    decision = decide(
        paths.model_name,
        params.register_,
        problem.selection,
        model=problem.assemble(params, lineage),
        metrics=read_json(paths.reports / "metrics.json"),
        suites=[read_json(path) for path in problem.validation_reports],
        lineage=lineage,
        further=lambda metrics: problem.gates(metrics, params),
    )
    write_json(paths.decision, asdict(decision))
    logger.info("%s %s: %s", decision.name, decision.verdict, "; ".join(map(str, decision.reasons)))
    if any(gate.name == "better_than_baseline" and not gate.passed for gate in decision.reasons):
        logger.warning("%s", problem.if_baseline_is_better)
    if decision.verdict == "refused":
        logger.info(
            "%s says what to try (%s writes it next)", paths.reports / "index.html", paths.run
        )
