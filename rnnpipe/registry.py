"""The model registry: judge a model, assemble its folder, compare two, find one.

Versions and stages are git tags as GTO writes them: ``NAME@v0.2.0`` names a version,
``NAME#prod#5`` puts the version at its commit into a stage. The tags are read here;
:mod:`rnnpipe.publishing` writes them. A model is a folder that needs nothing outside itself.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rnnpipe.errors import RegistryError
from rnnpipe.files import (
    atomic_directory,
    atomic_file,
    read_json,
    sha256_directory,
    sha256_file,
    write_json,
)
from rnnpipe.params import PARAMS_FILE, load_params
from rnnpipe.places import places_of, problem_named
from rnnpipe.selection import Selection

logger = logging.getLogger(__name__)

FETCHED = Path(".rnnpipe/models")

VALIDATION_PREDICTIONS = "validation_predictions.parquet"
MODEL_FILES = (
    "network.keras",
    "network.onnx",
    "params.json",
    "metrics.json",
    VALIDATION_PREDICTIONS,
    "README.md",
)

ALPHA = 0.05
MIN_SHARED = 500
MIN_SHARED_LOSSES = 20  # a loss tells more than right or wrong
_SHARED = {
    "accuracy": ("validation texts", MIN_SHARED),
    "loss": ("losses on validation", MIN_SHARED_LOSSES),
}

STAGES = ("dev", "staging", "prod")
ROLLBACK = "Roll back"  # how the message of a tag starts that takes an assignment back

_VERSION = re.compile(r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


# --- Judging -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Gate:
    """One condition on a model: what was found, what is required, and whether it holds.

    ``at`` says whether ``required`` is the least or the most allowed, where it is a number.
    """

    name: str
    found: float | bool
    required: float | bool
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

    source: str | None
    steps: Mapping[str, str]
    params: tuple[str, ...]


@dataclass(frozen=True)
class Decision:
    """Whether a model may be published, and why; ``registration.json`` is this, as JSON.

    ``baseline_difference`` is the figure on validation by which models are chosen less that of
    the baseline, ``baseline_p_value`` how easily chance explains it; None where no test was made.
    """

    name: str
    verdict: Literal["approved", "refused"]
    model: str
    reasons: tuple[Gate, ...]
    baseline_difference: float
    lineage: Lineage
    baseline_p_value: float | None = None


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

    Raises:
        RegistryError: a figure or a verdict is missing.
    """
    metric = selection.metric
    try:
        found = float(metrics["validation"][metric])
        theirs = metrics["baseline"]["validation"]
        baseline = float(theirs[metric])
        p_value = theirs["mcnemar"]["p_value"] if "mcnemar" in theirs else None
        verdicts = [(str(suite["suite"]), suite["passed"] is True) for suite in suites]
    except (KeyError, TypeError) as error:
        raise RegistryError(
            f"the reports lack {error}, which every judgement needs: run dvc repro -f -s evaluate"
        ) from error
    worst = getattr(rules, selection.bound)
    difference = round(found - baseline, 6)
    sign = 1 if selection.better == "higher" else -1
    at: Literal["least", "most"] = "least" if selection.better == "higher" else "most"
    gates = [Gate(f"validation_{metric}", found, worst, sign * found >= sign * worst, at)]
    gates += [Gate(f"suite_{suite}", passed, True, passed) for suite, passed in verdicts]
    if rules.require_better_than_baseline:
        # Not by its p value: a validation split is too small to show what a test split shows.
        better = sign * difference > 0
        gates.append(Gate("better_than_baseline", better, True, better))
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
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RegistryError(f"{path} is missing: run dvc repro, which judges the model") from None
    return parse_decision(text, str(path))


