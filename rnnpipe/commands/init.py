"""The command ``init``: look at a source, say what it is, and write the parameters that fit it."""

import difflib
import sys
from pathlib import Path
from typing import Any

from rnnpipe.config.load import params_of, parse_values
from rnnpipe.config.rewrite import Survey, rewritten, whole_file
from rnnpipe.errors import ParameterError, RnnpipeError, printable, shown
from rnnpipe.pipeline.definition import definition_file
from rnnpipe.problems import problem_by
from rnnpipe.storage.files import atomic_file
from rnnpipe.storage.paths import current_name, paths_of


def init(source: str, problem: str, options: Any) -> int:
    """Survey a source and write the parameter file of a problem, after asking.

    Args:
        source: a file or a folder, as a person names it from the project's folder.
        problem: whose parameters.
        options: ``yes``: ask nothing; and what the problem's survey takes.

    Returns:
        The exit code: 0 where the file says now, or said before, what fits; else 1.

    Raises:
        RnnpipeError: the source cannot be read, or has several readings; nothing was written.
    """
    file = paths_of(problem).params
    if not definition_file(problem).is_file():
        raise ParameterError(
            f"{definition_file(problem)} is not here: run rnnpipe init in the project's folder"
        )
    before = _text_of(file)
    kind = params_of(problem)
    start = before
    if before is None or _problem_of(before, file) != problem:
        start = whole_file(kind, problem)
    assert start is not None
    survey = problem_by(problem).survey(source, parse_values(start, str(file)), options)
    after = rewritten(start, kind, survey.changes, str(file))
    for line in survey.found:
        print(printable(line))
    return _offer(file, before, after, survey, options.yes)


def _offer(file: Path, before: str | None, after: str, survey: Survey, yes: bool) -> int:
    if after == before:
        print(f"\n{file} says all this already: nothing to write.")
        return _then(survey)
    print()
    old = (before or "").splitlines()
    for line in difflib.unified_diff(old, after.splitlines(), str(file), str(file), "", "", 0, ""):
        if not line.startswith(("@@", "---", "+++")):
            print(printable(line))
    print(flush=True)
    if not yes:
        if not sys.stdin.isatty():
            raise RnnpipeError(
                f"nobody can be asked here, for the input is no terminal: {file} stays as it is;"
                " expected --yes, which asks nothing"
            )
        try:
            answer = input(f"Write this to {file}? [y/N] ")
        except (EOFError, KeyboardInterrupt):
            answer = ""
        if answer.strip().casefold() not in ("y", "yes"):
            print(f"{file} stays as it is.")
            return 1
    with atomic_file(file) as partial:
        partial.write_text(after, encoding="utf-8", newline="")
    print(f"{file} is written.")
    return _then(survey)


def _then(survey: Survey) -> int:
    print("Next:", *(f"    {printable(command)}" for command in survey.then), sep="\n")
    return 0


def _text_of(file: Path) -> str | None:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ParameterError(
            f"{shown(file)} is no UTF-8 ({error.reason}): mend that first"
        ) from None


def _problem_of(text: str, file: Path) -> str:
    name = parse_values(text, str(file)).get("problem", "classification")
    return current_name(name) if isinstance(name, str) else ""
