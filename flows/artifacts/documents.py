"""What a stage reported, as Markdown: a pure function of the report."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnpipe.errors import printable
from rnnpipe.problems import problem_by
from rnnpipe.reporting.dag import direct
from rnnpipe.reporting.figures import (
    Figure,
    Reason,
    checks,
    compare,
    number,
    paired,
    reasons,
    share,
    signed,
    small,
)
from rnnpipe.reporting.page import columns, data_uri, source_of
from rnnpipe.reporting.story import mapping, read_report
from rnnpipe.reporting.wording import Wording
from rnnpipe.storage.paths import paths_of

if TYPE_CHECKING:
    from flows.stage import Outcome

from flows.artifacts.markdown import fenced, label, link, table, text

# State to its sign, so that no meaning hangs on colour, and to the fill and line of its box.
STATES = {
    "Ran": ("✓", "#d9f2e0", "#17803d"),
    "Cached": ("↺", "#dbeafb", "#1f6fb4"),
    "Skipped": ("○", "#eceff2", "#8a949e"),
    "Failed": ("✗", "#fbdcdc", "#c62828"),
    "Cancelled": ("■", "#f6e7cf", "#9a6200"),
    "Running": ("▶", "#fff3c4", "#b08900"),
    "Waiting": ("·", "#ffffff", "#c3cad1"),
}


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
                STATES[state][0],
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
        below = f"{STATES[state][0]} {state}"
        if outcome:
            below += f", {number(outcome.seconds, 1)} s"
        lines.append(f'  {name}["{label(stage)}<br/>{below}"]:::{state.lower()}')
    for stage, needs in direct(dag).items():
        lines += [f"  {names[other]} --> {names[stage]}" for other in needs]
    for state, (_, fill, stroke) in STATES.items():
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


def suite_markdown(suite: Mapping[str, Any], folder: Path, docs: Path, wording: Wording) -> str:
    """The verdict on some data: what failed first, then everything.

    Args:
        suite: content of a validation report.
        folder: of the project, or of the run's clone.
        docs: folder of the pages of all suites, relative to that.
        wording: how the problem's reports speak.
    """
    found = checks(suite, wording)
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


def sequences_markdown(report: Mapping[str, Any], wording: Wording) -> str:
    """Sizes of the splits and how many reviews were dropped, with the reasons."""
    unknown = report.get("unknown_share")
    shares = unknown if isinstance(unknown, dict) else {}
    splits = [
        (split, number(report.get(split)), share(shares.get(split)))
        for split in ("train", "validation", "test", "unlabelled")
    ]
    dropped = [
        (text(wording.dropped.get(key, key)), number(count))
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
        against_baseline, against_champion = (
            compare(ours, others, wording) for others in (theirs, best)
        )
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
    if by_class := mapping(metrics.get("classes")):
        lines.append(f"### Test, each of {len(by_class)} classes")
        keys = ("n", "precision", "recall", "f1")
        found = [
            (text(printable(name)), *(number(mapping(figures).get(key)) for key in keys))
            for name, figures in by_class.items()
        ]
        lines.append(table(("", "Number", "Precision", "Recall", "F1"), found, "lrrrr"))
    lines.append(
        "▲ better, ▼ worse, ≈ the other lies within this model's interval. Of the losses and the"
        " calibration error, less is better."
    )
    if champion is None:
        lines.append("No model is published yet, so there is no champion to compare with.")
    return "\n\n".join(lines) + "\n"


def pictures_markdown(pictures: Mapping[str, bytes], wording: Wording) -> str:
    """The pictures themselves, each under its title."""
    parts = []
    for name, content in pictures.items():
        title, caption = wording.pictures.get(name, (name, ""))
        parts.append(f"### {text(title)}\n\n{caption}\n\n![{text(title)}]({data_uri(content)})")
    return "\n\n".join(parts) + "\n"


def decision_markdown(decision: Mapping[str, Any], wording: Wording) -> str:
    """Approved or refused, and why, gate by gate."""
    approved = decision.get("verdict") == "approved"
    gates = reasons(decision, wording)
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


def lineage_markdown(decision: Mapping[str, Any], wording: Wording) -> str:
    """SHA-256 of each step, and the parameters behind them."""
    lineage = mapping(decision.get("lineage"))
    steps = mapping(lineage.get("steps"))
    rows = [("Source, however packed", text(source_of(lineage)))]
    rows += [(wording.step(name) or text(name), text(digest)) for name, digest in steps.items()]
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
        state: [s for s in dag if s in outcomes and outcomes[s].state == state] for state in STATES
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
    groups = [(STATES[state][0], phrases[state], of_state[state]) for state in phrases]
    groups.append((STATES["Waiting"][0], "not reached", unreached))
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
            fenced(outcomes[stage].last_lines),
        ]
    if not failed and not unreached:
        lines += _results(folder, problem)
    if name:
        lines.append(
            f"Bring its parameters and results into your work tree:\n\n{fenced([f'dvc exp apply {name}'])}"
        )
    page = paths_of(problem).reports / "index.html"
    if (folder / page).is_file() and not failed and not unreached:
        lines.append(f"Report: {link(folder, page)}")
    return "\n\n".join(lines) + "\n"


def _results(folder: Path, problem: str) -> Iterator[str]:
    paths, words = paths_of(problem), problem_by(problem).wording()
    if metrics := read_report(folder / paths.metrics):
        for figure in compare(metrics, mapping(metrics.get("baseline")), words)[:1]:
            yield (
                f"**{figure.label} {number(figure.value)}** on {number(metrics.get('n'))} test {words.counted}"
                f" ({number(figure.low)} to {number(figure.high)}); {words.baseline}"
                f" {number(figure.other)}, {_difference(figure)}"
            )
    if decision := read_report(folder / paths.decision):
        approved = decision.get("verdict") == "approved"
        yield f"Verdict: **{'✓ approved' if approved else '✗ refused'}**"
        yield from _refusals(reasons(decision, words))


def _refusals(gates: Sequence[Reason]) -> list[str]:
    """The gates that do not hold, as one list."""
    items = [
        f"- ✗ {text(gate.sentence)}."
        + (f" What to try: {text(gate.advice)}" if gate.advice else "")
        for gate in gates
        if not gate.passed
    ]
    return ["\n".join(items)] if items else []


def _difference(figure: Figure) -> str:
    if figure.verdict == "unknown":
        return ""
    return f"{figure.sign}\u00a0{signed(figure.difference)}"  # kept on one line


def _state(stage: str, outcomes: Mapping[str, "Outcome"], running: Collection[str]) -> str:
    if stage in outcomes:
        return outcomes[stage].state
    return "Running" if stage in running else "Waiting"
