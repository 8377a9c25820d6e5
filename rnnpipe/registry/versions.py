"""Versions and stages, read from the tags that GTO writes."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from rnnpipe.config.document import MOST_BYTES, parse_document
from rnnpipe.errors import RegistryError, quoted
from rnnpipe.registry.card import figure_with_interval
from rnnpipe.registry.decision import Decision, parse_decision
from rnnpipe.registry.git import git
from rnnpipe.storage.paths import paths_of

logger = logging.getLogger(__name__)

FETCHED = Path(".rnnpipe/models")

STAGES = ("dev", "staging", "prod")
ROLLBACK = "Roll back"  # how the message of a tag starts that takes an assignment back

# Numbers that fit: a tag may come from anybody who can push.
VERSION = re.compile(r"v(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")


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
    tags = read_tags(root, name)
    stages = {stage: history[-1] for stage, history in histories(tags).items() if history}
    return tuple(
        Version(
            name=name,
            version=version,
            commit=commit,
            stages=tuple(sorted(stage for stage, held in stages.items() if held == version)),
            decision=_decision_at(root, name, version, commit),
            metrics=parse_document(
                dict[str, Any],
                show(root, commit, (path := paths_of(name).metrics).as_posix()),
                f"{path} at {name}@{version} holds no metrics",
                f"whoever published it has to do so again; until then, git tag -d {name}@{version}",
            ),
        )
        for version, commit in registered(tags).items()
    )


def _decision_at(root: Path, name: str, version: str, commit: str) -> Decision:
    path = paths_of(name).decision.as_posix()
    origin = f"{path} at {name}@{version}"
    decision = parse_decision(show(root, commit, path), origin)
    if decision.name != name:
        raise RegistryError(
            f"{origin} judges {quoted(decision.name)}, expected {name}: the tag names a commit that"
            f" never registered this model; remove it with git tag -d {name}@{version}"
        )
    return decision


def show(root: Path, commit: str, path: str) -> str:
    """Return a small file as it stands in a commit.

    Raises:
        RegistryError: it is not there, or larger than any file of the registry.
    """
    name = f"{commit}:{path}"
    size = int(git(root, "cat-file", "-s", name))
    if size > MOST_BYTES:
        raise RegistryError(
            f"{path} in commit {commit[:12]} has {size:,} bytes, expected at most {MOST_BYTES:,}:"
            " it is not what the pipeline wrote; remove the tag that names it (git tag -d TAG)"
        )
    return git(root, "show", name)


def read_tags(root: Path, name: str) -> tuple[Tag, ...]:
    """Read the registry's git tags of one model, oldest first.

    Two tags within one second are told apart by their counter, which GTO itself cannot.
    """
    pattern = re.compile(
        rf"{re.escape(name)}(?:@(?P<version>{VERSION.pattern})|#(?P<stage>[A-Za-z0-9/_-]{{1,100}}))"
        r"(?P<cancelled>!?)(?:#(?P<counter>[0-9]{1,9}))?"
    )
    listed = git(
        root,
        "for-each-ref",
        "--format=%(refname:strip=2)%00%(*objectname)%00%(*objecttype)%00%(taggerdate:unix)%00"
        "%(contents:subject)",
        f"refs/tags/{name}@*",
        f"refs/tags/{name}#*",
    )
    tags = []
    for line in listed.split("\n"):  # a subject may hold what else Python takes for a line's end
        tag, commit, kind, time, message = (line.split("\0") + [""] * 5)[:5]
        match = pattern.fullmatch(tag)
        # A lightweight tag is none of GTO's, nor one of something else than a commit, or undated.
        if match and kind == "commit" and re.fullmatch("[0-9]{1,12}", time):
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


class _GtoSettings(BaseModel):
    stages: tuple[Annotated[str, Field(pattern="^[A-Za-z0-9/_-]{1,100}$")], ...] | None = None


def known_stages(root: Path) -> tuple[str, ...]:
    """Stages that the file ``.gto`` allows; dev, staging and prod where there is none.

    Raises:
        RegistryError: the file cannot be read, or is no such file.
    """
    import yaml

    advice = "put it back with git checkout .gto, or give it a list: stages: [dev, staging, prod]"
    try:
        settings = yaml.safe_load((root / ".gto").read_text(encoding="utf-8")) or {}
        stages = _GtoSettings.model_validate(settings).stages
    except FileNotFoundError:
        return STAGES
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise RegistryError(
            f"the file .gto holds no settings of GTO ({type(error).__name__}): {advice}"
        ) from None
    return stages or STAGES
