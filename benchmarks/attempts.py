"""The pipeline run several times over, with other parameters: what came out of each run."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnpipe.errors import RnnpipeError
from rnnpipe.storage.files import read_json

COPIES = Path(".try")  # where the copies of the project go that the runs work in


@dataclass(frozen=True)
class Outcome:
    """The figures of one run of the pipeline; the intervals are those of ``reports/metrics.json``.

    Attributes:
        accuracy: on test.
        accuracy_low: lower end of its interval.
        accuracy_high: upper end of its interval.
        validation_accuracy: on validation.
        baseline_accuracy: of the linear baseline, on test.
        baseline_validation_accuracy: of the linear baseline, on validation.
        mcnemar: network against baseline on test: ``model_only_correct``, ``baseline_only_correct``, ``p_value``.
        validation_mcnemar: the same on validation.
        network: SHA-256 of the trained network.
    """

    accuracy: float
    accuracy_low: float
    accuracy_high: float
    validation_accuracy: float
    baseline_accuracy: float
    baseline_validation_accuracy: float
    mcnemar: Mapping[str, Any]
    validation_mcnemar: Mapping[str, Any]
    network: str


def read_outcome(project: Path) -> Outcome:
    """Read what the last run of a project reported."""
    metrics = read_json(project / "reports" / "metrics.json")
    baseline = metrics["baseline"]
    return Outcome(
        metrics["accuracy"],
        metrics["accuracy_low"],
        metrics["accuracy_high"],
        metrics["validation"]["accuracy"],
        baseline["accuracy"],
        baseline["validation"]["accuracy"],
        baseline["mcnemar"],
        baseline["validation"]["mcnemar"],
        read_json(project / "models" / "registration.json")["lineage"]["steps"]["network"],
    )


def exit_code(work: Callable[[], None]) -> int:
    """Do the work of a command; an error that tells what to do needs no traceback."""
    try:
        work()
    except RnnpipeError as error:
        print(f"rnnpipe: {error}", file=sys.stderr)
        return error.exit_code
    return 0
