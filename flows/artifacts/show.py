"""What a person sees on a run's page: diagram, progress, verdicts, figures, pictures, lineage.

Everything is Markdown, for of all kinds of artifact it alone shows well in both of Prefect's user
interfaces: tables keep their alignment, pictures come along as ``data:`` addresses, and mermaid
draws (in V2; V1 shows its source, and the table below it). An artifact of a run is changed in
place, so that the run's page has one of each, and the newest.

Nothing here ever opens the reviews, or ``mistakes.csv``, which quotes them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.runtime import flow_run

from flows.dag import short_name
from flows.lifeline import tell
from rnnpipe.problems import problem_by
from rnnpipe.reporting.story import read_pictures, read_report
from rnnpipe.storage.paths import paths_of

if TYPE_CHECKING:
    from flows.stage import Outcome

from flows.artifacts.documents import (
    dag_markdown,
    decision_markdown,
    lineage_markdown,
    metrics_markdown,
    pictures_markdown,
    sequences_markdown,
    suite_markdown,
    summary_markdown,
    training_markdown,
)
from flows.artifacts.markdown import link


@contextmanager
def optional() -> Iterator[None]:
    """What people see must not fail what is done: a server that does not answer is a warning."""
    try:
        yield
    except httpx.HTTPError as error:
        get_run_logger().warning("An artifact is missing: %s", error)


def show_dag(
    dag: Mapping[str, Sequence[str]],
    outcomes: Mapping[str, "Outcome"],
    running: Collection[str] = (),
) -> None:
    """Show the stages, how far each is, and how long it took; key ``dag``.

    Args:
        dag: stages, each with those it depends on, in topological order.
        outcomes: of the stages that have ended.
        running: stages at work.
    """
    _show("dag", dag_markdown(dag, outcomes, running), "The stages of dvc.yaml in this run")


class TrainingProgress:
    """Training as it goes on: keys ``training-progress`` and ``training``."""

    def __init__(self) -> None:
        self._rows: dict[int, Mapping[str, Any]] = {}

    def epoch(self, values: Mapping[str, Any]) -> None:
        """Take an epoch's figures as the stage tells them, and move both artifacts."""
        done, most = int(values["epoch"]), int(values["epochs"])
        self._rows[done] = {key: value for key, value in values.items() if key != "epochs"}
        _show_progress(100 * min(done / most, 1), f"Epoch {done} of at most {most}")
        rows = [self._rows[key] for key in sorted(self._rows)]
        _show("training", training_markdown(rows, most), _TRAINING)

    def steps(self, values: Mapping[str, Any]) -> None:
        """Take how far the training is within an epoch, and move its progress."""
        _show_progress(100 * min(values["passed"], 1), _how_far(values))

    @property
    def seconds(self) -> Mapping[int, float | None]:
        """How long each epoch took, by its number; ``history.json`` must not know."""
        return {epoch: values.get("seconds") for epoch, values in self._rows.items()}


def show_stage(
    stage: str,
    folder: Path,
    champion: Mapping[str, Any] | None,
    problem: str = "classification",
    seconds: Mapping[int, float | None] | None = None,
) -> None:
    """Show what a stage reported; a stage without a report, or a missing report, shows nothing.

    Args:
        stage: its name, as :func:`flows.dag.read_dag` gives it.
        folder: of the project, or of the run's clone.
        champion: content of the champion's ``metrics.json``, with its ``version`` if it has one;
            None where no model is published yet.
        problem: whose pipeline runs; the stages of the root's that it needs are sentiment's.
        seconds: how long each epoch of a training took, by its number, as far as that is known.
    """
    whose = problem if ":" in stage else "classification"
    paths, words = paths_of(whose), problem_by(whose).wording()
    reports = folder / paths.reports
    match name := short_name(stage):
        case "validate" | "validate_sequences":
            if suite := read_report(reports / f"{name.replace('validate', 'validation')}.json"):
                key, docs = name.replace("_", "-"), paths.reports / "data_docs"
                _show(
                    key, suite_markdown(suite, folder, docs, words), "What Great Expectations found"
                )
        case "sequences":
            if report := read_report(reports / "sequences.json"):
                _show(
                    "sequences", sequences_markdown(report, words), "Splits, and what was dropped"
                )
        case "train":
            if history := read_report(folder / paths.network / "history.json"):
                best, took = history.get("best_epoch"), seconds or {}
                rows = [
                    row | {"seconds": took.get(row.get("epoch"))}
                    for row in history.get("epochs") or []
                ]
                if tell(lambda: _find("training-progress")):
                    _show_progress(100, f"Done: {len(rows)} epochs, those of epoch {best} kept")
                _show("training", training_markdown(rows, len(rows), best), _TRAINING)
        case "gradient_flow":
            if pictures := read_pictures(reports / "gradient_flow", words):
                page = pictures_markdown(pictures, words)
                _show("gradient-flow", page, "How far the loss reaches back")
        case "evaluate":
            if metrics := read_report(folder / paths.metrics):
                _show(
                    "metrics", metrics_markdown(metrics, champion, words), "Figures and differences"
                )
            if pictures := read_pictures(reports / "plots", words, metrics):
                _show(
                    "pictures", pictures_markdown(pictures, words), "Pictures of test and training"
                )
        case "register":
            if decision := read_report(folder / paths.decision):
                _show("verdict", decision_markdown(decision, words), "May this model be published?")
                _show("lineage", lineage_markdown(decision, words), "What the model came from")
        case "report":
            told = paths.reports / "index.html"
            if (folder / told).is_file():
                line = f"The whole story, to read without a server: {link(folder, told)}\n"
                _show("report", line, "The report of this run")


