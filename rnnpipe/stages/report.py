"""Stage ``report``: the whole story of the run as one page that needs no server."""

import logging
from pathlib import Path

from rnnpipe.files import atomic_file
from rnnpipe.params import SentimentParams, describe_params
from rnnpipe.report import build_page, read_story

PAGE = Path("reports/index.html")


def run(params: SentimentParams) -> None:
    """Read what the other stages reported and write ``reports/index.html``."""
    page = build_page(
        read_story(Path()),
        confidence=params.evaluate.confidence,
        meanings={param.name: param.meaning for param in describe_params()},
    )
    with atomic_file(PAGE) as partial:
        partial.write_text(page, encoding="utf-8")
    logging.getLogger(__name__).info("%s, %.0f kB", PAGE, len(page.encode()) / 1000)
