"""The command ``predict``: judge new texts with a registered model."""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rnnpipe.errors import RnnpipeError, printable
from rnnpipe.runtime.arguments import add_csv_arguments, path_or_name

if TYPE_CHECKING:
    from rnnpipe.problems.classification.predict import Prediction

_MOST_LISTED = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("text", nargs="*", help="texts to judge")
    parser.add_argument(
        "--file",
        type=path_or_name,
        help="CSV or parquet with a text column, or - for one text a line on stdin",
    )
    add_csv_arguments(parser)
    parser.add_argument("--column", default="text", help="the file's text column (default: text)")
    parser.add_argument(
        "--model",
        type=path_or_name,
        help="folder, version (v0.1.0) or stage (prod); default: the work tree's model",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(options: Any) -> None:
    """Print a label and its probability for each text."""
    if bool(options.text) == bool(options.file):
        found = "both texts and --file" if options.file else "no text"
        raise RnnpipeError(f'found {found}, expected rnnpipe predict "text", or --file reviews.csv')
    # The texts first: a file that cannot be read should not wait for the model.
    from rnnpipe.problems.classification.predict_input import read_texts
    from rnnpipe.runtime.encoding import require_utf8
    from rnnpipe.storage.csv_format import CsvFormat

    require_utf8(options.text, "text")
    if options.file:
        csv_format = CsvFormat(options.quoting, options.escape, options.encoding)
        texts = read_texts(options.file, options.column, csv_format)
    else:
        texts = options.text

    from rnnpipe.problems.classification.predict import load_model

    model = load_model(options.model)
    predictions = model.predict(texts, progress=True)
    for line in _lines(predictions, options.json):
        print(line)
    unknown = [row for row, found in enumerate(predictions, start=1) if not found.known_words]
    if unknown and not options.json:
        listed = ", ".join(map(str, unknown[:_MOST_LISTED]))
        print(
            f"rnnpipe: {len(unknown):,} of {len(texts):,} texts hold no word that the model knows,"
            f" so their labels say nothing: text {listed}"
            + (", …" if len(unknown) > _MOST_LISTED else ""),
            file=sys.stderr,
        )


def _lines(predictions: "list[Prediction]", as_json: bool) -> Iterator[str]:
    for prediction in predictions:
        probability = round(prediction.probability, 4)
        if as_json:
            row = {"label": prediction.label, "probability": probability}
            yield json.dumps(row | {"known_words": prediction.known_words})
        else:
            yield f"{printable(prediction.label)}  {probability:.4f}"
