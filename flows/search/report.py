"""What a search came to: a table for people, one for programs, and pictures."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from tabulate import tabulate

from flows.artifacts import documents, markdown
from flows.search.space import Space
from flows.search.study import best, better, importance
from rnnpipe.reporting.figures import number, signed
from rnnpipe.reporting.story import read_pictures
from rnnpipe.reporting.wording import Wording
from rnnpipe.storage.files import atomic_directory, atomic_file, read_json, write_json
from rnnpipe.storage.spreadsheet import plain_cell

REPORTS = Path("reports/search")
_SHOWN = 30  # trials on the page; the files have all


@dataclass(frozen=True)
class Summary:
    """How a search stands.

    Attributes:
        name: of the search.
        commit: that all its trials were made from.
        space: what was searched, and how.
        seconds: that it has taken so far.
        default: value, figures and experiment of the project's own parameters.
        best: number of the best trial; None as long as none has ended.
        better: whether it is better than the default.
        importance: each parameter's share in the differences between trials.
        trials: all that have ended, in their order: number, state, value, epochs, seconds,
            experiment, parameters, figures.
    """

    name: str
    commit: str
    space: Mapping[str, Any]
    seconds: float
    default: Mapping[str, Any]
    best: int | None
    better: bool
    importance: Mapping[str, float]
    trials: Sequence[Mapping[str, Any]]

    @property
    def figure(self) -> str:
        """The figure that decides."""
        return str(self.space["minimize"] or self.space["maximize"])

    @property
    def sentence(self) -> str:
        """What came out, in a line."""
        states = [trial["state"] for trial in self.trials]
        parts = [
            f"{states.count(state)} {word}"
            for state, word in (
                ("COMPLETE", "trained to the end"),
                ("PRUNED", "stopped early"),
                ("FAIL", "failed"),
            )
            if state in states
        ]
        begin = f"{len(states)} trials ({', '.join(parts)})" if parts else "no trial yet"
        value = number(self.default["value"])
        if self.best is None:
            return f"{begin}; the default has {self.figure} {value}"
        (found,) = (trial for trial in self.trials if trial["number"] == self.best)
        verdict = (
            f"better than the default's {value}: python -m flows.search apply {self.name}"
            if self.better
            else f"not better than the default's {value}"
        )
        return f"{begin}; best {found['experiment']}, {self.figure} {number(found['value'])}, {verdict}"

    @property
    def ranked(self) -> list[Mapping[str, Any]]:
        """The trials that went to their end, the best first, and then the others."""
        sign = 1 if self.space["minimize"] else -1

        def place(trial: Mapping[str, Any]) -> tuple[int, float]:
            order = ["COMPLETE", "PRUNED", "FAIL"]
            value = trial["value"]
            return order.index(trial["state"]), math.inf if value is None else sign * value

        return sorted(self.trials, key=place)

    @property
    def rows(self) -> tuple[list[str], list[list[str]]]:
        """Head and rows of a table: the default, then the trials, the best first."""
        keys = list(self.space["space"])
        head = ["Trial", self.figure, "against the default", "epochs", "seconds", *keys]
        default = self.default
        rows = [
            [
                "default",
                number(default["value"]),
                "",
                str(default["epochs"]),
                number(default["seconds"], 0),
                *("" for _ in keys),
            ]
        ]
        for trial in self.ranked:
            value = trial["value"]
            difference = None if value is None else value - default["value"]
            label = {"PRUNED": " (stopped)", "FAIL": " (failed)"}.get(trial["state"], "")
            rows.append(
                [
                    f"{trial['number']}{label}",
                    number(value),
                    signed(difference),
                    str(trial["epochs"]),
                    number(trial["seconds"], 0),
                    *(_value(trial["parameters"].get(key)) for key in keys),
                ]
            )
        return head, rows

    @property
    def table(self) -> str:
        """The same as plain text in columns."""
        head, rows = self.rows
        short = [title.rpartition(".")[2] for title in head]
        shown = tabulate(rows, short, "plain", disable_numparse=True, stralign="right")
        return str(shown)


def summarize(study: optuna.Study, space: Space) -> Summary:
    """Read how a search stands from its study."""
    default = study.user_attrs["default"]
    found = best(study)
    return Summary(
        name=study.study_name,
        commit=study.user_attrs["commit"],
        space=space.identity,
        seconds=study.user_attrs.get("seconds", 0.0),
        default=default,
        best=None if found is None else found.number,
        better=found is not None
        and found.value is not None
        and better(study, found.value, default["value"]),
        importance=importance(study),
        trials=[_row(t) for t in study.get_trials(deepcopy=False) if t.state.is_finished()],
    )


def read_summary(folder: Path) -> Summary:
    """Read what :func:`write_report` wrote."""
    return Summary(**read_json(folder / "search.json"))


def write_report(study: optuna.Study, summary: Summary, folder: Path) -> None:
    """Write ``search.json``, ``trials.csv`` and, once they have something to show, pictures.

    Args:
        study: of the search.
        summary: how it stands.
        folder: of its report; replaced as a whole.
    """
    with atomic_directory(folder) as partial:
        write_json(partial / "search.json", asdict(summary))
        _write_csv(summary, partial / "trials.csv")
        if any(trial["state"] == "COMPLETE" for trial in summary.trials):
            # Only here: a worker's, a server's, or a command line's process draws nothing.
            from flows.search.pictures import pictures

            default = summary.default["value"]
            for name, figure in pictures(study, summary.figure, default, list(summary.importance)):
                figure.savefig(partial / f"{name}.png")


def page(summary: Summary, folder: Path) -> str:
    """Return the search as Markdown: sentence, pictures, table."""
    head, rows = summary.rows
    shown = markdown.table(
        [markdown.text(title) for title in head],
        [[markdown.text(cell) for cell in row] for row in rows[: _SHOWN + 1]],
        "r" * len(head),
    )
    more = len(rows) - _SHOWN - 1
    failed = [trial for trial in summary.trials if trial["state"] == "FAIL"]
    parts = [f"## {markdown.text(summary.sentence)}", shown]
    if more > 0:
        parts.append(f"{more} more: {markdown.text(folder / 'trials.csv')}")
    if failed:
        reasons = (
            f"- Trial {t['number']}: {markdown.text(t['reason'] or 'cut off')}" for t in failed
        )
        parts.append("\n".join(["Failed:\n", *reasons]))
    words = Wording("trials", "default", "the committed parameters")
    if pictures := read_pictures(folder, words):
        parts.append(documents.pictures_markdown(pictures, words))
    return "\n\n".join(parts) + "\n"


def _row(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    seconds = trial.duration.total_seconds() if trial.duration else None
    return {
        "number": trial.number,
        "state": trial.state.name,
        "value": trial.value,
        "epochs": trial.user_attrs.get("epochs", len(trial.intermediate_values)),
        "seconds": trial.user_attrs.get("seconds", seconds and round(seconds, 1)),
        "experiment": trial.user_attrs.get("experiment"),
        "reason": trial.user_attrs.get("reason"),
        "parameters": dict(trial.params),
        "figures": trial.user_attrs.get("figures", {}),
    }


def _write_csv(summary: Summary, path: Path) -> None:
    keys = list(summary.space["space"])
    figures = list(summary.default["figures"])
    columns = ["number", "state", "value", "epochs", "seconds", "experiment", "reason"]
    with atomic_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*columns, *keys, *figures])
        for trial in summary.trials:
            row = [
                *(trial[column] for column in columns),
                *(trial["parameters"].get(key) for key in keys),
                *(trial["figures"].get(name) for name in figures),
            ]
            writer.writerow(plain_cell(cell) if isinstance(cell, str) else cell for cell in row)


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
