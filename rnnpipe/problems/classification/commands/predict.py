"""The command ``predict``: judge new texts with a registered model."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnpipe.errors import RnnpipeError, printable
from rnnpipe.runtime.arguments import add_csv_arguments, path, path_or_name

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
        "--id-column",
        help="the file's column of ids: each answer begins with its id and a tab (--json: id)",
    )
    parser.add_argument(
        "--model",
        type=path_or_name,
        help="folder, version (v0.1.0) or stage (prod); default: the work tree's model",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON object a line: label, its probability (of two labels that of the second),"
        " all probabilities, known words; of a file also the row, from 0 below the header",
    )
    parser.add_argument(
        "--out",
        type=path,
        help="a .csv or .parquet file to write the answers to, instead of printing them",
    )


def run(options: Any) -> None:
    """Print a label and its probability for each text."""
    if bool(options.text) == bool(options.file):
        found = "both texts and --file" if options.file else "no text"
        raise RnnpipeError(f'found {found}, expected rnnpipe predict "text", or --file reviews.csv')
    if options.id_column is not None and not options.file:
        raise RnnpipeError("found --id-column without --file, expected the file it is a column of")
    if options.json and options.out:
        raise RnnpipeError("found both --json and --out, expected one of them")
    # The texts first: a file that cannot be read should not wait for the model.
    from rnnpipe.problems.classification.predict_input import read_rows
    from rnnpipe.problems.classification.predict_output import require_kind
    from rnnpipe.runtime.encoding import require_utf8
    from rnnpipe.storage.csv_format import CsvFormat

    if options.out:
        require_kind(options.out)
    require_utf8(options.text, "text")
    ids = None
    if options.file:
        csv_format = CsvFormat(options.quoting, options.escape, options.encoding)
        texts, ids = read_rows(options.file, options.column, options.id_column, csv_format)
    else:
        texts = options.text

    from rnnpipe.problems.classification.predict import load_model

    model = load_model(options.model)
    predictions = model.predict(texts, progress=True)
    if options.out:
        _write(options.out, predictions, model.label_names, ids)
    else:
        rows = range(len(texts)) if options.file else None
        for line in _lines(predictions, options.json, rows, ids):
            print(line)
    unknown = [row for row, found in enumerate(predictions) if not found.known_words]
    if unknown and not options.json:
        # As errors count: rows of a table from 0, lines and arguments from 1.
        what, first = {None: ("text", 1), "-": ("line", 1)}.get(options.file, ("row", 0))
        listed = ", ".join(str(row + first) for row in unknown[:_MOST_LISTED])
        print(
            f"rnnpipe: {len(unknown):,} of {len(texts):,} texts hold no word that the model knows,"
            f" so their labels say nothing: {what} {listed}"
            + (", …" if len(unknown) > _MOST_LISTED else ""),
            file=sys.stderr,
        )


def _write(
    out: Path,
    predictions: "Sequence[Prediction]",
    label_names: Sequence[str],
    ids: Sequence[str | int | None] | None,
) -> None:
    from rnnpipe.problems.classification.predict_output import write_answers

    write_answers(out, predictions, label_names, ids)
    print(f"{len(predictions):,} answers are in {printable(out)}")


def _lines(
    predictions: "Sequence[Prediction]",
    as_json: bool,
    rows: Sequence[int] | None,
    ids: Sequence[str | int | None] | None,
) -> Iterator[str]:
    for number, prediction in enumerate(predictions):
        probability = round(prediction.probability, 4)
        if as_json:
            answer: dict[str, Any] = {} if rows is None else {"row": rows[number]}
            if ids is not None:
                answer["id"] = ids[number]
            answer |= {"label": prediction.label, "probability": probability}
            answer["probabilities"] = {
                name: round(value, 4) for name, value in prediction.probabilities.items()
            }
            yield json.dumps(answer | {"known_words": prediction.known_words})
        elif ids is not None:
            called = "" if ids[number] is None else printable(ids[number])
            yield f"{called}\t{printable(prediction.label)}\t{probability:.4f}"
        else:
            yield f"{printable(prediction.label)}  {probability:.4f}"
