"""What ``rnnpipe init`` can be told of a table of texts."""

import argparse


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Add what a person may know better."""
    for role, what in (
        ("text", "column of the texts"),
        ("label", "column of the labels"),
        ("split", "column that says train and test; -: none"),
        ("group", "column that ties rows together, such as an author; -: none"),
    ):
        parser.add_argument(f"--{role}-column", metavar="NAME", help=what)