def parse_decision(text: str, origin: str) -> Decision:
    """Turn the text of a ``registration.json`` into a decision.

    Raises:
        RegistryError: the text is not one that the register stage wrote; names ``origin``.
    """
    try:
        values = json.loads(text)
        return Decision(
            name=values["name"],
            verdict=values["verdict"],
            model=values["model"],
            reasons=tuple(Gate(**gate) for gate in values["reasons"]),
            baseline_difference=values["baseline_difference"],
            baseline_p_value=values.get("baseline_p_value"),
            lineage=_parse_lineage(values["lineage"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            f"{origin} is no decision of the register stage ({type(error).__name__} at {error}):"
            " run dvc repro -f -s register"
        ) from error


def _parse_lineage(values: Mapping[str, Any]) -> Lineage:
    steps = values.get("steps")
    if steps is None:  # as versions before the second problem wrote it
        steps = {name: values[name] for name in ("reviews", "sequences", "network")}
    return Lineage(values["source"], steps, tuple(values["params"]))


def _plain(value: float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:.4f}".rstrip("0")


# --- The folder --------------------------------------------------------------------------


def assemble(
    target: Path,
    *,
    files: Mapping[str, Path],
    params: Mapping[str, Any],
    card: str,
    scores: Callable[[Path], None],
) -> str:
    """Build a self-contained model folder and return its SHA-256.

    Nothing in it depends on time, host, or path, so equal inputs give equal bytes.

    Args:
        target: the folder to write; an older one is replaced as a whole.
        files: what is copied into it, by the name there.
        params: what a program must know to use the model, as plain JSON values.
        card: the model card, in Markdown.
        scores: writes the file given, one row for each thing of validation that was judged, by
            which two models are compared.

    Raises:
        RegistryError: an input is missing.
    """
    for path in files.values():
        if not path.is_file():
            raise RegistryError(f"{path} is missing, and the model needs it: run dvc repro")
    with atomic_directory(target) as folder:
        for name, path in files.items():
            shutil.copyfile(path, folder / name)
        write_json(folder / "params.json", dict(params))
        scores(folder / VALIDATION_PREDICTIONS)
        with atomic_file(folder / "README.md") as written:
            written.write_text(card, encoding="utf-8")
    return sha256_directory(target)


def check_model(path: Path, needed: Sequence[str] = MODEL_FILES) -> None:
    """Make sure that a folder is a whole model, or has the files that are needed of it.

    Raises:
        RegistryError: it is no folder, or files are missing; every one of them is named.
    """
    if not path.is_dir():
        raise RegistryError(f"{path} is no model folder: it is not there, or not a folder")
    missing = [name for name in needed if not (path / name).is_file()]
    if missing:
        raise RegistryError(
            f"{path} is no whole model: {', '.join(missing)} missing;"
            " run dvc repro, or take the model from the registry"
        )


def card(
    name: str,
    summary: str,
    baseline: str,
    figures: Sequence[str],
    metrics: Mapping[str, Any],
    lineage: Lineage,
    *,
    use: str,
    limits: Sequence[str],
    loading: str,
) -> str:
    """Write a model card, in Markdown: figures with intervals, data, use, limits, loading.

    Args:
        name: of the model.
        summary: what it is, in a sentence or two.
        baseline: what stands beside it.
        figures: keys of ``metrics.json`` to show, ``n`` behind them.
        metrics: content of ``metrics.json``.
        lineage: what the model came from.
        use: what it is meant for.
        limits: what it cannot do, a sentence each.
        loading: how it is used, in Markdown.
    """
    theirs = metrics.get("baseline", {})
    columns = (metrics, theirs, metrics.get("validation", {}), theirs.get("validation", {}))
    rows = [
        f"| {key} | {' | '.join(_figure(column, key) for column in columns)} |"
        for key in (*figures, "n")
    ]
    data = {"content digest of the source": lineage.source or "none: a table without a card"}
    data |= lineage.steps
    return "\n".join(
        [
            f"# Model card: {name}",
            "",
            summary + " `params.json` says how it was built and trained.",
            "",
            "## Figures",
            "",
            f"With intervals in brackets, beside the baseline: {baseline}.",
            "",
            "| | test | baseline, test | validation | baseline, validation |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
            f"{_paired(theirs)}The validation split chose the model; test was opened once, after"
            " that.",
            "",
            "## Data",
            "",
            "| | SHA-256 |",
            "| --- | --- |",
            *(f"| {step} | {digest} |" for step, digest in data.items()),
            "",
            "## Intended use",
            "",
            use,
            "",
            "## Limits",
            "",
            *(f"- {limit}" for limit in limits),
            "",
            "## Loading",
            "",
            loading,
            "Loading runs no code from these files. `network.keras` is the same network for going"
            " on with it in Keras.",
            "",
        ]
    )


def _paired(baseline: Mapping[str, Any]) -> str:
    """A paragraph on the paired tests against the baseline; nothing where there are none."""
    sentences = [
        f"On {split} this network alone is right about {test['model_only_correct']} texts, the baseline"
        f" alone about {test['baseline_only_correct']} (McNemar's exact test, two-sided:"
        f" p = {test['p_value']:.2g})."
        for split, of_split in (("test", baseline), ("validation", baseline.get("validation", {})))
        if (test := of_split.get("mcnemar"))
    ]
    return "\n".join(sentences) + "\n\n" if sentences else ""


def _figure(figures: Mapping[str, Any], key: str) -> str:
    value, low, high = (figures.get(name) for name in (key, f"{key}_low", f"{key}_high"))
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:.4f}" + (f" ({low:.4f} to {high:.4f})" if low is not None else "")


def write_predictions(target: Path, predictions: Path, reviews: Path) -> None:
    """Write the validation predictions with the hash of each text, but not the text itself.

    Args:
        target: the file to write.
        predictions: table of validation predictions with id, label, probability.
        reviews: table of all reviews with id, text.

    Raises:
        RegistryError: a table is missing, or a prediction belongs to no review.
    """
    for path in (predictions, reviews):
        if not path.is_file():
            raise RegistryError(f"{path} is missing, and the model needs it: run dvc repro")
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(predictions, columns=["id", "label", "probability"])
    table = table.sort_by("id")
    ids = table["id"].to_pylist()
    # The columns are cast, so that the bytes do not depend on who wrote the predictions.
    written = pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "text_sha256": text_hashes(table["id"], reviews),
            "label": table["label"].combine_chunks().cast(pa.int8()),
            "probability": table["probability"].combine_chunks().cast(pa.float64()),
        }
    )
    with atomic_file(target) as partial:
        pq.write_table(written, partial, compression="zstd")


