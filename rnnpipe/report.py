"""The story of a run on one page: verdict, figures, pictures, data, parameters, lineage.

The page needs no server, no network and no script, and depends on the reports alone: the same
reports give the same bytes.
"""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jinja2
import yaml

from rnnpipe.errors import RnnpipeError
from rnnpipe.files import read_json
from rnnpipe.places import Places
from rnnpipe.selection import Wording

TEMPLATE = Path(__file__).with_name("report.html")

ABSENT = "–"
MAX_PICTURE_BYTES = 200_000  # eleven of these would make a page that no mail takes

# Name, and whether more of it is better.
FIGURES = {
    "accuracy": ("Accuracy", True),
    "precision": ("Precision", True),
    "recall": ("Recall", True),
    "f1": ("F1", True),
    "auc_roc": ("AUC", True),
    "loss": ("Log loss", False),
    "calibration_error": ("Calibration error", False),
    "perplexity": ("Perplexity", False),
    "bits_per_character": ("Bits a character", False),
    "mse": ("MSE, shortest horizon", False),
    "mae": ("MAE, shortest horizon", False),
}
_BY_HORIZON = {"mse": "MSE", "mae": "MAE"}  # followed by how many steps ahead, as in mse_96

GATES = {
    "validation_accuracy": "Accuracy on validation",
    "suite_reviews": "Expectations on the reviews",
    "suite_sequences": "Expectations on the sequences",
    "validation_mse": "MSE on validation, shortest horizon",
    "validation_perplexity": "Perplexity on validation",
    "suite_series": "Expectations on the series",
    "better_than_baseline": "Better than the baseline on validation",
}

WARNINGS = {
    "has_words": "Nothing can be learnt from such a review.",
    "no_replacement_characters": "The file was decoded wrongly before it came here; the words"
    " around such a place are lost.",
    "no_control_characters": "Most of them are Windows punctuation that was decoded as Latin-1;"
    " they part words as a space does.",
    "no_duplicates_across_splits": "The sequences stage drops these from train, so that no test"
    " review was seen in training.",
    "no_film_in_train_and_test": "The test split comes with the source and is kept as it is; a"
    " model that knows a film by name may do a little better on these.",
    "few_unknown_words_in_train": "The vocabulary is small for these texts: raise"
    " sequences.vocabulary_size.",
    "few_unknown_words_in_validation": "Validation uses other words than train: its figures will"
    " be lower.",
    "few_unknown_words_in_test": "Test uses other words than train: its figures will be lower.",
}

DROPPED = {
    "dropped_train_in_test": "from train: the same text stands in test",
    "dropped_train_contradicting": "from train: one text with both labels",
    "dropped_train_repeated": "from train: the text stands there already",
    "dropped_unlabelled_in_test": "from unlabelled: the same text stands in test",
    "dropped_unlabelled_in_validation": "from unlabelled: its text or film is in validation",
    "dropped_unlabelled_in_train": "from unlabelled: the same text stands in train",
    "dropped_unlabelled_repeated": "from unlabelled: the text stands there already",
}

CAPTIONS = {
    "training": ("Training", "Where validation turns up while training falls, overfitting begins."),
    "confusion": ("Confusion matrix", "Rows are the truth; the shares of a row make 100 %."),
    "roc": ("ROC", "The further into the upper left corner, the better."),
    "precision_recall": ("Precision and recall", "What either costs when the other is raised."),
    "calibration": ("Calibration", "On the dotted line a probability means what it says."),
    "accuracy_by_length": ("Accuracy by length", "Whether long reviews are harder than short."),
    "forecasts": ("Forecasts", "Beside the truth, in the columns' own units."),
    "error_by_step": ("Error by step ahead", "How it grows the farther a forecast looks."),
    "gradient_flow": (
        "Gradient flow",
        "How much each hidden state moves the loss. A line that falls to the left: the words far"
        " from the end teach the network nothing.",
    ),
}

STEPS = {
    "reviews": "Table of reviews",
    "series": "Table of the series",
    "windows": "Series, divided and scaled",
    "word_vectors": "Word vectors",
    "pretrained": "Language model to start from",
    "sequences": "Sequences and vocabulary",
    "network": "Trained network",
}


