"""The flow: a task for each stage of ``dvc.yaml``, in the DAG's own order; see ``flows/run.py``."""

import difflib
import json
import os
import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture, as_completed
from prefect.states import Cancelled, Completed
from prefect.task_runners import ThreadPoolTaskRunner

from flows import told as said
from flows.artifacts import show
from flows.dag import Plan, read_plan, short_name
from flows.lifeline import wait_for_server, watch_for_worker
from flows.ranks import Spread, run_rank
from flows.runners import Runner, task_runner
from flows.stage import Outcome, StageNetworkError, run_stage, stop_stages
from flows.workspace import (
    BRANCHES,
    Workspace,
    clean_workspaces,
    commit_overrides,
    make_workspace,
    publishing_alone,
    save_experiment,
)
from rnnpipe.errors import ParameterError, RnnpipeError
from rnnpipe.storage.paths import current_name, paths_of, problem_names

ROOT = Path(__file__).resolve().parents[1]
KEEP_CLONES, KEEP_EXPERIMENTS = 10, 50

# Seconds before each further attempt of a stage that could not reach the network.
PAUSES_VARIABLE = "RNNPIPE_RETRY_SECONDS"
_PAUSES = [float(text) for text in os.environ.get(PAUSES_VARIABLE, "10 60 300").split()]

_LONGEST_TITLE = 60


@dataclass(frozen=True)
class Story:
    """What a run came to; ``experiment`` is empty where there was nothing new to keep."""

    name: str
    sentence: str
    dag: Mapping[str, tuple[str, ...]]
    outcomes: Mapping[str, Outcome]
    experiment: str = ""


class PipelineFailedError(RnnpipeError):
    """One stage or more failed, or publishing did; ``story`` says what became of all."""

    def __init__(self, message: str, story: Story) -> None:
        super().__init__(message)
        self.story = story


def run_name() -> str:
    """What is different about a run, and a few letters that no other run has."""
    parameters = runtime.flow_run.parameters or {}
    problem = parameters.get("problem") or "classification"
    parts = [] if problem == "classification" else [problem]
    parts += [
        f"{key}={_short(value)}" for key, value in (parameters.get("overrides") or {}).items()
    ]
    parts += [f"force {stage}" for stage in parameters.get("force") or ()]
    parts += ["publish"] if parameters.get("publish") else []
    title = ", ".join(parts) or "defaults"
    title = title if len(title) <= _LONGEST_TITLE else f"{title[: _LONGEST_TITLE - 1]}…"
    return f"{title} {uuid.uuid4().hex[:6]}"


@flow(
    name="pipeline",
    flow_run_name=run_name,
    task_runner=ThreadPoolTaskRunner(),  # type: ignore[arg-type]  # Prefect's own example
    persist_result=False,
)
def pipeline(
    overrides: dict[str, Any] | None = None,
    force: list[str] | None = None,
    publish: bool = False,
    repository: str | None = None,
    problem: str = "classification",
    runner: Runner = "threads",
    address: str | None = None,
) -> State[Story]:
    """Run what changed since the last run, in a clone of its own.

    Args:
        overrides: parameters that differ from the committed params.yaml, by dotted name.
        force: stages to run although nothing changed.
        publish: publish the model as a version, on a branch of its own.
        repository: root of the project; by default the folder that holds this flow.
        problem: whose pipeline is run, with all that it needs of others.
        runner: where the stages run. On dask and ray, a training by several workers
            (train.workers) is spread: each is a task of its own beside the stage.
        address: of a Dask or Ray cluster that is up; by default one for this run alone.
    """
    root = Path(repository).resolve() if repository else ROOT
    logger = get_run_logger()
    watch_for_worker()
    problem = _known(problem)
    with ThreadPoolExecutor() as beside:
        # While this process waits for DVC, which looks at the clone.
        cleaning = beside.submit(clean_workspaces, root, KEEP_CLONES, KEEP_EXPERIMENTS)
        workspace = make_workspace(root, _slug(runtime.flow_run.name), overrides or {}, problem)
    try:
        cleaning.result()
        logger.info("This run works in %s", workspace.folder)
        workers = workspace.params.train.workers
        # Room for all workers of a training at once, and for a stage beside them.
        engine = task_runner(runner, workers + 1, address)
        if runner == "threads":
            engine = None  # the flow's own
        with engine or nullcontext():
            story = _run(workspace, root, force or [], publish, engine, address)
    except BaseException:
        # Also when the run is cancelled: nothing may go on in a run that has ended.
        stop_stages(workspace.folder)
        raise
    finally:
        workspace.close()
    wait_for_server()  # which is told now
    return Completed(message=story.sentence, data=story)


