"""The command line of a search: run, show, apply, forget."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from flows import lifeline
from flows.runners import RUNNERS
from flows.search.flow import ROOT, SPACE, SearchError, search
from flows.search.report import REPORTS, Summary, read_summary
from flows.search.study import (
    best,
    better,
    forget_study,
    load_study,
)
from flows.serving.own_server import use_a_server
from flows.workspace import (
    check_overrides,
    write_overrides,
)
from rnnpipe.errors import RnnpipeError, printable
from rnnpipe.runtime.arguments import path_or_name
from rnnpipe.storage.paths import paths_of


def apply(root: Path, name: str) -> list[str]:
    """Write the best trial's values into the problem's ``params.yaml``, to be reviewed.

    What the search set for all trials is not written.

    Returns:
        A line for each parameter.

    Raises:
        StudyError: there is no such search.
        SearchError: no trial ended, or none is better than the default.
        ParameterError: the parameters have changed since, and do not go with the values.
    """
    study = load_study(root, name)
    found, default = best(study), study.user_attrs.get("default")
    if found is None or found.value is None or default is None:
        raise SearchError(f"no trial of {name} has ended: there is nothing to write")
    if not better(study, found.value, default["value"]):
        raise SearchError(
            f"the best trial of {name} has {found.value:.4f}, the default {default['value']:.4f}:"
            " nothing better to write"
        )
    path = root / paths_of(study.user_attrs["space"]["problem"]).params
    check_overrides(path.read_text(encoding="utf-8"), found.params, name)
    write_overrides(path, found.params)
    return [f"{key}: {value}" for key, value in found.params.items()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Search, show, apply or forget; 0 if all went well, else 1."""
    options = _parser().parse_args(arguments)
    try:
        match options.command:
            case "run":
                return _main_run(options, alone=arguments is None)
            case "apply":
                for line in apply(ROOT, options.name):
                    print(line)
                print("Written; see `git diff`, then `dvc repro`.")
            case "show":
                load_study(ROOT, options.name)
                print(_shown(ROOT / REPORTS / options.name).table)
            case "forget":
                forget_study(ROOT, options.name)
    except RnnpipeError as error:
        print(f"rnnpipe: {printable(error, error.several_lines)}", file=sys.stderr)
        return error.exit_code
    return 0


def _shown(report: Path) -> Summary:
    try:
        return read_summary(report)
    except FileNotFoundError:
        raise SearchError(
            f"{report} is not here: its default still trains, or the report was removed; "
            f"`python -m flows.search run --name {report.name}` writes it"
        ) from None


def _main_run(options: argparse.Namespace, alone: bool) -> int:
    use_a_server(ROOT / ".rnnpipe" / "prefect")
    if alone:
        lifeline.watch_server()
    state = search(
        options.space,
        options.name,
        options.trials,
        options.at_once,
        options.runner,
        options.address,
        return_state=True,
    )
    result = state.result(raise_on_failure=False)
    if isinstance(result, Summary):
        print(f"\n{result.table}\n{result.sentence}")
    else:
        print(f"rnnpipe: {result}", file=sys.stderr)
    return lifeline.ending_with(0 if state.is_completed() else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m flows.search", description="Search for better parameters."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="search, or go on where a search was cut off")
    run.add_argument(
        "--space", type=path_or_name, default=SPACE, help=f"file with the space ({SPACE})"
    )
    run.add_argument("--name", help="of the search (as the file says)")
    run.add_argument("--trials", type=int, help="how many in all (as the file says)")
    run.add_argument("--at-once", type=int, default=1, metavar="N", help="trials in parallel (1)")
    run.add_argument("--runner", choices=RUNNERS, default="threads", help="where (threads)")
    run.add_argument("--address", help="of a Dask or Ray cluster that is up (one of its own)")
    for command, text in {
        "apply": "write the best values into params.yaml, to be reviewed",
        "show": "print the trials",
        "forget": "remove a search from the storage; its experiments stay",
    }.items():
        commands.add_parser(command, help=text).add_argument("name", help="of the search")
    return parser