def text_hashes(ids: Any, reviews: Path) -> Any:
    """Give the SHA-256 of each review's text: a text is known again by it, and not shown.

    Args:
        ids: Arrow array of reviews' ids.
        reviews: table of all reviews with id, text.

    Returns:
        An Arrow array of strings, in the order of ``ids``.

    Raises:
        RegistryError: an id belongs to no review.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    texts = pq.read_table(reviews, columns=["id", "text"], filters=pc.field("id").isin(ids))
    hashes = {
        key: hashlib.sha256(text.encode()).hexdigest()
        for key, text in zip(texts["id"].to_pylist(), texts["text"].to_pylist(), strict=True)
    }
    wanted = ids.to_pylist()
    foreign = [key for key in wanted if key not in hashes]
    if foreign:
        raise RegistryError(
            f"{len(foreign)} validation predictions belong to no review in {reviews}, the first"
            f" being {foreign[0][:100]!r}: run dvc repro, which brings both to one state"
        )
    return pa.array([hashes[key] for key in wanted], pa.string())


# --- Comparing ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """A challenger against a champion on the validation data that both were judged on.

    Figures are accuracies where answers are right or wrong, else mean losses;
    ``challenger_only`` counts what the challenger alone did right, or better, ``champion_only`` the
    reverse; ``p_value`` is None when too little is shared to say anything.
    """

    shared: int
    measure: Literal["accuracy", "loss"]
    challenger: float
    champion: float
    challenger_only: int
    champion_only: int
    p_value: float | None

    @property
    def verdict(self) -> Literal["better", "not better", "not comparable"]:
        """``better`` when chance explains the difference with less than 5 %."""
        if self.p_value is None:
            return "not comparable"
        return "better" if self.p_value < ALPHA else "not better"

    def __str__(self) -> str:
        what, least = _SHARED[self.measure]
        if self.p_value is None:
            return f"not comparable: {self.shared} shared {what}, required {least}"
        test = {"accuracy": "McNemar", "loss": "paired t-test"}[self.measure]
        return (
            f"{self.verdict}: {self.measure} {self.challenger:.4f} against"
            f" {self.champion:.4f} on {self.shared} shared {what},"
            f" {test} p = {self.p_value:.4g}, required below {ALPHA}"
        )


def compare(champion: Path, challenger: Path) -> Comparison:
    """Compare two model folders on what stands in both validation sets.

    A text is known by its hash and label, so models of different sources can meet; a window, or a
    text that is modelled, by its ``id`` and the hash of what was to be told.

    Raises:
        RegistryError: one of the folders has no predictions, or they are of two kinds.
    """
    import pandas as pd

    def scores(path: Path) -> "pd.DataFrame":
        check_model(path, [VALIDATION_PREDICTIONS])  # all else may differ by rnnpipe's version
        return pd.read_parquet(path / VALIDATION_PREDICTIONS)

    both = {"champion": scores(champion), "challenger": scores(challenger)}
    kinds = {"loss" in table for table in both.values()}
    if len(kinds) > 1:
        raise RegistryError(
            f"{champion} and {challenger} hold figures of two kinds: they are models of two problems"
        )
    return _compare_losses(both) if kinds.pop() else _compare_answers(both)


def _compare_answers(scores: Mapping[str, Any]) -> Comparison:
    import pandas as pd

    from rnnpipe.evaluation import THRESHOLD, mcnemar

    def right(table: Any) -> "pd.Series[Any]":
        """Whether each text was labelled rightly, by (hash, label); the first of equal texts."""
        table = table.drop_duplicates(["text_sha256", "label"])
        found = (table["probability"] > THRESHOLD) == (table["label"] == 1)
        index = pd.MultiIndex.from_frame(table[["text_sha256", "label"]])
        return pd.Series(found.to_numpy(), index)

    both = pd.concat({name: right(table) for name, table in scores.items()}, axis=1)
    both = both.dropna().astype(bool)
    shared = len(both)
    challenger_only = int((both["challenger"] & ~both["champion"]).sum())
    champion_only = int((both["champion"] & ~both["challenger"]).sum())
    return Comparison(
        shared=shared,
        measure="accuracy",
        challenger=float(both["challenger"].mean()) if shared else 0.0,
        champion=float(both["champion"].mean()) if shared else 0.0,
        challenger_only=challenger_only,
        champion_only=champion_only,
        # One-sided: a champion is replaced by what is better, not by what only differs.
        p_value=mcnemar(challenger_only, champion_only, "greater")
        if shared >= MIN_SHARED
        else None,
    )


def _compare_losses(scores: Mapping[str, Any]) -> Comparison:
    import pandas as pd
    from scipy import stats

    both = pd.concat(
        {name: table.set_index(["id", "truth_sha256"])["loss"] for name, table in scores.items()},
        axis=1,
    ).dropna()
    shared = len(both)
    gain = both["champion"] - both["challenger"]
    p_value = None
    if shared >= MIN_SHARED_LOSSES:
        # Of equals the test knows nothing: they are not better.
        test = stats.ttest_rel(both["champion"], both["challenger"], alternative="greater")
        p_value = float(test.pvalue) if gain.std() > 0 else float(not gain.mean() > 0)
    return Comparison(
        shared=shared,
        measure="loss",
        challenger=float(both["challenger"].mean()) if shared else 0.0,
        champion=float(both["champion"].mean()) if shared else 0.0,
        challenger_only=int((gain > 0).sum()),
        champion_only=int((gain < 0).sum()),
        p_value=p_value,
    )


# --- Finding -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Version:
    """One registered version: its commit, the stages it is in now, and what stands there."""

    name: str
    version: str
    commit: str
    stages: tuple[str, ...]
    decision: Decision
    metrics: Mapping[str, Any]

    @property
    def summary(self) -> str:
        """One line for a person: version, stages, and the figure on test beside the baseline's."""
        judged = (gate.name.partition("_") for gate in self.decision.reasons)
        figures = (
            f"{key} {_figure(self.metrics, key)},"
            f" baseline {_figure(self.metrics.get('baseline', {}), key)}"
            for split, _, key in judged
            if split == "validation"
        )
        return f"{self}: {'; '.join(figures)}"

    def __str__(self) -> str:
        return self.version + (f" ({', '.join(self.stages)})" if self.stages else "")


