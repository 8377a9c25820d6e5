"""One trial of a search: a set of parameters to a trained network, wherever the task runs."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Cancelled, Completed
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from flows.artifacts import show
from flows.search.space import Space
from flows.search.study import Proposal, Reporting
from flows.stage import StageFailedError, StageNetworkError, allow_stages, run_stage, stop_stages
from flows.told import TextState
from flows.workspace import (
    RUNS,
    Workspace,
    WorkspaceError,
    make_workspace,
    remove_results,
    save_experiment,
)
from rnnpipe.errors import ParameterError, RnnpipeError
from rnnpipe.storage.files import read_json
from rnnpipe.storage.paths import paths_of

_KIND = "Trial of the search: "
_ORPHANS_SECONDS = 30  # until what a killed search left behind has ended itself
# A stage that was told to end; whoever told it ends the search, too.
_INTERRUPTED = re.compile(r"exited with -(2|15)\b|interrupted by the user", re.IGNORECASE)


class CancelledError(RnnpipeError):
    """A training was cancelled; its trial has no end yet."""


@dataclass(frozen=True)
class Job:
    """What a trial needs to know.

    Attributes:
        repository: root of the project.
        name: of the trial, its clone and its experiment.
        space: of the search.
        commit: that all its trials are made from.
        overrides: parameters by dotted name.
        stages: that it runs, ``train`` the last of them.
        left: the stages that no trial runs; the clone must not keep what they once made.
        results: contents of the ``dvc.lock`` files of the default, by path.
        proposal: its place in the study; None for the default.
    """

    repository: Path
    name: str
    space: Space
    commit: str
    overrides: Mapping[str, Any]
    stages: Sequence[str]
    left: Sequence[str]
    results: Mapping[str, str]
    proposal: Proposal | None = None


def folder_of(job: Job) -> Path:
    """Where the trial's clone lies."""
    return job.repository / RUNS / job.name


@task(name="trial", task_run_name="{job.name}", cache_policy=NO_CACHE, persist_result=False)
def train_default(job: Job) -> dict[str, Any]:
    """Train with the parameters of the project, and what the search sets.

    Returns:
        value, figures, epochs, best_epoch, seconds, experiment.
    """
    allow_stages(folder_of(job))
    workspace = _workspace(job)
    with workspace:
        found = _train(job, workspace, lambda _: False)
        if found is None:
            raise CancelledError("the training of the default was cancelled")
        workspace.remove()
    return found


@task(name="trial", task_run_name="{job.name}", cache_policy=NO_CACHE, persist_result=False)
def trial(job: Job) -> TextState:
    """Try one set of parameters; the study is told what came of it."""
    if job.proposal is None:
        raise ValueError("the default is no trial")
    reporting = Reporting(job.repository, job.proposal, job.space.prune)
    if reporting.over:  # a cluster repeats what it did not hear the end of
        return Completed(message="ended before")
    values = ", ".join(f"{key}={value}" for key, value in job.proposal.values.items())
    get_run_logger().info("Tries %s", values)
    # First of all: who cancels while the clone is made must be heard.
    allow_stages(folder_of(job))
    try:
        workspace = _workspace(job)
    except ParameterError as error:
        # Each value is allowed, but not all of them together.
        reporting.failed(str(error))
        return Completed(name="Failed", message=str(error))
    pruned = False

    def on_epoch(row: Mapping[str, Any]) -> bool:
        nonlocal pruned
        # Lines that were on their way when it was stopped still come, and change nothing.
        if not pruned:
            number = int(row["epoch"])
            last = number >= int(row["epochs"])
            pruned = reporting.epoch(number, float(row[job.space.figure]), last=last)
        return pruned

    # In each case the clone goes first: what dies in between finds its training in DVC's cache.
    with workspace:
        try:
            found = _train(job, workspace, on_epoch)
        except StageNetworkError:
            raise
        except StageFailedError as error:
            if any(_INTERRUPTED.search(line) for line in error.outcome.last_lines):
                raise CancelledError(error.outcome.message) from None
            workspace.remove()
            reporting.failed(error.outcome.message)
            return Completed(name="Failed", message=error.outcome.message)
        if found is not None:
            reporting.note(**found)
            workspace.remove()
            reporting.complete(found["value"])
            return Completed(message=f"{job.space.figure} {found['value']:.4f}")
        if pruned:
            workspace.remove()
            reporting.pruned()
            return Completed(name="Pruned", message="worse than the median after the same epoch")
    return Cancelled(message="cancelled; the search takes it up again")


def _train(
    job: Job, workspace: Workspace, on_epoch: Callable[[Mapping[str, Any]], bool]
) -> dict[str, Any] | None:
    """Run the stages up to the training and keep them as an experiment; None if it was stopped.

    Args:
        job: the trial.
        workspace: its clone.
        on_epoch: called with an epoch's figures; whether it tells to stop.
    """
    logger, folder = get_run_logger(), workspace.folder
    began = time.monotonic()

    def take(row: Mapping[str, Any]) -> None:
        _require_figure(row, job.space.figure)
        with show.optional():
            show.show_trial(job.name, row)
        if on_epoch(row):
            stop_stages(folder)

    def on_steps(values: Mapping[str, Any]) -> None:
        with show.optional():
            show.show_trial_steps(job.name, values)

    for stage in job.stages:
        skipped = workspace.plan.skip(stage, folder) if workspace.plan else None
        outcome = skipped or run_stage(
            stage, folder, on_line=logger.log, on_epoch=take, on_steps=on_steps
        )
        if outcome.state == "Cancelled":
            return None
    history = read_json(folder / paths_of(job.space.problem).network / "history.json")
    # A training that DVC brought back told of no epoch; the study has to know of each.
    if outcome.state != "Ran":
        most = history["most_epochs"]
        if any(on_epoch(row | {"epochs": most}) for row in history["epochs"]):
            return None
    (kept,) = (row for row in history["epochs"] if row["epoch"] == history["best_epoch"])
    _require_figure(kept, job.space.figure)
    remove_results(folder, job.left)
    # DVC has kept what the stages before it made.
    experiment = save_experiment(workspace, job.repository, job.stages[-1:], _KIND)
    return {
        "value": kept[job.space.figure],
        "figures": {key: value for key, value in kept.items() if key != "epoch"},
        "epochs": len(history["epochs"]),
        "best_epoch": history["best_epoch"],
        "seconds": round(time.monotonic() - began, 1),
        "experiment": experiment,
    }


def _require_figure(row: Mapping[str, Any], figure: str) -> None:
    if not isinstance(row.get(figure), float):
        known = ", ".join(key for key in row if key.startswith("validation_"))
        raise ParameterError(f"the search asks for {figure}, but an epoch has: {known}")


def _workspace(job: Job) -> Workspace:
    """The trial's clone; what a killed search left at work there ends itself within seconds."""
    retrying = Retrying(
        retry=retry_if_exception_type(WorkspaceError),
        stop=stop_after_delay(_ORPHANS_SECONDS),
        wait=wait_fixed(1),
        reraise=True,
    )
    return retrying(
        make_workspace,
        job.repository,
        job.name,
        job.overrides,
        job.space.problem,
        commit=job.commit,
        results=job.results,
        go_on=True,
    )
