"""Stage ``report``: the whole story of the run as one page that needs no server."""

import logging
import os
from pathlib import Path

from rnnpipe.files import atomic_file
from rnnpipe.params import Params, describe_params
from rnnpipe.places import places_of
from rnnpipe.problems import PROBLEMS, problem_of
from rnnpipe.report import build_page, read_story


def run(params: Params) -> None:
    """Read what the other stages reported and write ``index.html`` among the reports."""
    problem = problem_of(params)
    places = problem.places
    path = places.reports / "index.html"
    others = {
        name: os.path.relpath(places_of(name).reports / path.name, places.reports)
        for name in PROBLEMS
        if name != problem.name
    }
    page = build_page(
        read_story(Path(), places, problem.suites),
        confidence=params.evaluate.confidence,
        meanings={param.name: param.meaning for param in describe_params(type(params))},
        wording=problem.wording,
        places=places,
        others=others,
    )
    with atomic_file(path) as partial:
        partial.write_text(page, encoding="utf-8")
    logging.getLogger(__name__).info("%s, %.0f kB", path, len(page.encode()) / 1000)
