"""The whole pipeline in a copy of the project, so that the work tree stays as it is.

A copy holds what git tracks and what it does not ignore, as it stands now, with a git of its
own: it runs today's code, and neither ``dvc.lock`` nor the reports of the project change.
"""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from rnnpipe.config.load import PARAMS_FILE, merge_params, read_values
from rnnpipe.errors import ParameterError, RnnpipeError, quoted
from rnnpipe.problems import problem_by
from rnnpipe.storage.files import read_json, write_json
from rnnpipe.storage.paths import current_name, paths_of, problem_names

_RUNNING = re.compile(r"^Running stage '(?:dvc\.yaml:)?([^']+)'")
_IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "rnnpipe"), ("EMAIL", "rnnpipe@localhost"))
}


class CommandError(RnnpipeError):
    """A command that a copy of the project runs has failed; its last lines are told."""

    several_lines = True


@dataclass(frozen=True)
class ProjectCopy:
    """A copy of the project with its own git, and the environment its commands run in."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, *command: str) -> str:
        """Run a command to its end and return what it printed.

        Raises:
            RnnpipeError: it failed; the message holds its last lines.
        """
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, text=True, capture_output=True
        )
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
            raise CommandError(f"{' '.join(command)} ended with {done.returncode}:\n{last}")
        return done.stdout

    def commit(self, message: str) -> None:
        """Commit all that git does not ignore."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--allow-empty", "--message", message)

    def reproduce(self, *targets: str, mark: str = "") -> dict[str, float]:
        """Run ``dvc repro``, its output shown as it comes, and return the seconds of each stage.

        Several may run at once on pipelines that share no file.

        Args:
            targets: the stages to bring up to date, with all they need; none for every stage.
            mark: what each line shown begins with.

        Returns:
            Seconds of the stages that ran; one that was restored from the cache is not named.

        Raises:
            RnnpipeError: a stage failed.
        """
        seconds: dict[str, float] = {}
        stage, started = None, time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", *targets],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as child:
            for line in child.stdout or ():
                print(f"{mark}{line}", end="", flush=True)
                if begun := _RUNNING.match(line):
                    now = time.monotonic()
                    if stage:
                        seconds[stage] = now - started
                    stage, started = begun[1], now
        if stage:
            seconds[stage] = time.monotonic() - started
        if child.returncode:
            raise RnnpipeError(f"`dvc repro` in {self.folder} failed; its last lines say why")
        return seconds


def environment() -> dict[str, str]:
    """What commands in a copy run in: this Python first, the copy's own git, no one's settings."""
    variables = {
        **os.environ,
        **_IDENTITY,
        # A signing key or a hook of the user's own git must not stop or change a copy.
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_NO_ANALYTICS": "1",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONUNBUFFERED": "1",
    }
    # An own git: variables that name another one must not lead back to it.
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "PYTHONPATH"):
        variables.pop(name, None)
    return variables


def copy_project(root: Path, folder: Path, *, share_cache: bool) -> ProjectCopy:
    """Copy the project into an empty folder and give it a git of its own.

    Args:
        root: the project's folder, a git work tree.
        folder: where the copy goes; what an earlier copy left there is removed.
        share_cache: use the project's DVC cache, so that unchanged stages are restored.

    Raises:
        RnnpipeError: ``root`` is no git work tree, or ``folder`` is it or holds it.
    """
    if root.resolve().is_relative_to(folder.resolve()) or folder.name in ("", ".."):
        raise RnnpipeError(f"{folder} holds the project itself: name another folder")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        text=True,
        capture_output=True,
    )
    if listed.returncode:
        raise RnnpipeError(f"{root.resolve()} is no git clone: run this in a clone of the project")
    shutil.rmtree(folder, ignore_errors=True)
    for name in filter(None, listed.stdout.split("\0")):
        source = root / name
        if source.is_file():  # a deleted file is still listed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    sandbox = ProjectCopy(folder, environment())
    sandbox.run("git", "init", "--quiet", "--initial-branch=main")
    if share_cache:
        cache = (root / ".dvc" / "cache").resolve()
        sandbox.run(sys.executable, "-m", "dvc", "cache", "dir", "--local", str(cache))
    return sandbox


