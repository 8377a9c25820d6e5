"""A search: Optuna proposes, Prefect runs the trials, DVC keeps each as an experiment.

``python -m flows.search run`` searches, and goes on where a search of the same name was cut off.
First the default is trained, and with it every stage that all trials share; each trial then
trains in a clone of its own, up to the stage ``train``. Nothing opens the test split: validation
decides, and ``dvc exp apply`` with ``dvc repro`` judges the one that was chosen.
"""

import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from prefect import flow, get_run_logger, runtime
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, as_completed
from prefect.states import Completed

from flows.artifacts import show
from flows.dag import read_dag
from flows.lifeline import wait_for_server, watch_for_worker
from flows.runners import Runner, task_runner
from flows.search.report import REPORTS, Summary, page, summarize, write_report
from flows.search.space import Space, check_space, divide_stages, read_space
from flows.search.study import Proposal, ended, open_study, propose, unfinished
from flows.search.trial import Job, folder_of, train_default, trial
from flows.stage import stop_stages
from flows.workspace import (
    WorkspaceError,
    changed_since,
    commit_of,
    experiment_commit,
    read_committed,
    uncommitted,
)
from rnnpipe.errors import RnnpipeError
from rnnpipe.storage.paths import paths_of

ROOT = Path(__file__).resolve().parents[2]
SPACE = "params/search.yaml"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_LOCKS = Path(".rnnpipe/search")
_FAILURES = 3  # in a row, after which the fault is not the trials'


class SearchError(RnnpipeError):
    """A search cannot begin, or cannot go on."""


def run_name() -> str:
    """The search, and a few letters that no other run has."""
    parameters = runtime.flow_run.parameters or {}
    name = parameters.get("name") or parameters.get("space") or SPACE
    return f"{name[:60]} {uuid.uuid4().hex[:6]}"


@flow(name="search", flow_run_name=run_name, persist_result=False)
def search(
    space: str = SPACE,
    name: str | None = None,
    trials: int | None = None,
    at_once: int = 1,
    runner: Runner = "threads",
    address: str | None = None,
    repository: str | None = None,
) -> State[Summary]:
    """Try sets of parameters, and tell which is best on validation.

    Args:
        space: file with the space, relative to the project.
        name: of the search; by default the one in the file, or the file's own. A search of this
            name goes on.
        trials: how many there shall be in all; by default what the file says.
        at_once: trials that run at the same time.
        runner: where they run.
        address: of a Dask or Ray cluster that is up; by default one for this search alone.
        repository: root of the project; by default the folder that holds this flow.
    """
    watch_for_worker()
    root = Path(repository).resolve() if repository else ROOT
    plan = read_space(root / space)
    if trials is not None:
        plan = Space.model_validate(plan.model_dump(by_alias=True) | {"trials": trials})
    name = name or plan.name or Path(space).stem
    if not _NAME.fullmatch(name):
        raise SearchError(f"found the name {name[:100]!r}, expected lower case, digits and dashes")
    if at_once < 1:
        raise SearchError(f"at_once is {at_once}, expected 1 or more")
    engine = task_runner(runner, at_once, address)
    with _alone(root, name):
        return _search(root, name, space, plan, at_once, engine)


def _search(
    root: Path, name: str, file: str, plan: Space, at_once: int, engine: Any
) -> State[Summary]:
    began = time.monotonic()
    logger = get_run_logger()
    head = commit_of(root)
    paths = paths_of(plan.problem)
    check_space(plan, read_committed(root, paths.params), file)
    _require_stages_of(root, head, "is not committed", "commit it first")
    dag = read_dag(root, paths.pipeline / "dvc.yaml")
    shared, own = divide_stages(plan, dag, root)
    left = [stage for stage in dag if stage not in (*shared, *own)]
    if changed := uncommitted(root):
        logger.warning("Not committed, so not in this search: %s", ", ".join(changed))
    study = open_study(root, name, plan, head)
    commit = study.user_attrs["commit"]
    if commit != head:
        _require_stages_of(
            root,
            commit,
            f"differs from commit {commit[:9]}, at which the search began",
            f"take another --name, or begin anew: python -m flows.search forget {name}",
        )
        logger.info(
            "The search goes on from commit %s, at which it began, not %s", commit[:9], head[:9]
        )
    job = Job(root, f"{name}-default", plan, commit, plan.fixed, [*shared, *own], left, {})
    results = _results(root, study) or _train_default(study, job)
    past = float(study.user_attrs.get("seconds", 0.0))

    def tell() -> Summary:
        summary = summarize(study, plan)
        write_report(study, summary, root / REPORTS / name)
        with show.optional():
            show.show_search(page(summary, root / REPORTS / name))
        return summary

    summary = tell()
    for proposal in _run_trials(study, plan, at_once, engine, _jobs(job, name, own, results)):
        logger.info("Trial %d ended", proposal.number)
        study.set_user_attr("seconds", round(past + time.monotonic() - began, 1))
        summary = tell()
    logger.info("%s", summary.sentence)
    wait_for_server()  # which is told now
    return Completed(message=summary.sentence, data=summary)


