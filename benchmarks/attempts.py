"""The pipeline run several times over, with other parameters: what came out of each run."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rnnpipe.commands.project_copy import figures_of
from rnnpipe.errors import RnnpipeError
from rnnpipe.storage.files import read_json
from rnnpipe.storage.paths import paths_of

COPIES = Path(".try")  # where the copies of the project go that the runs work in
# How a network compares with its baseline, where ``metrics.json`` has it: McNemar's test, or the
# difference at each horizon with its interval.
COMPARISONS = ("mcnemar", "difference")


def read_outcome(project: Path, problem: str = "classification") -> dict[str, Any]:
    """Read what the last run of a problem's pipeline reported.

    Args:
        project: the project's folder.
        problem: its name.

    Returns:
        The figures by which its runs are compared (``rnnpipe/problems/NAME/outcome.py``), on test,
        with ``_low`` and ``_high`` behind the name the ends of a figure's interval where it has one;
        with ``validation_`` before it the same on validation, ``baseline_`` of the baseline, and
        ``baseline_validation_``. ``mcnemar`` or ``difference``: network against baseline on test,
        with ``validation_`` before it on validation. ``network``: SHA-256 of the trained network.
    """
    metrics = read_json(project / paths_of(problem).metrics)
    baseline = metrics["baseline"]
    outcome: dict[str, Any] = {}
    for name, value in figures_of(problem, metrics).items():
        outcome[name] = value
        ends = (f"{name}_low", f"{name}_high")
        outcome |= {end: metrics[end] for end in ends if end in metrics}
    for prefix, part in (
        ("validation", metrics["validation"]),
        ("baseline", baseline),
        ("baseline_validation", baseline["validation"]),
    ):
        found = figures_of(problem, part)
        outcome |= {f"{prefix}_{name}": value for name, value in found.items()}
    for name in COMPARISONS:
        if name in baseline:
            outcome |= {name: baseline[name], f"validation_{name}": baseline["validation"][name]}
    decision = read_json(project / paths_of(problem).decision)
    return outcome | {"network": decision["lineage"]["steps"]["network"]}


def exit_code(work: Callable[[], None]) -> int:
    """Do the work of a command; an error that tells what to do needs no traceback."""
    try:
        work()
    except RnnpipeError as error:
        print(f"rnnpipe: {error}", file=sys.stderr)
        return error.exit_code
    return 0
