"""What can be learnt: one file a problem, each a value that the stages are handed."""

from rnnpipe.params import Params
from rnnpipe.problems.problem import Problem
from rnnpipe.problems.sentiment import SENTIMENT

PROBLEMS = {"sentiment": SENTIMENT}


def problem_of(params: Params) -> Problem:
    """Give the problem that the parameters name."""
    return PROBLEMS[params.problem]
