"""``python -m flows.search``: run, show, apply or forget a search."""

import logging
import sys

from flows import lifeline
from flows.ending import leaving
from rnnpipe.runtime.encoding import ensure_utf8

leave = leaving()
lifeline.ask_for_longer()
from flows.search.command import main  # noqa: E402  # Prefect is imported now

if __name__ == "__main__":
    ensure_utf8()
    logging.captureWarnings(True)
    sys.exit(leave(main()))
