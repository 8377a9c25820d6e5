"""Stage ``report``: the whole story of the run as one page that needs no server."""

import logging
import os
from pathlib import Path

from rnnpipe.config.describe import describe_params
from rnnpipe.config.load import Params
from rnnpipe.problems import problem_of
from rnnpipe.reporting.page import build_page
from rnnpipe.reporting.story import read_story
from rnnpipe.storage.files import atomic_file
from rnnpipe.storage.paths import paths_of, problem_names


def run(params: Params) -> None:
    """Read what the other stages reported and write ``index.html`` among the reports."""
    problem = problem_of(params)
    paths, wording = problem.paths, problem.wording()
    path = paths.reports / "index.html"
    others = {
        name: os.path.relpath(paths_of(name).reports / path.name, paths.reports)
        for name in problem_names()
        if name != problem.name
    }
    page = build_page(
        read_story(Path(), paths, problem.validation_reports, wording),
        confidence=params.evaluate.confidence,
        meanings={param.name: param.meaning for param in describe_params(type(params))},
        wording=wording,
        paths=paths,
        others=others,
    )
    with atomic_file(path) as partial:
        partial.write_text(page, encoding="utf-8")
    logging.getLogger(__name__).info("%s, %.0f kB", path, len(page.encode()) / 1000)