@dataclass(frozen=True)
class Story:
    """What the page tells; a report that is not there is None and told as missing.

    Attributes:
        dag: stages, each with those it depends on, in topological order.
        metrics: content of ``metrics.json``.
        suites: contents of the validation reports, by path.
        sequences: content of ``sequences.json``; None where a problem has none.
        history: content of the network's ``history.json``.
        decision: the verdict on the model.
        pictures: PNG files by name without suffix.
    """

    dag: Mapping[str, tuple[str, ...]]
    metrics: Mapping[str, Any] | None = None
    suites: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    sequences: Mapping[str, Any] | None = None
    history: Mapping[str, Any] | None = None
    decision: Mapping[str, Any] | None = None
    pictures: Mapping[str, bytes] = field(default_factory=dict)


def read_story(folder: Path, places: Places, suites: Sequence[Path]) -> Story:
    """Read what the stages of a problem's pipeline have written.

    Args:
        folder: of the project.
        places: the problem's.
        suites: the validation reports that its verdict depends on.

    Raises:
        RnnpipeError: ``dvc.yaml`` is missing, or one of the reports is no JSON mapping.
    """
    return Story(
        dag=read_dag(folder / places.pipeline / "dvc.yaml"),
        metrics=read_report(folder / places.metrics),
        suites={path.as_posix(): read_report(folder / path) for path in suites},
        sequences=read_report(folder / places.reports / "sequences.json"),
        history=read_report(folder / places.network / "history.json"),
        decision=read_report(folder / places.decision),
        pictures={
            name: content
            for kind in ("plots", "gradient_flow")
            for name, content in read_pictures(folder / places.reports / kind).items()
        },
    )


def read_report(path: Path) -> Mapping[str, Any] | None:
    """Read one report; None when it is not there.

    Raises:
        RnnpipeError: it is no JSON mapping.
    """
    try:
        content = read_json(path)
    except FileNotFoundError:
        return None
    except (ValueError, UnicodeDecodeError) as error:
        raise RnnpipeError(f"{path} is no JSON ({error}): run the stage that writes it") from None
    if not isinstance(content, dict):
        found = type(content).__name__
        raise RnnpipeError(f"{path}: found {found}, expected a mapping: run its stage again")
    return content


def read_pictures(folder: Path) -> dict[str, bytes]:
    """Read every PNG picture of a folder: those the page has a caption for first."""
    known = list(CAPTIONS)
    paths = sorted(
        folder.glob("*.png"),
        key=lambda path: (known.index(path.stem) if path.stem in known else len(known), path.stem),
    )
    return {path.stem: path.read_bytes() for path in paths}