def _run(
    workspace: Workspace,
    root: Path,
    force: Sequence[str],
    publish: bool,
    engine: Any,
    address: str | None,
) -> Story:
    logger = get_run_logger()
    pipeline_file = paths_of(workspace.params.problem).pipeline / "dvc.yaml"
    plan = workspace.plan or read_plan(workspace.folder, pipeline_file)
    dag = plan.needs
    force = _forced(force, dag)
    champion = said.champion_of(workspace)
    outcomes = _run_stages(workspace, plan, force, champion, engine, address)
    if sentence := _fault(dag, outcomes):
        _tell(workspace, Story(workspace.name, sentence, dag, outcomes))
        raise PipelineFailedError(sentence, Story(workspace.name, sentence, dag, outcomes))
    new = [o.stage for o in outcomes.values() if o.state != "Skipped"]
    experiment = save_experiment(workspace, root) if new else ""
    sentence = said.in_a_sentence(outcomes)
    if experiment:
        sentence += f"; to bring it back: dvc exp apply {experiment}"
    refusal = said.reason_of_refusal(workspace) if "register" in map(short_name, new) else ""
    if refusal:
        sentence += f"; the model is refused: {refusal}"
        said.tell_of_refusal(workspace.name, refusal)
    story = Story(workspace.name, sentence, dag, outcomes, experiment)
    _tell(workspace, story)
    if publish:
        state = publish_model(
            workspace.folder,
            workspace.name,
            root,
            bool(refusal),
            workspace.params.problem,
            return_state=True,
        )
        if not state.is_completed():
            raise PipelineFailedError(f"publishing failed: {state.message}", story)
        sentence = f"{sentence}; {state.message}"
        story = Story(workspace.name, sentence, dag, outcomes, experiment)
    logger.info("%s", sentence)
    return story


def _fault(dag: Collection[str], outcomes: Mapping[str, Outcome]) -> str:
    """Why a run did not come to its end; empty where every stage did.

    What a stage that was ended left behind is not what its parameters give: it must not be kept.
    """
    found = outcomes.values()
    if failed := [outcome for outcome in found if outcome.state == "Failed"]:
        return "; ".join(f"{outcome.stage} failed: {outcome.message}" for outcome in failed)
    if ended := [outcome.stage for outcome in found if outcome.state == "Cancelled"]:
        return f"{', '.join(ended)}: ended by a signal to dvc, not by the run"
    if missing := [name for name in dag if name not in outcomes]:
        return f"{', '.join(missing)}: no word of what became of it; the server's logs may tell"
    return ""


def _run_stages(
    workspace: Workspace,
    plan: Plan,
    force: Collection[str],
    champion: Mapping[str, Any] | None,
    engine: Any = None,
    address: str | None = None,
) -> dict[str, Outcome]:
    """Run all stages, each as soon as those it needs are done.

    Args:
        workspace: the run's.
        plan: stages, those each needs, and which had nothing to do.
        force: stages to run although nothing changed.
        champion: whom the model is compared with.
        engine: task runner that has been entered; None: the flow's own.
        address: of the cluster that it submits to.
    """
    folder, params, dag = workspace.folder, workspace.params, plan.needs
    workers = params.train.workers if engine else 1
    spread = Spread(folder, paths_of(params.problem).params, workers, address)
    # Of two alike the pipeline's own, which is later.
    trainings = [name for name in dag if short_name(name) == "train"][-1:] if workers > 1 else []
    futures: dict[str, PrefectFuture[Any]] = {}
    ranks: list[PrefectFuture[Any]] = []
    for name, needs in dag.items():
        parameters = {
            "name": name,
            "folder": folder,
            "force": name in force,
            "champion": champion,
            "problem": params.problem,
            "plan": plan,
            "spread": spread if name in trainings else None,
        }
        before = [futures[need] for need in needs]
        futures[name] = _submit(engine, stage, parameters, before)
        if name in trainings:
            ranks = [
                _submit(engine, worker, {"spread": spread, "rank": rank}, before)
                for rank in range(1, workers)
            ]
    outcomes: dict[str, Outcome] = {}
    names = {id(future): name for name, future in futures.items()}
    ended: set[str] = set()
    at_once = plan.unchanged.keys() - set(force)
    _show_dag(dag, outcomes, ended, at_once)
    for future in as_completed(list(futures.values())):
        name = names[id(future)]
        future.wait()  # else its state is asked of the server, which may lag behind
        ended.add(name)
        if outcome := said.outcome_of(name, future.state):
            outcomes[name] = outcome
        _show_dag(dag, outcomes, ended, at_once)
    for future in ranks:
        future.wait()
    return {name: outcomes[name] for name in dag if name in outcomes}


def _submit(
    engine: Any, task: Any, parameters: Mapping[str, Any], before: Sequence[PrefectFuture[Any]]
) -> PrefectFuture[Any]:
    if engine is None:
        return task.submit(**parameters, return_state=False, wait_for=before)  # type: ignore[no-any-return]
    return engine.submit(task, parameters=dict(parameters), wait_for=before)  # type: ignore[no-any-return]


