"""Stage download: the source, a card's file or a table of your own, to the problem's ``raw/``."""

from functools import partial
from pathlib import Path

from rnnpipe.config.load import Params
from rnnpipe.pipeline.outputs import replace_own, require_outside
from rnnpipe.problems import problem_of
from rnnpipe.storage.download import fetch

# Outside the stage's outputs, which DVC removes before a run: a broken transfer can go on.
PARTIALS = Path(".rnnpipe/partial")


def run(params: Params) -> None:
    """Fetch the source into the folder ``raw``, which is replaced."""
    problem = problem_of(params)
    raw, name = problem.paths.data / "raw", problem.table.stem
    fetch(
        params.download.source,
        raw,
        PARTIALS,
        table_name=name,
        check_path=require_outside,
        replacing=partial(replace_own, problem=problem.name),
    )
