"""What ``rnnpipe init`` can be told of a table of a series."""

import argparse


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Add what a person may know better."""
    parser.add_argument("--time-column", metavar="NAME", help="column of the times")
    parser.add_argument(
        "--series-column", metavar="NAME", help="column that tells several series apart"
    )
    parser.add_argument(
        "--target", metavar="NAME", action="append", help="a column to forecast; may come again"
    )
    parser.add_argument("--steps", metavar="N", type=int, help="steps ahead to forecast")
    parser.add_argument("--season", metavar="N", type=int, help="steps of a season; 1: none")
