"""The model registry: judge a model, assemble its folder, compare two, find one.

Versions and stages are git tags as GTO writes them: ``NAME@v0.2.0`` names a version,
``NAME#prod#5`` puts the version at its commit into a stage. The tags are read here;
:mod:`rnnpipe.registry.publishing` writes them. A model is a folder that needs nothing outside itself.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from rnnpipe.config.document import MOST_BYTES, Name, Sha256, parse_document
from rnnpipe.errors import RegistryError
from rnnpipe.registry.selection import Selection
from rnnpipe.storage.files import sha256_directory, sha256_file

_CHANCE = 0.05  # what a p value exceeds where chance explains a difference
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Short = Annotated[str, Field(max_length=10_000)]


@dataclass(frozen=True)
class Gate:
    """One condition on a model: what was found, what is required, and whether it holds.

    ``at`` says whether ``required`` is the least or the most allowed, where it is a number.
    """

    name: Annotated[str, Field(max_length=200)]
    found: bool | _Number
    required: bool | _Number
    passed: bool
    at: Literal["least", "most"] = "least"

    def __str__(self) -> str:
        return f"{self.name}: found {_plain(self.found)}, required {_plain(self.required)}"


@dataclass(frozen=True)
class Lineage:
    """What a model came from: SHA-256 of each step's result, and the parameters behind them.

    ``source`` is the content digest of the source's card, None for a table of one's own; ``steps``
    are the results by name, ``reviews``, ``sequences``, ``network``.
    ``params`` are lines, ``train.cell = "lstm"``: DVC, which would show every key of a mapping
    among the metrics, leaves them out.
    """

    source: Sha256 | None
    steps: Annotated[Mapping[Name, Sha256], Field(max_length=100)]
    params: Annotated[tuple[_Short, ...], Field(max_length=10_000)]


@dataclass(frozen=True)
class Decision:
    """Whether a model may be published, and why; ``registration.json`` is this, as JSON.

    ``baseline_difference`` is the figure on validation by which models are chosen less that of
    the baseline, ``baseline_p_value`` how easily chance explains it; None where no test was made.
    """

    name: Name
    verdict: Literal["approved", "refused"]
    model: Sha256
    reasons: Annotated[tuple[Gate, ...], Field(max_length=1000)]
    baseline_difference: _Number
    lineage: Lineage
    baseline_p_value: _Number | None = None


def trace(steps: Mapping[str, Path], params: Mapping[str, Any]) -> Lineage:
    """Hash what a model came from.

    Args:
        steps: file or folder of each result, by name; the first is a parquet table, which may
            hold the digest of its source.
        params: the sections of the parameters that shape the model, as plain JSON values.

    Raises:
        RegistryError: one of them is missing.
    """
    for path in steps.values():
        if not path.exists():
            raise RegistryError(f"{path} is missing, and every model names it: run dvc repro")
    return Lineage(
        source=_content_digest(next(iter(steps.values()))),
        steps={
            name: sha256_directory(path) if path.is_dir() else sha256_file(path)
            for name, path in steps.items()
        },
        params=tuple(_lines(params)),
    )


def _content_digest(table: Path) -> str | None:
    """The digest of the source that ``prepare`` notes in its table."""
    import pyarrow.parquet as pq

    digest = (pq.read_metadata(table).metadata or {}).get(b"content_digest")
    return digest.decode() if digest else None


def _lines(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} = {json.dumps(value)}"


def decide(
    name: str,
    rules: Any,
    selection: Selection,
    *,
    model: str,
    metrics: Mapping[str, Any],
    suites: Sequence[Mapping[str, Any]],
    lineage: Lineage,
    further: Callable[[Mapping[str, Any]], Sequence[Gate]] = lambda metrics: (),
) -> Decision:
    """Judge a model by its figures on the validation split and by the verdicts on its data.

    Args:
        name: the model's name in the registry.
        rules: what a model must show, the section ``register``.
        selection: the figure that decides, and which way.
        model: SHA-256 of the model folder.
        metrics: content of ``metrics.json``.
        suites: contents of the validation reports.
        lineage: what the model came from.
        further: the problem's own gates, from the metrics.

    Raises:
        RegistryError: a figure or a verdict is missing.
    """
    metric = selection.metric
    try:
        found = float(metrics["validation"][metric])
        theirs = metrics["baseline"]["validation"]
        baseline = float(theirs[metric])
        p_value = (theirs.get("mcnemar") or theirs).get("p_value")
        own = list(further(metrics))
        verdicts = [(str(suite["suite"]), suite["passed"] is True) for suite in suites]
    except (KeyError, TypeError) as error:
        raise RegistryError(
            f"the reports lack {error}, which every judgement needs: run dvc repro -f -s evaluate"
        ) from error
    worst = getattr(rules, selection.bound)
    difference = round(found - baseline, 6)
    sign = 1 if selection.better == "higher" else -1
    at: Literal["least", "most"] = "least" if selection.better == "higher" else "most"
    gates = own
    if worst is not None:  # else the problem's own gates say how much is enough
        passed = sign * found >= sign * worst
        gates.insert(0, Gate(f"validation_{metric}", found, worst, passed, at))
    gates += [Gate(f"suite_{suite}", passed, True, passed) for suite, passed in verdicts]
    if rules.require_better_than_baseline:
        # On the few rows that a small table has to judge by, the better of two equals often looks
        # the worse one; refused is what chance does not explain.
        level = not difference or (
            sign * difference < 0 and p_value is not None and p_value > _CHANCE
        )
        passed = level or sign * difference > 0
        gates.append(
            Gate(f"{'level_with' if level else 'better_than'}_baseline", passed, True, passed)
        )
    return Decision(
        name=name,
        verdict="approved" if all(gate.passed for gate in gates) else "refused",
        model=model,
        reasons=tuple(gates),
        baseline_difference=difference,
        baseline_p_value=p_value,
        lineage=lineage,
    )


def read_decision(path: Path) -> Decision:
    """Read a ``registration.json``.

    Raises:
        RegistryError: the file is missing or not one that the register stage wrote.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise RegistryError(f"{path} is missing: run dvc repro, which judges the model") from None
    except OSError as error:
        raise RegistryError(f"{path} cannot be read ({error.strerror}): run dvc repro") from None
    return parse_decision(text, str(path))


def parse_decision(text: str | bytes, origin: str) -> Decision:
    """Turn the text of a ``registration.json`` into a decision.

    Raises:
        RegistryError: the text is not one that the register stage wrote; names ``origin``.
    """
    what, advice = f"{origin} is no decision of the register stage", "run dvc repro -f -s register"
    values = parse_document(dict[str, Any], text, what, advice)
    lineage = values.get("lineage")
    if isinstance(lineage, dict) and "steps" not in lineage:  # as before the second problem
        steps = {name: lineage.get(name) for name in ("reviews", "sequences", "network")}
        values["lineage"] = lineage | {"steps": steps}
    return parse_document(Decision, json.dumps(values), what, advice)


def _plain(value: float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:.4f}".rstrip("0")