def _network_only(_: Any, __: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.result(raise_on_failure=False), StageNetworkError)


@task(
    name="stage",
    task_run_name="{name}",
    retries=len(_PAUSES),
    retry_delay_seconds=_PAUSES,
    retry_condition_fn=_network_only,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def stage(
    name: str,
    folder: Path,
    force: bool,
    champion: Mapping[str, Any] | None,
    problem: str = "classification",
    plan: Plan | None = None,
    spread: Spread | None = None,
) -> State[Outcome]:
    """One stage; its state is what became of it.

    What had nothing to do when the run began, and still has not, needs no process: DVC is asked
    only where something was touched.
    """
    logger = get_run_logger()
    progress = show.TrainingProgress()

    def on_epoch(values: Mapping[str, Any]) -> None:
        with show.optional():
            progress.epoch(values)

    def on_steps(values: Mapping[str, Any]) -> None:
        with show.optional():
            progress.steps(values)

    try:
        variables = spread.variables(0) if spread else {}
        skipped = plan.skip(name, folder) if plan and not force else None
        outcome = skipped or run_stage(
            name,
            folder,
            force=force,
            on_line=logger.log,
            on_epoch=on_epoch,
            on_steps=on_steps,
            variables=variables,
        )
    finally:
        if spread:
            spread.end()
        # A failed validation has a verdict to show too.
        with show.optional():
            show.show_stage(name, folder, champion, problem, progress.seconds)
    if outcome.state == "Cancelled":
        return Cancelled(message=outcome.message, data=outcome)
    return Completed(name=outcome.state, message=outcome.message, data=outcome)


@task(name="worker", task_run_name="worker-{rank}", cache_policy=NO_CACHE, persist_result=False)
def worker(spread: Spread, rank: int) -> said.TextState:
    """One worker of a training beside the stage, which is rank 0."""
    became = run_rank(spread, rank, get_run_logger().info)
    return Completed(message=f"worker {rank}: {became}")


@task(name="publish", task_run_name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish_model(
    folder: Path, name: str, root: Path, told: bool, problem: str = "classification"
) -> said.TextState:
    """Push the run's branch, data and tags, as ``rnnpipe publish`` does; one run at a time."""
    from rnnpipe.registry.checks import RefusalError
    from rnnpipe.registry.publishing import publish

    logger = get_run_logger()
    commit_overrides(folder, name)
    with publishing_alone(root):
        try:
            published = publish(folder, name=problem)
        except RefusalError as refusal:
            match refusal.reason:
                case "nothing new" | "already registered":
                    return Completed(name="Skipped", message=str(refusal))
                case "gate failed" | "not better" | "not comparable":
                    if not told:
                        said.tell_of_refusal(name, str(refusal))
                    return Completed(name="Refused", message=str(refusal))
            raise
    for line in published.summary:
        logger.info("%s", line)
    message = f"{published.summary[0]}, on branch {BRANCHES}/{name}"
    return Completed(name="Published", message=message)


def _tell(workspace: Workspace, story: Story) -> None:
    with show.optional():
        show.show_summary(
            story.experiment,
            story.outcomes,
            story.dag,
            workspace.folder,
            workspace.params.problem,
        )


def _show_dag(
    dag: Mapping[str, tuple[str, ...]],
    outcomes: Mapping[str, Outcome],
    ended: Collection[str],
    at_once: Collection[str],
) -> None:
    """Show what runs and what ended, unless one of ``at_once``, which ends at once, runs now."""
    good = {name for name, o in outcomes.items() if o.state not in ("Failed", "Cancelled")}
    running = [name for name, needs in dag.items() if name not in ended and good.issuperset(needs)]
    if any(name in at_once for name in running):
        return
    with show.optional():
        show.show_dag(dag, outcomes, running)


def _forced(force: Sequence[str], dag: Collection[str]) -> list[str]:
    """The stages named, by whole or short name; of two alike the pipeline's own, which is later."""
    known = {short_name(name): name for name in dag} | {name: name for name in dag if ":" in name}
    for name in force:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise ParameterError(f"force: {name[:100]} is no stage; {hint}")
    return [known[name] for name in force]


def _known(problem: str) -> str:
    problem = current_name(problem)
    if problem not in problem_names():
        raise ParameterError(
            f"problem is {problem[:100]!r}, expected one of: {', '.join(problem_names())}"
        )
    return problem


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.rsplit("/", 1)[-1] if "://" in text else text


def _slug(name: str | None) -> str:
    """A run's name as DVC, git and a file system take it."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name or "").strip("-") or f"run-{uuid.uuid4().hex[:6]}"
