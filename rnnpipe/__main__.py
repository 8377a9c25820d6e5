"""The command line: ``python -m rnnpipe STAGE``, and what people do with the results."""

import argparse
import importlib
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rnnpipe.errors import RnnpipeError, printable, sentence_of
from rnnpipe.runtime.arguments import path, path_or_name
from rnnpipe.runtime.encoding import ensure_utf8
from rnnpipe.runtime.home import ensure_home
from rnnpipe.storage.paths import (
    command_modules,
    init_modules,
    problem_names,
    stage_files,
    stage_module,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    ensure_home(Path())
    options = _parser().parse_args(arguments)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_SafeFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Libraries' own progress notes drown ours.
    for name in ("absl", "great_expectations", "tensorflow", "urllib3", "dvclive", "dvc"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return int(options.run(options) or 0)
    except RnnpipeError as error:
        if options.debug:
            raise
        print(f"rnnpipe: {printable(error, error.several_lines)}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader (head, less) has seen enough; nothing is left to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        told = sentence_of(error)
        # A stage's traceback goes to the log of its run, for whoever has to mend it.
        if options.debug or (told is None and options.command in stage_files()):
            raise
        print(f"rnnpipe: {printable(told or _unexpected(error))}", file=sys.stderr)
        return 1


def _unexpected(error: Exception) -> str:
    words = " ".join(str(error).split())
    return (
        f"found something unexpected ({type(error).__name__}: {words[:200]}): a file was altered, or"
        " this is a fault of rnnpipe; the same command with --debug shows where"
    )


class _SafeFormatter(logging.Formatter):
    """Log lines in which no name or text steers the terminal; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return printable(super().formatMessage(record))


class _Parser(argparse.ArgumentParser):
    """A parser whose errors repeat arguments escaped."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="rnnpipe", description="A data-and-model pipeline for recurrent neural networks."
    )
    common = _Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[Any], int | None], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, parents=[common])
        added.set_defaults(run=run, command=name)
        return added

    for stage, file in sorted(stage_files().items()):
        _with_params(command(stage, _stage, f"stage: {_told(file)}"))

    text = "print every parameter with its meaning, impact, range and value"
    _with_params(command("params", _params, text))

    text = "look at a file or folder of your own, and write the parameters that fit it"
    init = command("init", _init, text)
    init.add_argument(
        "source", type=path_or_name, help="a table of texts or of a series, or a folder of texts"
    )
    init.add_argument("--yes", action="store_true", help="ask nothing")
    init.add_argument("--problem", help="what is to be learnt from it (found)")
    for name, values in (("quoting", ("double", "none")), ("escape", ("none", "backslash"))):
        init.add_argument(f"--{name}", choices=values, help="of a CSV (guessed)")
    init.add_argument("--encoding", help="of a CSV, such as cp1252 (guessed)")
    for module in init_modules():
        importlib.import_module(module).add_arguments(init.add_argument_group(module.split(".")[2]))

    for name, module in command_modules().items():
        use = importlib.import_module(module)
        use.add_arguments(command(name, use.run, _told(Path(str(use.__file__)))))

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
    attempt.add_argument("params", type=path, help="a parameter file, such as params/notebook.yaml")
    attempt.add_argument("--problem", help="whose parameters (the file's own, classification)")
    attempt.add_argument("--keep", type=path, metavar="FILE", help="a JSON file for the metrics")
    return parser


def _told(file: Path) -> str:
    """What the first line of a stage's or a command's file says that it does."""
    first = file.read_text(encoding="utf-8").partition("\n")[0]
    return first.partition(": ")[2].strip('." ')


def _with_problem(command: argparse.ArgumentParser) -> None:
    command.add_argument("--problem", help="whose model (that of params.yaml, classification)")


def _with_params(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--params",
        type=path,
        default=Path("params.yaml"),
        help="the parameter file of the problem (params.yaml)",
    )


def _stage(options: Any) -> None:
    from rnnpipe.config.load import load_params
    from rnnpipe.pipeline.inputs import Inputs
    from rnnpipe.runtime.parent import watch_parent

    watch_parent()
    stage, file = options.command, options.params
    problem = load_params(file).problem
    _require_stage(stage, problem, file)
    inputs = Inputs.of(stage, problem, file)
    # Read once more: what changes from here on is noticed.
    importlib.import_module(stage_module(problem, stage)).run(load_params(file))
    inputs.require_unchanged(stage, problem)


def _require_stage(stage: str, problem: str, file: Path) -> None:
    """Name the pipeline that a stage belongs to, where it is not the one of the parameters."""
    from rnnpipe.errors import ParameterError
    from rnnpipe.pipeline.definition import stages_of
    from rnnpipe.storage.paths import paths_of

    if stage in stages_of(problem):
        return
    if others := [name for name in problem_names() if stage in stages_of(name)]:
        hints = " or ".join(f"--params {paths_of(name).params}" for name in others)
        raise ParameterError(
            f"found {file}, of the problem {problem}, which has no stage {stage}; expected {hints}"
        )


def _params(options: Any) -> None:
    from rnnpipe.config.describe import describe_params
    from rnnpipe.config.load import load_params

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


def _problem(options: Any) -> str | None:
    from rnnpipe.errors import ParameterError
    from rnnpipe.storage.paths import current_name

    if options.problem is None:
        return None
    name = current_name(options.problem)
    if name not in problem_names():
        raise ParameterError(
            f"problem is {name[:100]!r}, expected one of: {', '.join(problem_names())}"
        )
    return name


def _init(options: Any) -> int:
    from rnnpipe.commands.init import init

    return init(options.source, _problem(options) or _recognized(options), options)


def _recognized(options: Any) -> str:
    """The problem that knows a source for its own; classification, which tells what it misses."""
    from rnnpipe.problems import problem_by

    for name in problem_names():
        if problem_by(name).recognizes(options.source, options):
            return name
    return "classification"


def _publish(options: Any) -> None:
    from rnnpipe.registry.publishing import publish

    published = publish(
        Path(),
        name=_problem(options),
        stage=options.stage,
        dry_run=options.dry_run,
        force=options.force,
        reason=options.reason,
    )
    print(*map(printable, published.summary), sep="\n")


def _models(options: Any) -> None:
    from dataclasses import asdict

    from rnnpipe.registry.publishing import models

    found = models(Path(), _problem(options))
    if options.json:
        print(json.dumps([asdict(version) for version in found], indent=2))
    else:
        for version in found:
            print(printable(version.summary))
        if not found:
            print("no version yet; `python -m rnnpipe publish` makes the first", file=sys.stderr)


def _promote(options: Any) -> None:
    from rnnpipe.registry.publishing import promote

    moved = promote(Path(), options.version, options.stage, name=_problem(options))
    print(*map(printable, moved.summary), sep="\n")


def _rollback(options: Any) -> None:
    from rnnpipe.registry.publishing import rollback

    moved = rollback(Path(), options.stage, name=_problem(options))
    print(*map(printable, moved.summary), sep="\n")


def _demo(options: Any) -> int:
    from rnnpipe.commands.project_copy import demo

    return demo(options.reviews)


def _try(options: Any) -> int:
    from rnnpipe.commands.project_copy import attempt

    return attempt(options.params, _problem(options), options.keep)


if __name__ == "__main__":
    ensure_utf8()
    sys.exit(main())