def show_summary(
    name: str,
    outcomes: Mapping[str, "Outcome"],
    dag: Mapping[str, Sequence[str]],
    folder: Path,
    problem: str = "classification",
) -> None:
    """Show the run's story in one page; key ``summary``.

    Args:
        name: of the run, under which its experiment is kept; empty where none was kept.
        outcomes: of the stages that have ended.
        dag: stages, each with those it depends on, in topological order.
        folder: of the run's clone.
        problem: whose pipeline ran.
    """
    _show(
        "summary", summary_markdown(name, outcomes, dag, folder, problem), "What this run came to"
    )


def show_search(markdown: str) -> None:
    """Show how a search stands; key ``search``."""
    _show("search", markdown, "The trials so far, the best first")


def show_trial(name: str, values: Mapping[str, Any]) -> None:
    """Move the progress of a trial; key: the trial's name.

    Args:
        name: of the trial: lower case letters, digits and dashes.
        values: an epoch's figures as the stage tells them.
    """
    done, most = int(values["epoch"]), int(values["epochs"])
    _show_progress(100 * min(done / most, 1), f"{name}: epoch {done} of at most {most}", name)


def show_trial_steps(name: str, values: Mapping[str, Any]) -> None:
    """Move the progress of a trial within an epoch; see :func:`show_trial`."""
    text = f"{name}. {_how_far(values)}"
    _show_progress(100 * min(values["passed"], 1), text, name)


_TRAINING = "Loss and accuracy, epoch by epoch"


_ids: dict[tuple[str, str], UUID] = {}  # of artifacts, by flow run and key: they never change


def _show(key: str, markdown: str, description: str) -> None:
    """Create the run's artifact of this key, or change it where it is there."""

    def show() -> None:
        if found := _find(key):
            _update(found, data=markdown, description=description)
        else:
            create_markdown_artifact(markdown, key=key, description=description)

    tell(show)


def _how_far(values: Mapping[str, Any]) -> str:
    left = max(1, round(values["seconds_left"] / 60))
    return (
        f"Epoch {values['epoch']} of at most {values['epochs']}, step {values['step']:,} of"
        f" {values['steps']:,}: loss {values['loss']:.4g}, {values['per_second']:,.0f}"
        f" {values['unit']}/s, {left:,} min left"
    )


def _show_progress(percent: float, description: str, key: str = "training-progress") -> None:

    def show() -> None:
        if found := _find(key):
            _update(found, data=percent, description=description)
        else:
            create_progress_artifact(percent, key=key, description=description)

    tell(show)


def _update(artifact: UUID, **values: Any) -> None:
    with get_client(sync_client=True) as client:
        client.update_artifact(artifact, ArtifactUpdate(**values))


def _find(key: str) -> UUID | None:
    """Id of the artifact that this flow run already has under a key, or None."""
    if known := _ids.get((flow_run.id, key)):
        return known
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(
                key=ArtifactFilterKey(any_=[key]),
                flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run.id]),
            ),
            limit=1,
        )
    if not found:
        return None
    _ids[flow_run.id, key] = found[0].id
    return found[0].id
