"""``python -m flows.run``: run the flow once, now.

It uses the server that ``PREFECT_API_URL`` names, else that of ``make ui`` if it is up, else one of
its own that ends with the run.
"""

import argparse
import gc
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.ending import leaving
from flows.runners import RUNNERS
from flows.serving.own_server import ServerError, begin_a_server
from rnnpipe.config.load import parse_yaml
from rnnpipe.errors import ParameterError, printable, quoted
from rnnpipe.runtime.encoding import ensure_utf8
from rnnpipe.storage.paths import current_name, problem_names

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the flow once and print what became of each stage; 0 if all went well, else 1."""
    options = _parser().parse_args(arguments)
    try:
        ready = begin_a_server(ROOT / ".rnnpipe" / "prefect")
        from flows import lifeline

        lifeline.ask_for_longer()
        from flows.pipeline import PipelineFailedError, Story, pipeline

        ready()
        if arguments is None:  # this process is the run's alone
            lifeline.watch_server()
    except (ServerError, ParameterError) as error:
        print(f"rnnpipe: {printable(error)}", file=sys.stderr)
        return error.exit_code
    state = pipeline(
        dict(options.set),
        options.force,
        options.publish,
        problem=options.problem,
        runner=options.runner,
        address=options.address,
        return_state=True,
    )
    result = state.result(raise_on_failure=False)
    story = result.story if isinstance(result, PipelineFailedError) else result
    if isinstance(story, Story):
        print()
        for name in story.dag:
            outcome = story.outcomes.get(name)
            shown = f"{outcome.state:10}{outcome.seconds:8.1f} s" if outcome else "not run"
            print(f"  {name:20}{shown}")
        print(f"  {story.sentence}")
    else:
        print(f"rnnpipe: {result}", file=sys.stderr)
    return lifeline.ending_with(0 if state.is_completed() else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m flows.run", description="Run the pipeline once, in a clone of its own."
    )
    parser.add_argument(
        "--set",
        type=_assignment,
        action="append",
        default=[],
        metavar="PARAMETER=VALUE",
        help="another value for a parameter, such as train.hidden_size=256",
    )
    parser.add_argument(
        "--force", action="append", default=[], metavar="STAGE", help="run it though unchanged"
    )
    parser.add_argument(
        "--problem",
        type=current_name,
        default="classification",
        choices=problem_names(),
        help="whose pipeline (classification)",
    )
    parser.add_argument("--publish", action="store_true", help="publish the model as a version")
    parser.add_argument(
        "--runner", default="threads", choices=RUNNERS, help="where the stages run (threads)"
    )
    parser.add_argument(
        "--address", help="of a Dask or Ray cluster that is up; by default one for this run"
    )
    return parser


def _assignment(text: str) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    if not (key and sign):
        raise argparse.ArgumentTypeError(f"found {quoted(text)}, expected PARAMETER=VALUE")
    try:
        return key, json.loads(value)  # it knows 1e-3, which YAML takes for a text
    except ValueError:
        pass
    except RecursionError:
        raise argparse.ArgumentTypeError(f"{quoted(key)} is nested too deep") from None
    try:
        return key, parse_yaml(value, "its value")
    except ParameterError as error:
        raise argparse.ArgumentTypeError(
            f"found {quoted(text)}: {error}; a text goes into quotes of its own, as in"
            f""" {quoted(key)[1:-1]}='"..."'"""
        ) from None


if __name__ == "__main__":
    ensure_utf8()
    logging.captureWarnings(True)
    # What is imported stays: looking for garbage in between only costs.
    gc.set_threshold(50_000, 20, 20)
    leave = leaving()
    sys.exit(leave(main()))
