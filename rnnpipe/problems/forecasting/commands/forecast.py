"""The command ``forecast``: tell how a series goes on, with a registered model."""

import argparse
import json
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("file", help="CSV or parquet with times and the columns")
    parser.add_argument("--time-column", default="date", help="its column of times (date)")
    parser.add_argument("--steps", type=int, help="how many to tell (all that the model gives)")
    parser.add_argument("--model", help="folder, version or stage; default: the work tree's")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, not CSV")


def run(options: Any) -> None:
    """Print a line for each step ahead."""
    from rnnpipe.problems.forecasting.forecast import load_forecaster
    from rnnpipe.storage.addresses import home_path

    model = load_forecaster(options.model)
    found = model.forecast(home_path(options.file), options.time_column, options.steps)
    if not options.json:
        print(options.time_column, *found.names, sep=",")
    for time, values in zip(found.times, found.values, strict=True):
        moment = str(time).replace("T", " ").removesuffix(".000000")
        numbers = [float(f"{value:.6g}") for value in values]
        if options.json:
            row = dict(zip(found.names, numbers, strict=True))
            print(json.dumps({options.time_column: moment} | row))
        else:
            print(moment, *numbers, sep=",")
