"""``python -m flows.search``: run, show, apply or forget a search."""

import logging
import sys

from flows.search.command import main

if __name__ == "__main__":
    logging.captureWarnings(True)
    sys.exit(main())
