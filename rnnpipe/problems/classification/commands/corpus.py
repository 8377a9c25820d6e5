"""The command ``corpus``: write a generated corpus in the IMDB archive's layout."""

import argparse
from typing import Any

from rnnpipe.runtime.arguments import path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("out", type=path, help="the archive to write (.tar.gz)")
    parser.add_argument("--reviews", type=int, default=4000, help="number of reviews (4000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the grammar (1)")


def run(options: Any) -> None:
    """Write it, and print its content digest."""
    from rnnpipe.problems.classification.generated import write_corpus

    print(write_corpus(options.out, options.reviews, options.seed))
