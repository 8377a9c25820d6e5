"""What a person sees on a run's page: diagram, progress, verdicts, figures, pictures, lineage.

Everything is Markdown, for of all kinds of artifact it alone shows well in both of Prefect's user
interfaces: tables keep their alignment, pictures come along as ``data:`` addresses, and mermaid
draws (in V2; V1 shows its source, and the table below it). An artifact of a run is changed in
place, so that the run's page has one of each, and the newest.

Nothing here ever opens the reviews, or ``mistakes.csv``, which quotes them.
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
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

from flows.pages import PAGES_VARIABLE
from flows.stage import short_name
from rnnpipe.places import places_of
from rnnpipe.problems import wording_of
from rnnpipe.report import (
    CAPTIONS,
    DROPPED,
    STEPS,
    Figure,
    Reason,
    checks,
    columns,
    compare,
    data_uri,
    direct,
    mapping,
    number,
    paired,
    read_pictures,
    read_report,
    reasons,
    share,
    signed,
    small,
    source_of,
)
from rnnpipe.selection import Wording

if TYPE_CHECKING:
    from flows.stage import Outcome


# State to its sign, so that no meaning hangs on colour, and to the fill and line of its box.
_STATES = {
    "Ran": ("✓", "#d9f2e0", "#17803d"),
    "Cached": ("↺", "#dbeafb", "#1f6fb4"),
    "Skipped": ("○", "#eceff2", "#8a949e"),
    "Failed": ("✗", "#fbdcdc", "#c62828"),
    "Cancelled": ("■", "#f6e7cf", "#9a6200"),
    "Running": ("▶", "#fff3c4", "#b08900"),
    "Waiting": ("·", "#ffffff", "#c3cad1"),
}
_MAX_TEXT = 300
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$:=\"'-])")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\s]+")


# --- Called by the flow ------------------------------------------------------------------


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
    """Training as it goes on: keys ``training-progress`` and ``training``.

    Args:
        epochs: most epochs there will be; training may stop earlier.
    """

    def __init__(self, epochs: int) -> None:
        self._epochs = max(1, epochs)
        self._rows: dict[int, Mapping[str, Any]] = {}

    def epoch(self, values: Mapping[str, Any]) -> None:
        """Take an epoch's figures as the stage tells them, and move both artifacts."""
        done = int(values["epoch"])
        self._rows[done] = values
        _show_progress(100 * min(done / self._epochs, 1), f"Epoch {done} of at most {self._epochs}")
        rows = [self._rows[key] for key in sorted(self._rows)]
        _show("training", training_markdown(rows, self._epochs), _TRAINING)

    def steps(self, values: Mapping[str, Any]) -> None:
        """Take how far the training is within an epoch, and move its progress."""
        _show_progress(100 * min(values["passed"], 1), _how_far(values, self._epochs))

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
        stage: its name, as :func:`flows.stage.read_dag` gives it.
        folder: of the project, or of the run's clone.
        champion: content of the champion's ``metrics.json``, with its ``version`` if it has one;
            None where no model is published yet.
        problem: whose pipeline runs; the stages of the root's that it needs are sentiment's.
        seconds: how long each epoch of a training took, by its number, as far as that is known.
    """
    whose = problem if ":" in stage else "classification"
    places, words = places_of(whose), wording_of(whose)
    reports = folder / places.reports
    match name := short_name(stage):
        case "validate" | "validate_sequences":
            if suite := read_report(reports / f"{name.replace('validate', 'validation')}.json"):
                key, docs = name.replace("_", "-"), places.reports / "data_docs"
                _show(key, suite_markdown(suite, folder, docs), "What Great Expectations found")
        case "sequences":
            if report := read_report(reports / "sequences.json"):
                _show("sequences", sequences_markdown(report), "Splits, and what was dropped")
        case "train":
            if history := read_report(folder / places.network / "history.json"):
                best, took = history.get("best_epoch"), seconds or {}
                rows = [
                    row | {"seconds": took.get(row.get("epoch"))}
                    for row in history.get("epochs") or []
                ]
                if _find("training-progress"):
                    _show_progress(100, f"Done: {len(rows)} epochs, those of epoch {best} kept")
                _show("training", training_markdown(rows, len(rows), best), _TRAINING)
        case "gradient_flow":
            if pictures := read_pictures(reports / "gradient_flow"):
                page = pictures_markdown(pictures)
                _show("gradient-flow", page, "How far the loss reaches back")
        case "evaluate":
            if metrics := read_report(folder / places.metrics):
                _show(
                    "metrics", metrics_markdown(metrics, champion, words), "Figures and differences"
                )
            if pictures := read_pictures(reports / "plots"):
                _show("pictures", pictures_markdown(pictures), "Pictures of test and training")
        case "register":
            if decision := read_report(folder / places.decision):
                _show("verdict", decision_markdown(decision), "May this model be published?")
                _show("lineage", lineage_markdown(decision), "What the model came from")
        case "report":
            told = places.reports / "index.html"
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


def show_trial(name: str, done: int, epochs: int) -> None:
    """Move the progress of a trial; key: the trial's name.

    Args:
        name: of the trial: lower case letters, digits and dashes.
        done: epochs that it has trained.
        epochs: most epochs there will be.
    """
    percent = 100 * min(done / max(1, epochs), 1)
    _show_progress(percent, f"{name}: epoch {done} of at most {epochs}", name)


def show_trial_steps(name: str, values: Mapping[str, Any], epochs: int) -> None:
    """Move the progress of a trial within an epoch; see :func:`show_trial`."""
    text = f"{name}. {_how_far(values, epochs)}"
    _show_progress(100 * min(values["passed"], 1), text, name)


# --- Pages -------------------------------------------------------------------------------

_TRAINING = "Loss and accuracy, epoch by epoch"


def dag_markdown(
    dag: Mapping[str, Sequence[str]],
    outcomes: Mapping[str, "Outcome"],
    running: Collection[str] = (),
) -> str:
    """A mermaid diagram of the stages, and a table of the same below it."""
    rows = []
    for stage, needs in dag.items():
        state = _state(stage, outcomes, running)
        outcome = outcomes.get(stage)
        rows.append(
            (
                _STATES[state][0],
                text(stage),
                state,
                number(outcome.seconds, 1) if outcome else "",
                text(outcome.message) if outcome else "",
                ", ".join(map(text, needs)),
            )
        )
    head = ("", "Stage", "State", "Seconds", "What happened", "Needs")
    return f"{mermaid(dag, outcomes, running)}\n\n{table(head, rows, 'cllrll')}\n"


def mermaid(
    dag: Mapping[str, Sequence[str]],
    outcomes: Mapping[str, "Outcome"],
    running: Collection[str] = (),
) -> str:
    """The stages as a fenced mermaid flowchart; edges that follow from others are left out."""
    names = {stage: f"s{place}" for place, stage in enumerate(dag)}
    lines = ["```mermaid", "flowchart TD"]
    for stage, name in names.items():
        state = _state(stage, outcomes, running)
        outcome = outcomes.get(stage)
        below = f"{_STATES[state][0]} {state}"
        if outcome:
            below += f", {number(outcome.seconds, 1)} s"
        lines.append(f'  {name}["{_label(stage)}<br/>{below}"]:::{state.lower()}')
    for stage, needs in direct(dag).items():
        lines += [f"  {names[other]} --> {names[stage]}" for other in needs]
    for state, (_, fill, stroke) in _STATES.items():
        lines.append(f"  classDef {state.lower()} fill:{fill},stroke:{stroke},color:#1f2933")
    return "\n".join([*lines, "```"])


def training_markdown(
    rows: Sequence[Mapping[str, Any]], epochs: int, best: int | None = None
) -> str:
    """The epochs so far as a table; the kept one, or else the best so far, is marked.

    Args:
        rows: figures of the epochs, in order.
        epochs: most epochs there will be.
        best: the epoch whose weights were kept; None while training goes on.
    """
    losses = {row["epoch"]: row.get("validation_loss") for row in rows}
    known = {epoch: loss for epoch, loss in losses.items() if isinstance(loss, int | float)}
    least = best or min(known, key=lambda epoch: known[epoch], default=None)
    mark = "★ kept" if best else "★ best so far"
    titles = columns(rows)
    lines = [
        (
            number(row["epoch"]),
            *(number(row.get(key)) for key in titles),
            number(row.get("seconds"), 1),
            mark if row["epoch"] == least else "",
        )
        for row in rows
    ]
    head = ("Epoch", *titles.values(), "Seconds", "")
    begin = f"{len(rows)} epochs" if best else f"Epoch {len(rows)} of at most {epochs}"
    return f"{begin}\n\n{table(head, lines, 'r' * (len(titles) + 2) + 'l')}\n"


def suite_markdown(suite: Mapping[str, Any], folder: Path, docs: Path) -> str:
    """The verdict on some data: what failed first, then everything.

    Args:
        suite: content of a validation report.
        folder: of the project, or of the run's clone.
        docs: folder of the pages of all suites, relative to that.
    """
    found = checks(suite)
    name = str(suite.get("suite"))
    passed = suite.get("passed") is True
    failed = [check for check in found if not check.passed]
    lines = [
        f"## {'✓ Passed' if passed else '✗ Failed'}: {text(name)}",
        f"{len(found) - len(failed)} of {len(found)} expectations hold for"
        f" {number(suite.get('checked'))} rows. A failed critical one stops the run, a warning"
        " does not.",
    ]
    items = []
    for check in sorted(failed, key=lambda check: not check.critical):
        kind = "✗ **Critical**" if check.critical else "! **Warning**"
        explained = f" {text(check.explanation)}" if check.explanation else ""
        items.append(
            f"- {kind}: expected that {text(check.expected)}; {text(check.found)}.{explained}"
        )
    lines += ["\n".join(items)] if items else []
    page = docs / name / "index.html"
    if "/" not in name and (folder / page).is_file():
        lines.append(f"Data Docs: {link(folder, page)}")
    rows = [
        (
            check.sign,
            text(check.expected),
            text(check.found),
            "critical" if check.critical else "warning",
        )
        for check in found
    ]
    lines.append(table(("", "Expected", "Found", "Severity"), rows, "clrl"))
    return "\n\n".join(lines) + "\n"


def sequences_markdown(report: Mapping[str, Any]) -> str:
    """Sizes of the splits and how many reviews were dropped, with the reasons."""
    unknown = report.get("unknown_share")
    shares = unknown if isinstance(unknown, dict) else {}
    splits = [
        (split, number(report.get(split)), share(shares.get(split)))
        for split in ("train", "validation", "test", "unlabelled")
    ]
    dropped = [
        (text(DROPPED.get(key, key)), number(count))
        for key, count in report.items()
        if key.startswith("dropped_")
    ]
    return (
        f"{table(('Split', 'Reviews', 'Unknown words'), splits, 'lrr')}\n\n"
        f"{table(('Dropped', 'Reviews'), dropped, 'lr')}\n"
    )


def metrics_markdown(
    metrics: Mapping[str, Any], champion: Mapping[str, Any] | None, wording: Wording
) -> str:
    """Figures of test and validation with the differences to the champion and the baseline."""
    baseline = mapping(metrics.get("baseline"))
    version = text((champion or {}).get("version", ""))
    lines = []
    for title, ours, theirs, best in (
        ("Validation, on which models are chosen", mapping(metrics.get("validation")),
         mapping(baseline.get("validation")), mapping((champion or {}).get("validation"))),
        ("Test", metrics, baseline, champion or {}),
    ):  # fmt: skip
        against_baseline, against_champion = compare(ours, theirs), compare(ours, best)
        rows = [
            (
                one.label,
                f"**{number(one.value)}**",
                f"{number(one.low)}\u2060–\u2060{number(one.high)}" if one.low is not None else "",
                number(one.other),
                _difference(one),
                *((number(other.other), _difference(other)) if champion else ()),
            )
            for one, other in zip(against_baseline, against_champion, strict=True)
        ]
        head: tuple[str, ...] = (
            "",
            "This model",
            "Interval",
            wording.baseline.capitalize(),
            "Difference",
        )
        if champion:
            head += (f"Champion {version}".strip(), "Difference")
        if rows:
            lines.append(f"### {title}: {number(ours.get('n'))} {wording.counted}")
            lines.append(table(head, rows, "lr" + "r" * (len(head) - 2)))
            lines += [text(sentence) for sentence in [paired(theirs.get("mcnemar"))] if sentence]
    lines.append(
        "▲ better, ▼ worse, ≈ the other lies within this model's interval. Of the losses and the"
        " calibration error, less is better."
    )
    if champion is None:
        lines.append("No model is published yet, so there is no champion to compare with.")
    return "\n\n".join(lines) + "\n"


def pictures_markdown(pictures: Mapping[str, bytes]) -> str:
    """The pictures themselves, each under its title."""
    parts = []
    for name, content in pictures.items():
        title, caption = CAPTIONS.get(name, (name, ""))
        parts.append(f"### {text(title)}\n\n{caption}\n\n![{text(title)}]({data_uri(content)})")
    return "\n\n".join(parts) + "\n"


def decision_markdown(decision: Mapping[str, Any]) -> str:
    """Approved or refused, and why, gate by gate."""
    approved = decision.get("verdict") == "approved"
    gates = reasons(decision)
    lines = [f"## {'✓ Approved' if approved else '✗ Refused'}: {text(decision.get('name'))}"]
    lines += _refusals(gates)
    rows = [
        ("✓" if gate.passed else "✗", text(gate.label), gate.found, gate.required) for gate in gates
    ]
    lines.append(table(("", "Gate", "Found", "Required"), rows, "clrr"))
    difference, p_value = (decision.get(f"baseline_{key}") for key in ("difference", "p_value"))
    if isinstance(difference, float):
        lines.append(
            f"On validation, less the baseline's figure: {signed(difference)}"
            + (f" (McNemar p = {small(p_value)})" if p_value is not None else "")
        )
    return "\n\n".join(lines) + "\n"


def lineage_markdown(decision: Mapping[str, Any]) -> str:
    """SHA-256 of each step, and the parameters behind them."""
    lineage = mapping(decision.get("lineage"))
    steps = mapping(lineage.get("steps"))
    rows = [("Source, however packed", text(source_of(lineage)))]
    rows += [(STEPS.get(name, text(name)), text(digest)) for name, digest in steps.items()]
    rows.append(("Model, as it is published", text(decision.get("model"))))
    params = [
        tuple(map(text, str(line).partition(" = ")[::2])) for line in lineage.get("params") or ()
    ]
    return f"{table(('Step', 'SHA-256'), rows, 'll')}\n\n{table(('Parameter', 'Value'), params, 'lr')}\n"


def summary_markdown(
    name: str,
    outcomes: Mapping[str, "Outcome"],
    dag: Mapping[str, Sequence[str]],
    folder: Path,
    problem: str = "classification",
) -> str:
    """What ran, what came of it, and how to bring it back."""
    of_state = {
        state: [s for s in dag if s in outcomes and outcomes[s].state == state] for state in _STATES
    }
    failed, unreached = of_state["Failed"], [stage for stage in dag if stage not in outcomes]
    if failed:
        title = f"✗ Failed in {', '.join(failed)}"
    elif of_state["Cancelled"]:
        title = "■ Cancelled"
    elif unreached:
        title = "Not finished"
    elif of_state["Ran"] or of_state["Cached"]:
        title = "✓ Done"
    else:
        title = "○ Nothing new"
    lines = [f"## {text(title)}"]
    if title.endswith("Nothing new"):
        lines.append("Data, parameters and code are those of the last run: no stage had to run.")
    phrases = {"Ran": "ran", "Cached": "restored from the cache", "Skipped": "unchanged"}
    groups = [(_STATES[state][0], phrases[state], of_state[state]) for state in phrases]
    groups.append((_STATES["Waiting"][0], "not reached", unreached))
    lines.append(
        "\n".join(
            f"- {sign} {phrase}: {', '.join(map(text, stages))}"
            for sign, phrase, stages in groups
            if stages
        )
    )
    for stage in failed:
        lines += [
            f"**{text(stage)}**: {text(outcomes[stage].message)}",
            _fenced(outcomes[stage].last_lines),
        ]
    if not failed and not unreached:
        lines += _results(folder, problem)
    if name:
        lines.append(
            f"Bring its parameters and results into your work tree:\n\n{_fenced([f'dvc exp apply {name}'])}"
        )
    page = places_of(problem).reports / "index.html"
    if (folder / page).is_file() and not failed and not unreached:
        lines.append(f"Report: {link(folder, page)}")
    return "\n\n".join(lines) + "\n"


def _results(folder: Path, problem: str) -> Iterator[str]:
    places, words = places_of(problem), wording_of(problem)
    if metrics := read_report(folder / places.metrics):
        for figure in compare(metrics, mapping(metrics.get("baseline")))[:1]:
            yield (
                f"**{figure.label} {number(figure.value)}** on {number(metrics.get('n'))} test {words.counted}"
                f" ({number(figure.low)} to {number(figure.high)}); {words.baseline}"
                f" {number(figure.other)}, {_difference(figure)}"
            )
    if decision := read_report(folder / places.decision):
        approved = decision.get("verdict") == "approved"
        yield f"Verdict: **{'✓ approved' if approved else '✗ refused'}**"
        yield from _refusals(reasons(decision))


def _refusals(gates: Sequence[Reason]) -> list[str]:
    """The gates that do not hold, as one list."""
    items = [f"- ✗ {text(gate.sentence)}." for gate in gates if not gate.passed]
    return ["\n".join(items)] if items else []


# --- Markdown ----------------------------------------------------------------------------


def text(value: Any) -> str:
    r"""Any value as plain text on one line of Markdown, whatever it holds; long ones are cut.

    >>> print(text("a|b <script>"))
    a\|b \<script\>
    """
    line = _UNSEEN.sub(" ", str(value)).strip()
    if len(line) > _MAX_TEXT:
        line = line[:_MAX_TEXT] + "…"
    return _SPECIAL.sub(r"\\\1", line)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """A table of cells that are Markdown already.

    Args:
        head: titles of the columns.
        rows: a cell a column.
        align: for each column l, r or c.
    """
    rules = {"l": ":---", "r": "---:", "c": ":---:"}
    lines = [head, [rules[side] for side in align], *rows]
    return "\n".join(f"| {' | '.join(cell or ' ' for cell in line)} |" for line in lines)


def link(folder: Path, path: Path) -> str:
    """A page of the project: a link where it is there and served, the file's path elsewhere.

    Data Docs are not there in a run that skipped the check: they hold times, so DVC keeps none.
    """
    file = (folder / path).resolve()
    if (base := os.environ.get(PAGES_VARIABLE)) and file.is_file():
        below = file.relative_to(folder.resolve().parent).as_posix()
        return f"[{text(path.as_posix())}](<{base.rstrip('/')}/{quote(below)}>)"
    return text(file)


def _label(value: str) -> str:
    """A text that cannot end a mermaid label: all but the plainest characters as codes."""
    line = _UNSEEN.sub(" ", value)
    return "".join(c if c.isalnum() or c in "_ .,/-" else f"#{ord(c)};" for c in line)


def _fenced(lines: Sequence[str]) -> str:
    body = "\n".join(_UNSEEN.sub(" ", line) for line in lines)
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{body}\n{fence}"


def _difference(figure: Figure) -> str:
    if figure.verdict == "unknown":
        return ""
    return f"{figure.sign}\u00a0{signed(figure.difference)}"  # kept on one line


def _state(stage: str, outcomes: Mapping[str, "Outcome"], running: Collection[str]) -> str:
    if stage in outcomes:
        return outcomes[stage].state
    return "Running" if stage in running else "Waiting"


# --- Prefect -----------------------------------------------------------------------------


_ids: dict[tuple[str, str], UUID] = {}  # of artifacts, by flow run and key: they never change


def _show(key: str, markdown: str, description: str) -> None:
    """Create the run's artifact of this key, or change it where it is there."""
    if found := _find(key):
        _update(found, data=markdown, description=description)
    else:
        create_markdown_artifact(markdown, key=key, description=description)


def _how_far(values: Mapping[str, Any], epochs: int) -> str:
    left = max(1, round(values["seconds_left"] / 60))
    return (
        f"Epoch {values['epoch']} of at most {epochs}, step {values['step']:,} of"
        f" {values['steps']:,}: loss {values['loss']:.4g}, {values['per_second']:,.0f}"
        f" {values['unit']}/s, {left:,} min left"
    )


def _show_progress(percent: float, description: str, key: str = "training-progress") -> None:
    if found := _find(key):
        _update(found, data=percent, description=description)
    else:
        create_progress_artifact(percent, key=key, description=description)


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
