"""Stage download: the source, a card's archive or a table of your own, to ``data/raw/``."""

from pathlib import Path

from rnnpipe.params import Params
from rnnpipe.sources import fetch

RAW = Path("data/raw")
# Outside the stage's outputs, which DVC removes before a run: a broken transfer can go on.
PARTIALS = Path(".rnnpipe/partial")


def run(params: Params) -> None:
    fetch(params.download.source, RAW, PARTIALS)
