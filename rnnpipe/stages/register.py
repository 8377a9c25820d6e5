"""Stage register: assemble the model folder and judge it; a refused model is kept, too."""

import logging
from dataclasses import asdict
from pathlib import Path

from rnnpipe.files import read_json, write_json
from rnnpipe.params import Params
from rnnpipe.problems import problem_of
from rnnpipe.registry import METRICS, REGISTRATION, assemble, decide, model_path, trace
from rnnpipe.sequences import Padding

REVIEWS = Path("data/reviews.parquet")
SEQUENCES = Path("data/sequences")
NETWORK = Path("models/network")
PREDICTIONS = Path("data/predictions/validation.parquet")
SUITES = (Path("reports/validation.json"), Path("reports/validation_sequences.json"))

# The sections that shape what is learnt from the reviews (the baseline teaches); the others only
# judge or describe it.
SHAPING = {"problem", "sequences", "word_vectors", "baseline", "train"}

logger = logging.getLogger(__name__)


def run(params: Params) -> None:
    """Write ``models/PROBLEM`` and, beside it, the decision on it."""
    problem = problem_of(params)
    lineage = trace(
        reviews=REVIEWS,
        sequences=SEQUENCES,
        network=NETWORK,
        params=params.model_dump(mode="json", by_alias=True, include=SHAPING),
    )
    model = assemble(
        model_path(problem.name),
        problem=problem.name,
        label_names=problem.label_names,
        params=params.model_dump(mode="json", include={"sequences", "train"})
        | {"padding": asdict(Padding.of(params.train))},
        lineage=lineage,
        network=NETWORK / "network.keras",
        exported=NETWORK / "network.onnx",
        vocabulary=SEQUENCES / "vocabulary.json",
        metrics=METRICS,
        predictions=PREDICTIONS,
        reviews=REVIEWS,
    )
    decision = decide(
        problem.name,
        params.register_,
        model=model,
        metrics=read_json(METRICS),
        suites=[read_json(path) for path in SUITES],
        lineage=lineage,
    )
    write_json(REGISTRATION, asdict(decision))
    logger.info("%s %s: %s", decision.name, decision.verdict, "; ".join(map(str, decision.reasons)))