@dataclass(frozen=True)
class Tag:
    """One event in the registry, as its git tag tells it; ``time`` in seconds since 1970."""

    tag: str
    commit: str
    time: int
    message: str
    version: str | None
    stage: str | None
    counter: int
    cancelled: bool


def is_version(model: str) -> bool:
    """Tell whether a name is that of a version, which never changes: ``v0.2.0``."""
    return _VERSION.fullmatch(model) is not None


def find(
    model: str | None,
    root: Path = Path(),
    name: str | None = None,
    needed: Sequence[str] = MODEL_FILES,
) -> Path:
    """Find a model folder by path, version (``v0.2.0``) or stage (``prod``).

    Without ``model`` it is the work tree's model, else the version in stage ``prod``. A version
    is fetched from the DVC cache or remote into ``.rnnpipe/models/HASH`` and checked by hash.

    Args:
        model: path, version or stage; a folder named like one of the last two needs ``./``.
        root: the project's folder.
        name: the model's name; None: the problem in ``params.yaml``.
        needed: files without which a folder is no model.

    Raises:
        RegistryError: there is no such model; known versions are listed.
    """
    root = Path(root)
    if model is not None and not _VERSION.fullmatch(model) and model not in known_stages(root):
        check_model(Path(model), needed)
        if name:
            _require_problem(Path(model), name)
        return Path(model)
    name = name or places_of(load_params(root / PARAMS_FILE).problem).model_name
    here = places_of(name).model
    if model is None and (root / here).is_dir():
        check_model(root / here, needed)
        return root / here
    wanted = model or STAGES[-1]
    known = versions(root, name)
    for version in known:
        if wanted == version.version or wanted in version.stages:
            return fetch(root, version)
    listed = ", ".join(map(str, known))
    asked = f"no version of {name} is {wanted}" if model else f"{here} is not here"
    raise RegistryError(
        f"{asked}; known versions: {listed or 'none'}."
        " Run dvc repro to train a model, or git fetch --tags to learn of others'"
    )


