"""``python -m flows.search``: run, show, apply or forget a search."""

import logging
import sys

from flows import lifeline

lifeline.ask_for_longer()
from flows.search.command import main  # noqa: E402  # Prefect is imported now

if __name__ == "__main__":
    logging.captureWarnings(True)
    sys.exit(main())
