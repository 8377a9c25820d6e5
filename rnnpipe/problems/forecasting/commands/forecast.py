"""The command ``forecast``: tell how a series goes on, with a registered model."""

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

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
    parser.add_argument(
        "--baseline", action="store_true", help="by the linear forecaster beside the network"
    )
    parser.add_argument(
        "--levels",
        type=_levels,
        default=(),
        metavar="80,95",
        help="bands about the forecast, in percent of the values that they should hold",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line, not CSV")


def _levels(text: str) -> tuple[float, ...]:
    try:
        return tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"found {text[:50]!r}, expected numbers with commas between, such as 80,95"
        ) from None


def run(options: Any) -> None:
    """Print a line for each step ahead."""
    import numpy as np

    from rnnpipe.problems.forecasting.forecast import load_forecaster
    from rnnpipe.storage.csv_format import CsvFormat

    model = load_forecaster(options.model, baseline=options.baseline)
    csv_format = CsvFormat(options.quoting, options.escape, options.encoding)
    found = model.forecast(
        options.file, options.time_column, options.steps, csv_format, options.levels
    )
    told_apart = (found.id_name,) if found.id_name else ()
    ends = [
        (f"{name}_{end}_{level:g}", values[:, column])
        for column, name in enumerate(found.names)
        for level, pair in found.bands.items()
        for end, values in zip(("low", "high"), pair, strict=True)
    ]
    names = (*told_apart, found.time_name, *found.names, *(name for name, _ in ends))
    told = np.column_stack([found.values, *(values for _, values in ends)])
    ids: list[tuple[str, ...]] = [(id_,) for id_ in found.ids] or [()] * len(found.times)
    # Python writes a number as the shortest text that reads back as the same.
    rows = (
        (*id_, moment, *values)
        for id_, moment, values in zip(ids, found.shown_times, told.tolist(), strict=True)
    )
    if options.json:
        for row in rows:
            print(json.dumps(dict(zip(names, row, strict=True))))
    else:
        _write_csv(sys.stdout, names, rows)


def _write_csv(file: TextIO, names: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table that reads back alike; what a terminal shows, is shown harmlessly.

    All names but the time's stand in the user's own file: they are no news to her spreadsheet.
    """
    from rnnpipe.storage.spreadsheet import plain_cell

    if file.isatty():
        names = [printable(plain_cell(name)) for name in names]
    # Of line breaks Python quotes by itself none but the one that it ends lines with.
    ends = any("\r" in name for name in names)
    csv.writer(
        file, lineterminator="\n", quoting=csv.QUOTE_ALL if ends else csv.QUOTE_MINIMAL
    ).writerow(names)
    csv.writer(file, lineterminator="\n").writerows(rows)