def demo(reviews: int) -> int:
    """Run all pipelines on generated data in ``.demo`` and print what came out."""
    return _run(make_demo(Path(), Path(".demo"), reviews), problem_names())


def make_demo(root: Path, folder: Path, reviews: int) -> ProjectCopy:
    """Copy the project, with generated data as its sources and networks to match."""
    sandbox = copy_project(root, folder, share_cache=False)
    write_generated_data(folder, reviews)
    for problem in problem_names():
        paths = paths_of(problem)
        small = root / "params" / f"demo_{problem}.yaml"
        merge_params(root / paths.params, read_values(small), folder / paths.params, str(small))
        # Nothing of the project's own runs belongs into this history.
        (folder / paths.pipeline / "dvc.lock").unlink(missing_ok=True)
    return sandbox


def write_generated_data(folder: Path, size: int) -> None:
    """Write the generated data of every problem into a copy of the project.

    Args:
        folder: the copy.
        size: number of texts, where the data are texts.
    """
    for problem in problem_names():
        _demo_of(problem).write_data(folder, size)


def _demo_of(problem: str) -> Any:
    return importlib.import_module(f"rnnpipe.problems.{problem}.demo")


def attempt(overrides: Path, problem: str | None = None, keep: Path | None = None) -> int:
    """Run a problem's pipeline with other parameters in ``.try/NAME`` and print what came out.

    Args:
        overrides: a file with what differs from the problem's parameters.
        problem: whose they are; None: the problem that the file names.
        keep: a file that takes the metrics, with the figures by which runs are compared; None: none.

    Raises:
        ParameterError: the overrides are not allowed.
        RnnpipeError: as :func:`copy_project`, or a stage failed.
    """
    values, folder = read_values(overrides), Path(".try") / overrides.stem
    problem = problem or named_problem(values)
    sandbox = make_attempt(Path(), folder, values, str(overrides), problem)
    _run(sandbox, (problem,))
    if keep:
        metrics = read_json(folder / paths_of(problem).metrics)
        write_json(keep, metrics | figures_of(problem, metrics))
        print(f"  kept        {keep}")
    return 0


def named_problem(overrides: Mapping[str, Any]) -> str:
    """Return the problem that a file of what differs is about: classification where it names none.

    >>> named_problem({"problem": "forecasting", "train": {"seed": 2}}), named_problem({})
    ('forecasting', 'classification')
    """
    return current_name(str(overrides.get("problem", "classification")))


