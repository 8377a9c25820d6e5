"""The story of a run on one page: verdict, figures, pictures, data, parameters, lineage.

The page needs no server, no network and no script, and depends on the reports alone: the same
reports give the same bytes.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from rnnpipe.errors import printable
from rnnpipe.reporting.diagram import draw
from rnnpipe.reporting.figures import (
    ABSENT,
    Figure,
    checks,
    compare,
    in_words,
    number,
    paired,
    reasons,
    share,
    signed,
)
from rnnpipe.reporting.story import MAX_PICTURE_BYTES, Story, mapping, mappings
from rnnpipe.reporting.wording import Wording
from rnnpipe.storage.paths import ProblemPaths

BY_CLASS = ("precision", "recall", "f1")
TEMPLATE = Path(__file__).with_name("report.html")


def build_page(
    story: Story,
    *,
    confidence: float,
    meanings: Mapping[str, str],
    wording: Wording,
    paths: ProblemPaths,
    others: Mapping[str, str] | None = None,
) -> str:
    """Lay a story out as one HTML page that loads nothing.

    Args:
        story: what the stages have written.
        confidence: coverage of the intervals in the figures.
        meanings: what each parameter means, by its dotted name.
        wording: how the problem's reports speak.
        paths: the problem's.
        others: where the pages of other problems lie, seen from this one, by name.
    """
    metrics, decision = story.metrics or {}, story.decision or {}
    lineage = decision.get("lineage")
    epochs = list(mappings((story.history or {}).get("epochs")))
    return _template().render(
        story=story,
        name=in_words(decision.get("name", "model")),
        verdict=decision.get("verdict") if decision.get("verdict") == "approved" else "refused",
        confidence=f"{100 * confidence:g} %",
        reasons=reasons(decision, wording),
        comparisons=list(_comparisons(metrics, wording)),
        classes=list(_classes(metrics)),
        without_shared=_part(metrics, "without_shared"),
        sentences=_part(metrics, "validation", "sentences"),
        pictures=list(_pictures(story.pictures, wording)),
        epochs=epochs,
        columns=columns(epochs),
        wording=wording,
        paths=paths,
        others={in_words(name): path for name, path in (others or {}).items()},
        suites=list(_suites(story.suites, wording)),
        dropped=list(_dropped(story.sequences or {}, wording)),
        parameters=list(_parameters(lineage, meanings)),
        lineage=list(_lineage(lineage, decision.get("model"), wording)),
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
    return {name: in_words(name) for name in names}


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


def _comparisons(metrics: Mapping[str, Any], wording: Wording) -> Iterator[dict[str, Any]]:
    for name, ours, theirs in (
        ("Test", metrics, _part(metrics, "baseline")),
        ("Validation", _part(metrics, "validation"), _part(metrics, "baseline", "validation")),
    ):
        if figures := compare(ours, theirs, wording):
            rows = list(zip(figures, _bars(figures), strict=True))
            test = paired(theirs.get("mcnemar"))
            yield {"name": name, "n": ours.get("n"), "figures": rows, "paired": test}


def _classes(metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The figures of each class beside the baseline's, where there are more than two."""
    theirs = _part(metrics, "baseline", "classes")
    for label, (name, figures) in enumerate(_part(metrics, "classes").items()):
        ours, other = mapping(figures), mapping(theirs.get(name))
        yield {
            "number": label,
            "name": printable(name),
            "n": ours.get("n"),
            "figures": [
                {
                    "value": ours.get(key),
                    "low": ours.get(f"{key}_low"),
                    "high": ours.get(f"{key}_high"),
                    "other": other.get(key),
                }
                for key in BY_CLASS
            ],
        }


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
        paths = [round(5 + 90 * (bound - start) / width, 2) for bound in known]
        yield dict(
            zip(("low", "value", "high", "other_low", "other", "other_high"), paths, strict=True)
        )


def _pictures(pictures: Mapping[str, bytes], wording: Wording) -> Iterator[dict[str, str | bool]]:
    for name, content in pictures.items():
        title, caption = wording.pictures.get(name, (in_words(name), ""))
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


def _suites(
    suites: Mapping[str, Mapping[str, Any] | None], wording: Wording
) -> Iterator[dict[str, Any]]:
    for path, suite in suites.items():
        if suite is None:
            yield {"path": path, "missing": True}
            continue
        found = checks(suite, wording)
        yield {
            "path": path,
            "missing": False,
            "name": in_words(suite.get("suite")),
            "passed": suite.get("passed") is True,
            "checked": suite.get("checked"),
            "checks": found,
            "held": sum(check.passed for check in found),
            "failures": [check for check in found if check.critical and not check.passed],
            "warnings": [check for check in found if not check.critical and not check.passed],
        }


def _dropped(sequences: Mapping[str, Any], wording: Wording) -> Iterator[tuple[str, Any]]:
    for key, count in sequences.items():
        if key.startswith("dropped_"):
            yield wording.dropped.get(key, in_words(key)), count


def _parameters(lineage: Any, meanings: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Name, value and meaning of each parameter that shaped the model."""
    lines = mapping(lineage).get("params")
    for line in lines if isinstance(lines, list) else ():
        name, _, value = str(line).partition(" = ")
        yield name, value, meanings.get(name, "")


def _lineage(lineage: Any, model: Any, wording: Wording) -> Iterator[tuple[str, str]]:
    if isinstance(lineage, dict):
        yield "Source, however packed", source_of(lineage)
        for name, digest in mapping(lineage.get("steps")).items():
            yield wording.step(name) or in_words(name), str(digest)
        yield "Model, as it is published", str(model)


def source_of(lineage: Mapping[str, Any]) -> str:
    """The digest of a lineage's source, or that there is none."""
    return str(lineage.get("source") or "a table of your own: no published digest")
