"""Stage download: the source, a card's file or a table of your own, to the problem's ``raw/``."""

from pathlib import Path

from rnnpipe.params import Params
from rnnpipe.problems import problem_of
from rnnpipe.sources import fetch

# Outside the stage's outputs, which DVC removes before a run: a broken transfer can go on.
PARTIALS = Path(".rnnpipe/partial")


def run(params: Params) -> None:
    places = problem_of(params).places
    fetch(params.download.source, places.data / "raw", PARTIALS)