def figures_of(problem: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures by which runs of a problem are compared, of one model on one split.

    They are what ``outcome.py`` beside the problem takes of them, else the one by which its models
    are selected.

    Args:
        problem: its name.
        metrics: ``metrics.json``, or a part of it.
    """
    if find_spec(f"rnnpipe.problems.{problem}.outcome"):
        module = importlib.import_module(f"rnnpipe.problems.{problem}.outcome")
        figures: dict[str, float] = module.figures(metrics)
        return figures
    metric = problem_by(problem).selection.metric
    return {metric: metrics[metric]}


def make_attempt(
    root: Path,
    folder: Path,
    overrides: Mapping[str, Any],
    name: str = "overrides",
    problem: str = "classification",
) -> ProjectCopy:
    """Copy the project, with other parameters; what they do not touch comes from its cache.

    Args:
        root: the project's folder, a git work tree.
        folder: where the copy goes; what an earlier copy left there is removed.
        overrides: sections with what differs from the problem's parameters.
        name: what an error calls the overrides.
        problem: whose parameters they are.

    Raises:
        ParameterError: the overrides are not allowed; nothing was removed.
        RnnpipeError: as :func:`copy_project`.
    """
    if problem not in problem_names():
        raise ParameterError(
            f"{name}: problem is {quoted(problem)}, expected one of: {', '.join(problem_names())}"
        )
    if named_problem({"problem": problem} | dict(overrides)) != problem:
        raise ParameterError(
            f"{name} is about {quoted(named_problem(overrides))}, expected {problem}: leave --problem out"
        )
    params = paths_of(problem).params
    # Checked first: a misspelt name or key must not cost the result of an earlier try.
    with tempfile.TemporaryDirectory() as scratch:
        merged = Path(scratch) / PARAMS_FILE.name
        merge_params(root / params, overrides, merged, name)
        sandbox = copy_project(root, folder, share_cache=True)
        shutil.copyfile(merged, folder / params)
    # A source that git ignores the copy lacks; and a model to start from: a folder that DVC keeps,
    # or a version among the tags.
    values = read_values(folder / params)
    _bring(root, folder, values.get("download", {}).get("source"))
    model = values.get("pretrained", {}).get("model")
    if model and not _bring(root, folder, model):
        sandbox.run("git", "fetch", "--quiet", "--tags", str(root.resolve()))
    return sandbox


def _bring(root: Path, folder: Path, name: str | None) -> bool:
    """Copy a file or folder of the project into a copy of it; tell whether it is one."""
    if not name or "://" in name or Path(name).is_absolute():
        return False
    source, target = root / name, folder / name
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.is_file() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    return source.exists()


def _run(sandbox: ProjectCopy, problems: Iterable[str]) -> int:
    started = time.monotonic()
    sandbox.commit("Begin")
    groups = _independent(sandbox.folder, problems)
    with ThreadPoolExecutor(len(groups)) as pool:
        runs = [
            pool.submit(
                sandbox.reproduce,
                *((paths_of(problem).pipeline / "dvc.yaml").as_posix() for problem in group),
                mark=f"{group[0]} | " if len(groups) > 1 else "",
            )
            for group in groups
        ]
    seconds = {stage: taken for run in runs for stage, taken in run.result().items()}
    sandbox.commit("Run the pipeline")
    print("\nDone. Stages that ran, in seconds:")
    for stage, taken in seconds.items():
        print(f"  {stage.removeprefix('pipelines/').replace('/dvc.yaml', ''):32}{taken:6.1f}")
    for problem in problems:
        for line in _summary(sandbox, problem):
            print(line)
    print(f"\n  total       {time.monotonic() - started:.0f} s")
    return 0


def _independent(folder: Path, problems: Iterable[str]) -> list[list[str]]:
    """Group problems so that no pipeline reads what one of another group writes."""
    import networkx

    read, written = {}, {}
    for problem in problems:
        text = (folder / paths_of(problem).pipeline / "dvc.yaml").read_text(encoding="utf-8")
        stages = yaml.safe_load(text)["stages"].values()
        read[problem] = {dep for stage in stages for dep in stage.get("deps", ())}
        written[problem] = {
            out if isinstance(out, str) else next(iter(out))
            for stage in stages
            for kind in ("outs", "metrics")
            for out in stage.get(kind, ())
        }
    graph = networkx.Graph()
    graph.add_nodes_from(read)
    graph.add_edges_from(
        (one, other) for one in read for other in read if read[one] & written[other]
    )
    return [[p for p in read if p in group] for group in networkx.connected_components(graph)]


def _summary(sandbox: ProjectCopy, problem: str) -> Iterator[str]:
    paths = paths_of(problem)
    metrics = read_json(sandbox.folder / paths.metrics)
    decision = read_json(sandbox.folder / paths.decision)
    name, bound = next(
        (gate["name"].removeprefix("validation_"), gate["required"])
        for gate in decision["reasons"]
        if gate["name"].startswith("validation_")
    )
    yield f"\n{problem}"
    yield (
        f"  {name:12}{metrics[name]:.4f} on {metrics['n']:,} of test; baseline"
        f" {metrics['baseline'][name]:.4f}; required on validation {bound:g}"
    )
    yield f"  verdict     {decision['verdict']}"
    yield f"  figures     {sandbox.folder / paths.metrics}, pictures in {sandbox.folder / paths.reports / 'plots'}"
    yield f"  report      {sandbox.folder / paths.reports / 'index.html'}"
    yield f"  model       {sandbox.folder / paths.model}"
    command = _demo_of(problem).COMMAND
    if not all((sandbox.folder / part).exists() for part in command if part.startswith("data/")):
        return  # what the demo asks about was generated
    answer = sandbox.run(sys.executable, "-m", "rnnpipe", *command).strip()
    yield f"  tried       rnnpipe {shlex.join(command)}"
    yield from (f"              {line}" for line in answer.splitlines())
