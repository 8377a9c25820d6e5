"""Versions and stages, read from the tags that GTO writes."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnpipe.registry.card import figure_with_interval
from rnnpipe.registry.decision import Decision, parse_decision
from rnnpipe.registry.git import git
from rnnpipe.storage.paths import paths_of

logger = logging.getLogger(__name__)

FETCHED = Path(".rnnpipe/models")

STAGES = ("dev", "staging", "prod")
ROLLBACK = "Roll back"  # how the message of a tag starts that takes an assignment back

VERSION = re.compile(r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


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
            f"{key} {figure_with_interval(self.metrics, key)},"
            f" baseline {figure_with_interval(self.metrics.get('baseline', {}), key)}"
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
    return VERSION.fullmatch(model) is not None


def versions(root: Path, name: str) -> tuple[Version, ...]:
    """List the registered versions of a model, lowest number first.

    Raises:
        RegistryError: this is no git repository, or a version's commit holds no decision.
    """
    tags, paths = read_tags(root, name), paths_of(name)
    stages = {stage: history[-1] for stage, history in histories(tags).items() if history}
    return tuple(
        Version(
            name=name,
            version=version,
            commit=commit,
            stages=tuple(sorted(stage for stage, held in stages.items() if held == version)),
            decision=parse_decision(
                git(root, "show", f"{commit}:{paths.decision.as_posix()}"),
                f"{paths.decision} at {name}@{version}",
            ),
            metrics=json.loads(git(root, "show", f"{commit}:{paths.metrics.as_posix()}")),
        )
        for version, commit in registered(tags).items()
    )


def read_tags(root: Path, name: str) -> tuple[Tag, ...]:
    """Read the registry's git tags of one model, oldest first.

    Two tags within one second are told apart by their counter, which GTO itself cannot.
    """
    pattern = re.compile(
        rf"{re.escape(name)}(?:@(?P<version>{VERSION.pattern})|#(?P<stage>[A-Za-z0-9/_-]+))"
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