def read_dag(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the stages of a ``dvc.yaml`` and which of them each depends on, in topological order.

    A stage depends on another when one of its deps is an output of it, lies in one, or holds one.

    Raises:
        RnnpipeError: the file is missing or names no stages, or they depend on one another in a
            circle.
    """
    try:
        stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
        outputs = {
            name: [
                _path(entry) for kind in ("outs", "metrics", "plots") for entry in _of(stage, kind)
            ]
            for name, stage in stages.items()
        }
        needs = {
            name: {
                other
                for dep in map(_path, _of(stage, "deps"))
                for other, made in outputs.items()
                if any(dep == out or dep in out.parents or out in dep.parents for out in made)
            }
            for name, stage in stages.items()
        }
    except FileNotFoundError:
        raise RnnpipeError(f"{path} is not here: run this in the project's folder") from None
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise RnnpipeError(f"{path} names no stages: found {type(error).__name__}") from error
    ordered: dict[str, tuple[str, ...]] = {}
    while len(ordered) < len(needs):
        ready = [name for name in needs if name not in ordered and needs[name] <= set(ordered)]
        if not ready:
            circle = ", ".join(sorted(set(needs) - set(ordered)))
            raise RnnpipeError(f"{path}: {circle} depend on one another in a circle")
        # One at a time, so that the order stays as near as can be to that of the file.
        ordered[ready[0]] = tuple(name for name in ordered if name in needs[ready[0]])
    return ordered


def _of(stage: Mapping[str, Any], kind: str) -> Sequence[Any]:
    return stage.get(kind) or ()


def _path(entry: Any) -> Path:
    """An entry of dvc.yaml is a path, or a mapping of one path to its options."""
    return Path(next(iter(entry)) if isinstance(entry, dict) else entry)


def direct(dag: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Leave out the edges that follow from others: what a person wants drawn.

    >>> direct({"a": (), "b": ("a",), "c": ("a", "b")})
    {'a': (), 'b': ('a',), 'c': ('b',)}
    """
    above: dict[str, set[str]] = {}
    for name, needs in dag.items():
        above[name] = set(needs).union(*(above[other] for other in needs))
    return {
        name: tuple(
            one for one in needs if not any(one in above[other] for other in needs if other != one)
        )
        for name, needs in dag.items()
    }


# --- Figures and words ---------------------------------------------------------------------


def number(value: Any, digits: int = 4) -> str:
    """A number as people read it; a dash for what is none.

    >>> number(0.90264), number(25000), number(True), number(None)
    ('0.9026', '25,000', 'yes', '–')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.{digits}f}"
    return ABSENT


def signed(value: float | None) -> str:
    """A difference with its sign.

    >>> signed(0.0192), signed(-0.00004), signed(None)
    ('+0.0192', '0.0000', '–')
    """
    if value is None:
        return ABSENT
    text = f"{abs(value):.4f}"
    sign = "" if float(text) == 0 else "+" if value > 0 else "−"
    return sign + text


def share(value: Any) -> str:
    """A share in percent, fine enough for small ones.

    >>> share(0.03156), share(0.00025)
    ('3.16 %', '0.025 %')
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ABSENT
    return f"{100 * value:.2f} %" if value == 0 or abs(value) >= 0.001 else f"{100 * value:.3f} %"


@dataclass(frozen=True)
class Figure:
    """One figure beside another's.

    Attributes:
        key: its name in the report.
        label: its name for people.
        value: ours.
        low: lower end of our interval.
        high: upper end of our interval.
        other: theirs.
        other_low: lower end of their interval.
        other_high: upper end of their interval.
        verdict: whether ours is better or worse; ``even`` where theirs lies within our interval,
            ``unknown`` where there is nothing to compare.
        more_is_better: or less.
    """

    key: str
    label: str
    value: float | None
    low: float | None
    high: float | None
    other: float | None
    other_low: float | None
    other_high: float | None
    verdict: Literal["better", "worse", "even", "unknown"]
    more_is_better: bool = True

    @property
    def difference(self) -> float | None:
        """Ours less theirs."""
        return None if self.value is None or self.other is None else self.value - self.other

    @property
    def sign(self) -> str:
        """The verdict without colour."""
        return {"better": "▲", "worse": "▼", "even": "≈", "unknown": ""}[self.verdict]


def compare(ours: Mapping[str, Any], theirs: Mapping[str, Any] | None) -> tuple[Figure, ...]:
    """Set the figures of one report beside those of another, in the standing order.

    Args:
        ours: ``accuracy``, ``accuracy_low``, ``accuracy_high`` and so on.
        theirs: the same of the other; None where there is no other.
    """
    known = [key for key in FIGURES if key in ours]
    known += [key for key in ours if key not in FIGURES and _meaning(key)]
    return tuple(_figure(key, ours, theirs or {}) for key in known if _real(ours[key]) is not None)


def _meaning(key: str) -> tuple[str, bool] | None:
    """A figure's name for people, and whether more of it is better; None: it is none to compare."""
    kind, _, horizon = key.partition("_")
    if kind in _BY_HORIZON and horizon.isdigit():
        return f"{_BY_HORIZON[kind]}, {horizon} steps ahead", False
    return FIGURES.get(key)


def _figure(key: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Figure:
    label, more_is_better = _meaning(key) or (_words(key), True)
    value, low, high = (_real(ours.get(name)) for name in (key, f"{key}_low", f"{key}_high"))
    other = _real(theirs.get(key))
    verdict: Literal["better", "worse", "even", "unknown"] = "unknown"
    if value is not None and other is not None:
        if value == other or (low is not None and high is not None and low <= other <= high):
            verdict = "even"
        else:
            verdict = "better" if (value > other) == more_is_better else "worse"
    return Figure(
        key, label, value, low, high,
        other, _real(theirs.get(f"{key}_low")), _real(theirs.get(f"{key}_high")),
        verdict, more_is_better,
    )  # fmt: skip


def _real(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def paired(test: Any) -> str:
    """The paired test against the baseline as a sentence; nothing where there is none.

    >>> paired({"model_only_correct": 812, "baseline_only_correct": 1040, "p_value": 1.3e-07})
    'The network alone is right about 812 reviews, the baseline alone about 1,040: McNemar p = 1.3e-07.'
    """
    counts = [mapping(test).get(name) for name in ("model_only_correct", "baseline_only_correct")]
    if not all(isinstance(count, int) for count in counts):
        return ""
    return (
        f"The network alone is right about {number(counts[0])} reviews, the baseline alone about"
        f" {number(counts[1])}: McNemar p = {small(mapping(test).get('p_value'))}."
    )


def small(value: Any) -> str:
    """A p value with two digits, however small; a dash for what is none.

    >>> small(0.0071), small(1.3e-07), small(None)
    ('0.0071', '1.3e-07', '–')
    """
    return ABSENT if (known := _real(value)) is None else f"{known:.2g}"


@dataclass(frozen=True)
class Reason:
    """One gate, in words: what it looks at, what was found, what is required."""

    label: str
    found: str
    required: str
    passed: bool

    @property
    def sentence(self) -> str:
        """The gate as a sentence."""
        holds = "holds" if self.passed else "does not hold"
        return f"{self.label}: found {self.found}, required {self.required}; {holds}"


def reasons(decision: Mapping[str, Any]) -> tuple[Reason, ...]:
    """The gates of a decision, gate by gate."""
    return tuple(
        Reason(
            GATES.get(str(gate.get("name")), _words(gate.get("name"))),
            number(gate.get("found")),
            _required(gate.get("required"), gate.get("at")),
            gate.get("passed") is True,
        )
        for gate in _mappings(decision.get("reasons"))
    )


def _required(value: Any, at: Any) -> str:
    bound = "at most" if at == "most" else "at least"
    return number(value) if isinstance(value, bool) else f"{bound} {number(value)}"


@dataclass(frozen=True)
class Check:
    """One expectation, in words; ``explanation`` only where it failed as a warning."""

    name: str
    expected: str
    found: str
    critical: bool
    passed: bool
    explanation: str

    @property
    def sign(self) -> str:
        """Passed, a warning, or failed, without colour."""
        return "✓" if self.passed else "✗" if self.critical else "!"


def checks(suite: Mapping[str, Any]) -> tuple[Check, ...]:
    """The expectations of a validation report; ids and texts of reviews are left out."""
    return tuple(_check(outcome) for outcome in _mappings(suite.get("expectations")))


def _check(outcome: Mapping[str, Any]) -> Check:
    name = str(outcome.get("name"))
    critical, passed = outcome.get("severity") != "warning", outcome.get("passed") is True
    observed, count = outcome.get("observed"), outcome.get("unexpected_count")
    if outcome.get("tried") is False:
        found = "not tried, for want of a column"
    elif isinstance(count, int):
        found = f"{count:,} break it ({share(observed)})" if count else "none breaks it"
    elif isinstance(observed, list):
        found = "missing: " + ", ".join(map(str, observed)) if observed else "none missing"
    elif observed is None:
        found = "as expected" if passed else "not as expected"
    else:
        found = str(observed) if isinstance(observed, str) else number(observed)
    explanation = "" if passed or critical else WARNINGS.get(name, "A warning stops nothing.")
    return Check(name, str(outcome.get("expected")), found, critical, passed, explanation)


def _words(name: Any) -> str:
    return str(name).replace("_", " ").capitalize()


def mapping(value: Any) -> Mapping[str, Any]:
    """The value, should it be a mapping; an empty one otherwise."""
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """The mappings in a list, should it be one."""
    return (item for item in (value if isinstance(value, list) else ()) if isinstance(item, dict))


# --- The page ------------------------------------------------------------------------------


def build_page(
    story: Story,
    *,
    confidence: float,
    meanings: Mapping[str, str],
    wording: Wording,
    places: Places,
    others: Mapping[str, str] | None = None,
) -> str:
    """Lay a story out as one HTML page that loads nothing.

    Args:
        story: what the stages have written.
        confidence: coverage of the intervals in the figures.
        meanings: what each parameter means, by its dotted name.
        wording: how the problem's reports speak.
        places: the problem's.
        others: where the pages of other problems lie, seen from this one, by name.
    """
    metrics, decision = story.metrics or {}, story.decision or {}
    lineage = decision.get("lineage")
    epochs = list(_mappings((story.history or {}).get("epochs")))
    return _template().render(
        story=story,
        name=_words(decision.get("name", "model")),
        verdict=decision.get("verdict") if decision.get("verdict") == "approved" else "refused",
        confidence=f"{100 * confidence:g} %",
        reasons=reasons(decision),
        comparisons=list(_comparisons(metrics)),
        without_shared=_part(metrics, "without_shared"),
        pictures=list(_pictures(story.pictures)),
        epochs=epochs,
        columns=columns(epochs),
        wording=wording,
        places=places,
        others={_words(name): path for name, path in (others or {}).items()},
        suites=list(_suites(story.suites)),
        dropped=list(_dropped(story.sequences or {})),
        parameters=list(_parameters(lineage, meanings)),
        lineage=list(_lineage(lineage, decision.get("model"))),
        diagram=draw(story.dag),
        absent=ABSENT,
    )


def columns(epochs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Title of each figure that epochs have, by its name: of training, then of validation.

    >>> list(columns([{"epoch": 1, "loss": 1.0, "validation_loss": 2.0, "accuracy": 0.5}]))
    ['loss', 'validation_loss', 'accuracy']
    """
    aside = ("epoch", "seconds", "learning_rate", "gradient_norm", "loss", "validation_loss")
    names = [
        "loss",
        "validation_loss",
        *(name for name in (epochs or [{}])[0] if name not in aside),
    ]
    return {name: _words(name) for name in names}


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": number,
        "signed": signed,
        "share": share,
        "mapping": mapping,
    }
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _part(metrics: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    found = metrics
    for name in names:
        found = mapping(found.get(name))
    return found


def _comparisons(metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, ours, theirs in (
        ("Test", metrics, _part(metrics, "baseline")),
        ("Validation", _part(metrics, "validation"), _part(metrics, "baseline", "validation")),
    ):
        if figures := compare(ours, theirs):
            rows = list(zip(figures, _bars(figures), strict=True))
            test = paired(theirs.get("mcnemar"))
            yield {"name": name, "n": ours.get("n"), "figures": rows, "paired": test}


def _bars(figures: Sequence[Figure]) -> Iterator[dict[str, float] | None]:
    """Where both intervals lie on a scale of their own, in percent of its width."""
    for figure in figures:
        ours, theirs = (
            (figure.low, figure.value, figure.high),
            (
                figure.other_low,
                figure.other,
                figure.other_high,
            ),
        )
        known = [bound for bound in (*ours, *theirs) if bound is not None]
        if len(known) < 6:
            yield None
            continue
        start, width = min(known), max(max(known) - min(known), 1e-9)
        places = [round(5 + 90 * (bound - start) / width, 2) for bound in known]
        yield dict(
            zip(("low", "value", "high", "other_low", "other", "other_high"), places, strict=True)
        )


def _pictures(pictures: Mapping[str, bytes]) -> Iterator[dict[str, str | bool]]:
    for name, content in pictures.items():
        title, caption = CAPTIONS.get(name, (_words(name), ""))
        small = len(content) <= MAX_PICTURE_BYTES
        yield {
            "title": title,
            "caption": caption,
            "wide": name in ("training", "gradient_flow"),
            "address": data_uri(content) if small else "",
        }


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """A file as an address that holds the file itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _suites(suites: Mapping[str, Mapping[str, Any] | None]) -> Iterator[dict[str, Any]]:
    for path, suite in suites.items():
        if suite is None:
            yield {"path": path, "missing": True}
            continue
        found = checks(suite)
        yield {
            "path": path,
            "missing": False,
            "name": _words(suite.get("suite")),
            "passed": suite.get("passed") is True,
            "checked": suite.get("checked"),
            "checks": found,
            "held": sum(check.passed for check in found),
            "failures": [check for check in found if check.critical and not check.passed],
            "warnings": [check for check in found if not check.critical and not check.passed],
        }


def _dropped(sequences: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, count in sequences.items():
        if key.startswith("dropped_"):
            yield DROPPED.get(key, _words(key)), count


def _parameters(lineage: Any, meanings: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Name, value and meaning of each parameter that shaped the model."""
    lines = mapping(lineage).get("params")
    for line in lines if isinstance(lines, list) else ():
        name, _, value = str(line).partition(" = ")
        yield name, value, meanings.get(name, "")


def _lineage(lineage: Any, model: Any) -> Iterator[tuple[str, str]]:
    if isinstance(lineage, dict):
        yield "Source, however packed", source_of(lineage)
        for name, digest in mapping(lineage.get("steps")).items():
            yield STEPS.get(name, _words(name)), str(digest)
        yield "Model, as it is published", str(model)


def source_of(lineage: Mapping[str, Any]) -> str:
    """The digest of a lineage's source, or that there is none."""
    return str(lineage.get("source") or "a table of your own: no published digest")


# --- The diagram ---------------------------------------------------------------------------

_BOX, _GAP = (168.0, 34.0), (20.0, 26.0)


@dataclass(frozen=True)
class Diagram:
    """A drawn graph: size, boxes with the middle of each, and edges as SVG paths."""

    width: float
    height: float
    box: tuple[float, float]
    nodes: tuple[tuple[str, float, float], ...]
    edges: tuple[str, ...]


def draw(dag: Mapping[str, Sequence[str]]) -> Diagram:
    """Lay a graph out from top to bottom, one row for each step of its longest chain.

    An edge that passes rows takes a place in each of them, so that no line crosses a box
    (Sugiyama, Tagawa and Toda 1981, https://doi.org/10.1109/TSMC.1981.4308636).

    Args:
        dag: stages, each with those it depends on, in topological order.
    """
    edges = direct(dag)
    row: dict[str, int] = {}
    for name, needs in edges.items():
        row[name] = 1 + max((row[other] for other in needs), default=-1)
    rows: list[list[Any]] = [[] for _ in range(1 + max(row.values(), default=-1))]
    chains: list[list[Any]] = []
    for name in edges:
        rows[row[name]].append(name)
    for name, needs in edges.items():
        for other in needs:
            between = [(other, name, level) for level in range(row[other] + 1, row[name])]
            for place in between:
                rows[place[2]].append(place)
            chains.append([other, *between, name])
    step = (_BOX[0] + _GAP[0], _BOX[1] + _GAP[1])
    width = max(map(len, rows), default=1) * step[0]
    middle: dict[Any, tuple[float, float]] = {}
    for level, places in enumerate(rows):
        for number_, place in enumerate(places):
            x = width / 2 + (number_ - (len(places) - 1) / 2) * step[0]
            middle[place] = (x, level * step[1] + step[1] / 2)
    return Diagram(
        width,
        len(rows) * step[1],
        _BOX,
        tuple((name, *middle[name]) for name in edges),
        tuple(_line([middle[place] for place in chain]) for chain in chains),
    )


def _line(points: Sequence[tuple[float, float]]) -> str:
    """A smooth line from the foot of the first box to the head of the last."""
    half = _BOX[1] / 2
    x, y = points[0]
    path = f"M{x:g} {y + half:g}"
    for number_, (right, down) in enumerate(points[1:], start=2):
        head = down - half - (4 if number_ == len(points) else 0)
        bend = (y + half + head) / 2
        path += f"C{x:g} {bend:g} {right:g} {bend:g} {right:g} {head:g}"
        if number_ < len(points):
            path += f"V{down + half:g}"
        x, y = right, down
    return path
