"""What can be learnt: one file a problem, each a value that the stages are handed."""

from importlib import import_module

from rnnpipe.params import Params
from rnnpipe.problems.problem import Problem
from rnnpipe.selection import Wording

# Named, not imported: a stage executes, and depends on, the file of its own problem alone.
PROBLEMS = {
    "classification": "rnnpipe.problems.classification",
    "language_model": "rnnpipe.problems.language_model",
    "forecasting": "rnnpipe.problems.forecasting",
}


def problem_of(params: Params) -> Problem:
    """Give the problem that the parameters name."""
    return _named(params.problem)


def wording_of(name: str) -> Wording:
    """Tell how a problem's reports speak."""
    return _named(name).wording


def _named(name: str) -> Problem:
    problem: Problem = import_module(PROBLEMS[name]).PROBLEM
    return problem
