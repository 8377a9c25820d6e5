"""``python -m flows.search``: run, show, apply or forget a search."""

import logging
import sys

from flows.search.command import main
from rnnpipe.runtime.encoding import ensure_utf8

if __name__ == "__main__":
    ensure_utf8()
    logging.captureWarnings(True)
    sys.exit(main())
