"""What the stages of a run reported, read back; what is missing is told as missing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnpipe.errors import RnnpipeError
from rnnpipe.reporting.dag import read_dag
from rnnpipe.reporting.wording import Wording
from rnnpipe.storage.files import read_json
from rnnpipe.storage.paths import ProblemPaths

MAX_PICTURE_BYTES = 200_000  # eleven of these would make a page that no mail takes


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


def read_story(
    folder: Path, paths: ProblemPaths, suites: Sequence[Path], wording: Wording
) -> Story:
    """Read what the stages of a problem's pipeline have written.

    Args:
        folder: of the project.
        paths: the problem's.
        suites: the validation reports that its verdict depends on.
        wording: how its reports speak.

    Raises:
        RnnpipeError: ``dvc.yaml`` is missing, or one of the reports is no JSON mapping.
    """
    metrics = read_report(folder / paths.metrics)
    return Story(
        dag=read_dag(folder / paths.pipeline / "dvc.yaml"),
        metrics=metrics,
        suites={path.as_posix(): read_report(folder / path) for path in suites},
        sequences=read_report(folder / paths.reports / "sequences.json"),
        history=read_report(folder / paths.network / "history.json"),
        decision=read_report(folder / paths.decision),
        pictures={
            name: content
            for kind in ("plots", "gradient_flow")
            for name, content in read_pictures(
                folder / paths.reports / kind, wording, metrics
            ).items()
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


def read_pictures(
    folder: Path, wording: Wording, metrics: Mapping[str, Any] | None = None
) -> dict[str, bytes]:
    """Read every PNG picture of a folder: those the page has a caption for first.

    Args:
        folder: where they lie.
        wording: how the problem's reports speak.
        metrics: by which one of them may go before all others.
    """
    known = list(wording.pictures)
    if first := wording.first_picture(metrics or {}):
        known.insert(0, first)
    paths = sorted(
        folder.glob("*.png"),
        key=lambda path: (known.index(path.stem) if path.stem in known else len(known), path.stem),
    )
    return {path.stem: path.read_bytes() for path in paths}


def mapping(value: Any) -> Mapping[str, Any]:
    """The value, should it be a mapping; an empty one otherwise."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """The mappings in a list, should it be one."""
    return (item for item in (value if isinstance(value, list) else ()) if isinstance(item, dict))
