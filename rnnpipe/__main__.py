"""The command line: ``python -m rnnpipe STAGE``, and what people do with the results."""

import argparse
import errno
import importlib
import json
import logging
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnpipe.errors import RnnpipeError

if TYPE_CHECKING:
    from rnnpipe.predict import Prediction

_MOST_LISTED = 10

STAGES = {
    "download": "fetch the source named by download.source",
    "prepare": "archive or table to one parquet table",
    "validate": "check the table (Great Expectations)",
    "sequences": "divide the reviews into splits, learn the vocabulary, encode",
    "windows": "divide a series in time and scale it, ready to be cut into windows",
    "validate_sequences": "check the sequences (Great Expectations)",
    "pretrained": "fetch the language model that the training starts from, if one is named",
    "word_vectors": "learn word vectors from co-occurrence, without labels",
    "baseline": "fit the simple model that ours is shown beside",
    "train": "train the recurrent network",
    "gradient_flow": "measure how far the loss reaches back, before and after training",
    "evaluate": "take the figures and draw the pictures",
    "register": "judge the model and assemble its folder",
    "report": "tell the whole story on one page that needs no server",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    # Libraries' own progress notes drown ours.
    for name in ("absl", "great_expectations", "tensorflow", "urllib3", "dvclive", "dvc"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return int(options.run(options) or 0)
    except RnnpipeError as error:
        if options.debug:
            raise
        print(f"rnnpipe: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader (head, less) has seen enough; nothing is left to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, sqlite3.OperationalError) as error:
        if options.debug or not _disk_is_full(error):
            raise
        print(
            f"rnnpipe: cannot write: {error}; nothing was left half written:"
            " free some space and run the same command again",
            file=sys.stderr,
        )
        return 1


def _disk_is_full(error: Exception) -> bool:
    # NumPy, HDF5 and SQLite (in which DVC keeps its state) tell it in words alone.
    words = ("requested and", "errno = 28", "errno = 27", "disk I/O error", "disk is full")
    numbers = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return getattr(error, "errno", None) in numbers or any(word in str(error) for word in words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rnnpipe", description="A data-and-model pipeline for recurrent neural networks."
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[Any], int | None], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, parents=[common])
        added.set_defaults(run=run, command=name)
        return added

    for stage, text in STAGES.items():
        _with_params(command(stage, _stage, f"stage: {text}"))

    text = "print every parameter with its meaning, impact, range and value"
    _with_params(command("params", _params, text))

    predict = command("predict", _predict, "judge new texts with a registered model")
    predict.add_argument("text", nargs="*", help="texts to judge")
    predict.add_argument(
        "--file", help="CSV or parquet with a text column, or - for one text a line on stdin"
    )
    predict.add_argument("--column", default="text", help="the file's text column (default: text)")
    predict.add_argument(
        "--model", help="folder, version (v0.1.0) or stage (prod); default: the work tree's model"
    )
    predict.add_argument("--json", action="store_true", help="one JSON object a line")

    forecast = command("forecast", _forecast, "tell how a series goes on, with a registered model")
    forecast.add_argument("file", type=Path, help="CSV or parquet with times and the columns")
    forecast.add_argument("--time-column", default="date", help="its column of times (date)")
    forecast.add_argument("--steps", type=int, help="how many to tell (all that the model gives)")
    forecast.add_argument("--model", help="folder, version or stage; default: the work tree's")
    forecast.add_argument("--json", action="store_true", help="one JSON object a line, not CSV")

    generate = command("generate", _generate, "go on with a text, by a registered language model")
    generate.add_argument("text", help="the beginning; may be empty")
    generate.add_argument("--temperature", type=float, default=0.8, help="0: always the likeliest")
    generate.add_argument("--top-k", type=int, default=50, help="draw from so many; 0: from all")
    generate.add_argument("--words", type=int, default=100, help="most words (100)")
    generate.add_argument("--seed", type=int, default=1, help="another one: another text (1)")
    generate.add_argument("--model", help="folder, version or stage; default: the work tree's")

    publish = command("publish", _publish, "version the approved model: git tags, DVC push")
    publish.add_argument(
        "--dry-run", action="store_true", help="say what would be done, do nothing"
    )
    publish.add_argument(
        "--force", action="store_true", help="publish though not better, or not comparable"
    )
    publish.add_argument("--reason", default="", help="why, with --force; kept in the tag")
    publish.add_argument("--stage", default="dev", help="stage of the new version (default: dev)")

    models = command("models", _models, "list published versions with stages and metrics")
    for registry_command in (publish, models):
        _with_problem(registry_command)
    models.add_argument("--json", action="store_true", help="one JSON document")
    promote = command("promote", _promote, "put a published version into a stage")
    promote.add_argument("version", help="a version, as `rnnpipe models` lists it")
    promote.add_argument("--stage", default="prod", help="the stage (default: prod)")
    rollback = command("rollback", _rollback, "put a stage back to the version it had before")
    rollback.add_argument("--stage", default="prod", help="the stage (default: prod)")
    for registry_command in (promote, rollback):
        _with_problem(registry_command)

    demo = command("demo", _demo, "run the whole pipeline on a generated corpus, in .demo/")
    demo.add_argument("--reviews", type=int, default=4000, help="size of the corpus (4000)")
    attempt = command("try", _try, "run the pipeline with another parameter file, in .try/NAME")
    attempt.add_argument("params", type=Path, help="a parameter file, such as params/notebook.yaml")
    corpus = command("corpus", _corpus, "write a generated corpus in the IMDB archive's layout")
    corpus.add_argument("out", type=Path, help="the archive to write (.tar.gz)")
    corpus.add_argument("--reviews", type=int, default=4000, help="number of reviews (4000)")
    corpus.add_argument("--seed", type=int, default=1, help="seed of the grammar (1)")
    return parser


def _with_problem(command: argparse.ArgumentParser) -> None:
    command.add_argument("--problem", help="whose model (that of params.yaml, classification)")


def _with_params(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--params",
        type=Path,
        default=Path("params.yaml"),
        help="the parameter file of the problem (params.yaml)",
    )


def _stage(options: Any) -> None:
    from rnnpipe.orphans import die_with_dvc
    from rnnpipe.params import load_params

    die_with_dvc()
    params = load_params(options.params)
    _require_stage(options.command, params, options.params)
    importlib.import_module(f"rnnpipe.stages.{options.command}").run(params)


def _require_stage(stage: str, params: Any, file: Path) -> None:
    """Name the pipeline that a stage belongs to, where it is not the one of the parameters."""
    import yaml

    from rnnpipe.errors import ParameterError
    from rnnpipe.params import PARAMS
    from rnnpipe.places import places_of

    def has_it(problem: str) -> bool:
        pipeline = places_of(problem).pipeline / "dvc.yaml"
        if not pipeline.is_file():
            return False
        return stage in (yaml.safe_load(pipeline.read_text(encoding="utf-8")) or {}).get(
            "stages", {}
        )

    if has_it(params.problem):
        return
    if others := [problem for problem in PARAMS if has_it(problem)]:
        hints = " or ".join(f"--params {places_of(problem).params}" for problem in others)
        raise ParameterError(
            f"found {file}, of the problem {params.problem}, which has no stage {stage}; expected"
            f" {hints}"
        )


def _params(options: Any) -> None:
    from rnnpipe.params import describe_params, load_params

    params = load_params(options.params)
    values = params.model_dump(by_alias=True)
    for knob in describe_params(type(params)):
        value = values
        for part in knob.name.split("."):
            value = value[part]
        print(
            f"{knob.name} = {json.dumps(value)}",
            f"{knob.allowed}; default {json.dumps(knob.default)}",
            knob.meaning,
            f"impact: {knob.impact}",
            sep="\n    ",
        )


def _predict(options: Any) -> None:
    if bool(options.text) == bool(options.file):
        found = "both texts and --file" if options.file else "no text"
        raise RnnpipeError(f'found {found}, expected rnnpipe predict "text", or --file reviews.csv')
    # The texts first: a file that cannot be read should not wait for the model.
    from rnnpipe.predict_input import read_texts

    texts = read_texts(options.file, options.column) if options.file else options.text

    from rnnpipe.predict import load_model

    model = load_model(options.model)
    predictions = model.predict(texts, progress=True)
    for line in _prediction_lines(predictions, options.json):
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


def _prediction_lines(predictions: "list[Prediction]", as_json: bool) -> Iterator[str]:
    for prediction in predictions:
        probability = round(prediction.probability, 4)
        if as_json:
            row = {"label": prediction.label, "probability": probability}
            yield json.dumps(row | {"known_words": prediction.known_words})
        else:
            yield f"{prediction.label}  {probability:.4f}"


def _problem(options: Any) -> str | None:
    from rnnpipe.errors import ParameterError
    from rnnpipe.params import PARAMS
    from rnnpipe.places import problem_named

    if options.problem is None:
        return None
    name = problem_named(options.problem)
    if name not in PARAMS:
        raise ParameterError(f"problem is {name[:100]!r}, expected one of: {', '.join(PARAMS)}")
    return name


def _forecast(options: Any) -> None:
    from rnnpipe.forecast import load_forecaster

    model = load_forecaster(options.model)
    found = model.forecast(options.file, options.time_column, options.steps)
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


def _generate(options: Any) -> None:
    from rnnpipe.generation import Sampling, generate, load_language_model

    sampling = Sampling(
        temperature=options.temperature,
        top_k=options.top_k,
        most_words=options.words,
        seed=options.seed,
    )
    model, vocabulary = load_language_model(options.model)
    found = generate(model, vocabulary, options.text, sampling)
    print(
        " ".join(filter(None, [options.text.strip(), *found.words]))
        + ("." if found.ended else " …")
    )
    if options.text.strip() and not found.known_words:
        print(
            "rnnpipe: the beginning holds no word that the model knows, so what follows has"
            " nothing to do with it",
            file=sys.stderr,
        )


def _publish(options: Any) -> None:
    from rnnpipe.publishing import publish

    published = publish(
        Path(),
        name=_problem(options),
        stage=options.stage,
        dry_run=options.dry_run,
        force=options.force,
        reason=options.reason,
    )
    print(*published.summary, sep="\n")


def _models(options: Any) -> None:
    from dataclasses import asdict

    from rnnpipe.publishing import models

    found = models(Path(), _problem(options))
    if options.json:
        print(json.dumps([asdict(version) for version in found], indent=2))
    else:
        for version in found:
            print(version.summary)
        if not found:
            print("no version yet; `python -m rnnpipe publish` makes the first", file=sys.stderr)


def _promote(options: Any) -> None:
    from rnnpipe.publishing import promote

    print(
        *promote(Path(), options.version, options.stage, name=_problem(options)).summary, sep="\n"
    )


def _rollback(options: Any) -> None:
    from rnnpipe.publishing import rollback

    print(*rollback(Path(), options.stage, name=_problem(options)).summary, sep="\n")


def _demo(options: Any) -> int:
    from rnnpipe.sandbox import demo

    return demo(options.reviews)


def _try(options: Any) -> int:
    from rnnpipe.sandbox import attempt

    return attempt(options.params)


def _corpus(options: Any) -> None:
    from rnnpipe.corpus import write_corpus

    print(write_corpus(options.out, options.reviews, options.seed))


if __name__ == "__main__":
    sys.exit(main())