def _require_problem(folder: Path, name: str) -> None:
    """Refuse another problem's model; one that names none is left to who reads it."""
    try:
        found = read_json(folder / "params.json")["problem"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if problem_named(found) != problem_named(name):
        raise RegistryError(f"{folder} is a model of {found}, expected one of {name}")


def fetch(root: Path, version: Version) -> Path:
    """Bring a version's folder into ``.rnnpipe/models/HASH`` and return that path.

    Raises:
        RegistryError: neither the DVC cache nor the DVC remote has it, or its bytes differ.
    """
    expected = version.decision.model
    target = root / FETCHED / expected
    if target.is_dir() and sha256_directory(target) == expected:
        return target
    with atomic_directory(target) as folder:
        folder.rmdir()  # dvc get would put the model inside an existing folder
        source = places_of(version.name).model.as_posix()
        dvc(root, "get", ".", source, "--rev", version.commit, "--out", str(folder.resolve()))
        found = sha256_directory(folder)
        if found != expected:
            raise RegistryError(
                f"{version.name} {version.version} has SHA-256 {found}, but its registration says"
                f" {expected}: the DVC cache or remote holds other bytes; run dvc fetch --all-tags"
            )
    logger.info("fetched %s %s", version.name, version.version)
    return target


def versions(root: Path, name: str) -> tuple[Version, ...]:
    """List the registered versions of a model, lowest number first.

    Raises:
        RegistryError: this is no git repository, or a version's commit holds no decision.
    """
    tags, places = read_tags(root, name), places_of(name)
    stages = {stage: history[-1] for stage, history in histories(tags).items() if history}
    return tuple(
        Version(
            name=name,
            version=version,
            commit=commit,
            stages=tuple(sorted(stage for stage, held in stages.items() if held == version)),
            decision=parse_decision(
                git(root, "show", f"{commit}:{places.decision.as_posix()}"),
                f"{places.decision} at {name}@{version}",
            ),
            metrics=json.loads(git(root, "show", f"{commit}:{places.metrics.as_posix()}")),
        )
        for version, commit in registered(tags).items()
    )


def read_tags(root: Path, name: str) -> tuple[Tag, ...]:
    """Read the registry's git tags of one model, oldest first.

    Two tags within one second are told apart by their counter, which GTO itself cannot.
    """
    pattern = re.compile(
        rf"{re.escape(name)}(?:@(?P<version>{_VERSION.pattern})|#(?P<stage>[A-Za-z0-9/_-]+))"
        r"(?P<cancelled>!?)(?:#(?P<counter>\d+))?"
    )
    listed = git(
        root,
        "for-each-ref",
        "--format=%(refname:strip=2)%00%(*objectname)%00%(taggerdate:unix)%00%(contents:subject)",
        f"refs/tags/{name}@*",
        f"refs/tags/{name}#*",
    )
    tags = []
    for line in listed.splitlines():
        tag, commit, time, message = line.split("\0")
        match = pattern.fullmatch(tag)
        if match and commit:  # a lightweight tag is none of GTO's
            tags.append(
                Tag(
                    tag=tag,
                    commit=commit,
                    time=int(time),
                    message=message,
                    version=match["version"],
                    stage=match["stage"],
                    counter=int(match["counter"] or 0),
                    cancelled=bool(match["cancelled"]),
                )
            )
    return tuple(sorted(tags, key=lambda tag: (tag.time, tag.counter)))


def registered(tags: Sequence[Tag]) -> dict[str, str]:
    """Commit of each version that is registered and not deregistered, by ascending number."""
    commits: dict[str, str] = {}
    for tag in tags:
        if tag.version and tag.cancelled:
            commits.pop(tag.version, None)
        elif tag.version:
            commits[tag.version] = tag.commit
    return dict(sorted(commits.items(), key=lambda item: version_number(item[0])))


def histories(tags: Sequence[Tag]) -> dict[str, list[str]]:
    """Versions of each stage, the one it holds now last, the ones to go back to before it.

    A rollback takes the last one off, so that a second rollback goes back one further.
    """
    at_commit = {commit: version for version, commit in registered(tags).items()}
    stages: dict[str, list[str]] = {}
    for tag in tags:
        version = at_commit.get(tag.commit)
        if tag.stage is None or version is None:
            continue
        history = stages.setdefault(tag.stage, [])
        if tag.cancelled:
            history[:] = [other for other in history if other != version]
        elif tag.message.startswith(ROLLBACK) and version in history[:-1]:
            while history[-1] != version:
                history.pop()
        elif history[-1:] != [version]:
            history.append(version)
    return stages


def version_number(version: str) -> tuple[int, ...]:
    """Turn ``v0.10.0`` into (0, 10, 0), so that it sorts after ``v0.9.0``.

    >>> version_number("v0.10.0")
    (0, 10, 0)
    """
    return tuple(int(part) for part in version.removeprefix("v").split("."))


def known_stages(root: Path) -> tuple[str, ...]:
    """Stages that the file ``.gto`` allows; dev, staging and prod where there is none."""
    import yaml

    try:
        settings = yaml.safe_load((root / ".gto").read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return STAGES
    return tuple(settings.get("stages") or STAGES)


# --- git and DVC as child processes ------------------------------------------------------


def git(root: Path, *arguments: str) -> str:
    """Run git in the project and return what it prints.

    Raises:
        RegistryError: git is not installed or fails; ends with git's own words.
    """
    return _run(root, f"git {arguments[0]}", ["git", *arguments])


def dvc(root: Path, *arguments: str) -> str:
    """Run this environment's DVC in the project and return what it prints.

    Raises:
        RegistryError: DVC fails; ends with DVC's own words.
    """
    return _run(root, f"dvc {arguments[0]}", [sys.executable, "-m", "dvc", *arguments])


def _run(root: Path, title: str, command: Sequence[str]) -> str:
    # Nobody may be asked anything: publishing also runs at night.
    environment = {
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
        **os.environ,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_EDITOR": "true",
        "DVC_NO_ANALYTICS": "1",
        "LC_ALL": "C.UTF-8",
    }
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise RegistryError(f"{error.filename} is not here, and the registry needs it") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-1000:]
        raise RegistryError(f"`{title}` ended with code {done.returncode}: {said}")
    return done.stdout