def _require_stages_of(root: Path, commit: str, found: str, advice: str) -> None:
    """Refuse stages of the work tree that the trials, clones of the commit, would not have."""
    if changed := changed_since(root, commit, "dvc.yaml", "pipelines/*/dvc.yaml"):
        raise SearchError(f"{', '.join(changed)} {found}, and trials are clones of it: {advice}")


def _jobs(
    default: Job, name: str, own: Sequence[str], results: Mapping[str, str]
) -> Callable[[Proposal], Job]:
    """Make a proposal's job."""

    def job(proposal: Proposal) -> Job:
        return replace(
            default,
            name=f"{name}-{proposal.number:03d}",
            overrides={**default.space.fixed, **proposal.values},
            stages=own,
            results=results,
            proposal=proposal,
        )

    return job


def _run_trials(
    study: optuna.Study,
    plan: Space,
    at_once: int,
    engine: Any,
    job: Callable[[Proposal], Job],
) -> Iterator[Proposal]:
    """Run what is left of the search, and yield each trial when it has ended."""
    waiting = unfinished(study)
    running: dict[PrefectFuture[Any], Proposal] = {}
    with engine:
        try:
            while True:
                while len(running) < at_once:
                    if waiting:
                        proposal = waiting.pop(0)
                    elif len(study.get_trials(deepcopy=False)) < plan.trials:
                        proposal = propose(study, plan)
                    else:
                        break
                    future = engine.submit(trial, parameters={"job": job(proposal)})
                    running[future] = proposal
                if not running:
                    return
                future = next(as_completed(list(running)))
                future.wait()
                # A fault that is not the trial's own ends the search, and leaves it unfinished.
                future.result()
                yield running.pop(future)
                _require_not_all_fail(study)
        finally:
            # Also when the search is cancelled: a training must not go on unseen.
            for proposal in running.values():
                stop_stages(folder_of(job(proposal)))


def _require_not_all_fail(study: optuna.Study) -> None:
    last = ended(study)[-_FAILURES:]
    if len(last) == _FAILURES and all(t.state is optuna.trial.TrialState.FAIL for t in last):
        reason = last[-1].user_attrs.get("reason", "")
        raise SearchError(f"the last {_FAILURES} trials failed, this one as follows: {reason}")


def _train_default(study: optuna.Study, job: Job) -> Mapping[str, str]:
    """Train what the trials are compared with, and give the state of all stages up to there."""
    found = train_default(job)
    study.set_user_attr("default", found)
    return _results(job.repository, study)


def _results(root: Path, study: optuna.Study) -> Mapping[str, str]:
    """Contents of ``dvc.lock`` of the default's experiment; empty where there is none (any more)."""
    default, begun = study.user_attrs.get("default"), study.user_attrs["commit"]
    if not default or not (commit := experiment_commit(root, begun, default["experiment"])):
        return {}
    pipelines = [
        Path("dvc.yaml"),
        *(path.relative_to(root) for path in root.glob("pipelines/*/dvc.yaml")),
    ]
    found = {}
    for path in (pipeline.with_name("dvc.lock").as_posix() for pipeline in pipelines):
        with suppress(WorkspaceError):  # a pipeline that has not run has none
            found[path] = read_committed(root, Path(path), commit)
    return found


@contextmanager
def _alone(root: Path, name: str) -> Iterator[None]:
    """Keep a second search of this name from taking up what the first is at."""
    path = root / _LOCKS / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(path).acquire(blocking=False)
    except Timeout:
        raise SearchError(
            f"a search {name} is at work: wait for its end, or take another --name"
        ) from None
    with held:
        yield
