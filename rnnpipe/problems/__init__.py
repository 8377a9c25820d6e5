"""What can be learnt: one folder a problem, found by its name.

Named, not imported: a stage executes, and depends on, the folder of its own problem alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnpipe.config.load import Params
    from rnnpipe.problems.problem import Problem


def problem_of(params: Params) -> Problem[Any]:
    """Return the problem that the parameters name."""
    return problem_by(params.problem)


def problem_by(name: str) -> Problem[Any]:
    """Return a problem by its name."""
    problem: Problem[Any] = import_module(f"rnnpipe.problems.{name}.problem").PROBLEM
    return problem
