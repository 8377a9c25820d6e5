"""The command ``forecast``: tell how a series goes on, with a registered model."""

import argparse
import csv
import json
import sys
from typing import Any

from rnnpipe.errors import printable
from rnnpipe.runtime.arguments import add_csv_arguments, path, path_or_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("file", type=path, help="CSV or parquet with times and the columns")
    parser.add_argument(
        "--time-column", help="its column of times (called as the one that the model learnt from)"
    )
    add_csv_arguments(parser)
    parser.add_argument("--steps", type=int, help="how many to tell (all that the model gives)")
    parser.add_argument(
        "--model", type=path_or_name, help="folder, version or stage; default: the work tree's"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line, not CSV")


def run(options: Any) -> None:
    """Print a line for each step ahead."""
    from rnnpipe.problems.forecasting.forecast import load_forecaster
    from rnnpipe.storage.csv_format import CsvFormat
    from rnnpipe.storage.spreadsheet import plain_cell

    model = load_forecaster(options.model)
    csv_format = CsvFormat(options.quoting, options.escape, options.encoding)
    found = model.forecast(options.file, options.time_column, options.steps, csv_format)
    if not options.json:
        names = (printable(plain_cell(name)) for name in (found.time_name, *found.names))
        csv.writer(sys.stdout, lineterminator="\n").writerow(names)
    for moment, values in zip(found.shown_times, found.values, strict=True):
        numbers = [float(f"{value:.6g}") for value in values]
        if options.json:
            row = dict(zip(found.names, numbers, strict=True))
            print(json.dumps({found.time_name: moment} | row))
        else:
            print(moment, *numbers, sep=",")
