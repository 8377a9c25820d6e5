"""Publishing: the work tree's model becomes a version that others can fetch.

Order is everything here: the data are pushed before the tags that name them, and the tags
before anybody else sees them, in one atomic push. Every step can be repeated, so a publishing
that was killed is completed by the next one. ``docs/adr/0003-publishing-after-the-pipeline.md``
tells why this is no stage of the pipeline.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rnnpipe.errors import RegistryError
from rnnpipe.pipeline.locks import check_locks
from rnnpipe.registry.checks import (
    RefusalError,
    changed_reports,
    check_ahead,
    check_data_remote,
    check_decision,
    check_fresh,
    check_head,
    check_identity,
    check_stage,
    current_branch,
)
from rnnpipe.registry.comparison import Comparison, compare
from rnnpipe.registry.find import fetch, model_name
from rnnpipe.registry.lock import lock_path, locked_model
from rnnpipe.registry.remote import (
    assign_stage,
    commit_paths,
    fetch_tags,
    git_remote,
    push_data,
    push_tags,
    register_version,
    unpushed_tags,
)
from rnnpipe.registry.versions import (
    ROLLBACK,
    Tag,
    Version,
    histories,
    read_tags,
    registered,
    show,
    version_number,
    versions,
)
from rnnpipe.storage.paths import paths_of

logger = logging.getLogger(__name__)

FIRST_VERSION = "v0.1.0"


@dataclass(frozen=True)
class Published:
    """What publishing did, or in a dry run would do; ``remote`` None: there is no git remote."""

    name: str
    version: str
    stage: str
    model: str
    commits: tuple[str, ...]
    champion: str | None
    comparison: Comparison | None
    forced: str | None
    remote: str | None
    dry_run: bool
    completed: bool = False

    @property
    def summary(self) -> tuple[str, ...]:
        """Lines for a person."""
        verb = "would publish" if self.dry_run else "completed" if self.completed else "published"
        lines = [f"{verb} {self.name} {self.version} into stage {self.stage}"]
        if self.comparison:
            lines.append(f"against {self.champion}: {self.comparison}")
        if self.forced:
            lines.append(f"forced: {self.forced}")
        if self.commits:
            lines.append(f"commit of {', '.join(self.commits)}")
        lines.append(
            f"pushed to git remote {self.remote}"
            if self.remote and not self.dry_run
            else f"push to git remote {self.remote}"
            if self.remote
            else "no git remote: the version is known in this clone only"
        )
        return tuple(lines)


@dataclass(frozen=True)
class Moved:
    """A stage that now holds another version; ``before`` None: it held none."""

    name: str
    stage: str
    version: str
    before: str | None
    remote: str | None

    @property
    def summary(self) -> tuple[str, ...]:
        """Lines for a person."""
        instead = f" instead of {self.before}" if self.before else ""
        where = f"pushed to git remote {self.remote}" if self.remote else "no git remote"
        return (f"{self.name} {self.stage} is now {self.version}{instead} ({where})",)


def models(root: Path, name: str | None = None) -> tuple[Version, ...]:
    """List all versions with their stages and figures, lowest number first.

    Raises:
        RegistryError: this is no git repository, or a version's commit holds no decision.
    """
    return versions(root, model_name(root, name))


def publish(
    root: Path,
    *,
    name: str | None = None,
    stage: str = "dev",
    dry_run: bool = False,
    force: bool = False,
    reason: str = "",
) -> Published:
    """Publish the work tree's model as the next minor version, or refuse.

    Steps: check, commit ``dvc.lock`` and the reports, push the data, tag version and stage,
    push branch and tags in one. A dry run fetches the tags of others and stops after the checks.

    Args:
        root: the project's folder, which is the git repository's.
        name: the model's name; None: the problem in ``params.yaml``.
        stage: the stage that the new version enters.
        dry_run: check everything, change nothing.
        force: publish a model although it is not better than the champion, or not comparable.
        reason: why; required with ``force`` and kept in the tag's message.

    Raises:
        RefusalError: the model may not, or need not, be published.
        LockError: a ``dvc.lock`` is damaged.
        RegistryError: git, DVC or GTO failed; running it again completes the work.
    """
    name = model_name(root, name)
    reason = " ".join(reason.split())
    if force and not reason:
        raise RegistryError("--force needs --reason TEXT, which is kept in the tag's message")
    check_stage(root, stage)
    branch = current_branch(root)
    check_identity(root)
    check_locks(root)
    reports = changed_reports(root, name)
    check_fresh(root, name)
    decision = check_decision(root, name)
    check_data_remote(root)
    remote = git_remote(root, branch)
    if remote:
        fetch_tags(root, remote)
        check_ahead(root, remote, branch)

    known = versions(root, name)
    lock = lock_path(name)
    ours = locked_model((root / lock).read_text(encoding="utf-8"), name)
    for version in reversed(known):
        if locked_model(show(root, version.commit, lock), name) == ours:
            return _complete(root, version, known, stage, branch, remote, dry_run)

    champion = _champion(known)
    comparison = None
    if champion:
        comparison = compare(fetch(root, champion), root / paths_of(name).model)
        if comparison.verdict != "better" and not force:
            raise RefusalError(
                comparison.verdict,
                f"against {champion.version}, {comparison}."
                " Publish it all the same with --force --reason TEXT",
            )
    forced = reason if comparison and comparison.verdict != "better" else None
    number = _next_version(read_tags(root, name))
    published = Published(
        name=name,
        version=number,
        stage=stage,
        model=decision.model,
        commits=reports,
        champion=champion.version if champion else None,
        comparison=comparison,
        forced=forced,
        remote=remote,
        dry_run=dry_run,
    )
    if dry_run:
        return published

    commit_paths(root, reports, f"Publish {name} {number}")
    check_head(root, name, ours, decision)
    push_data(root)
    message = f"Register {name} {number}" + (f"; forced: {forced}" if forced else "")
    register_version(root, name, number, message)
    assign_stage(root, name, number, stage, f"Assign {stage} to {name} {number}")
    push_tags(root, name, remote, branch)
    return published


def promote(root: Path, version: str, stage: str = "prod", *, name: str | None = None) -> Moved:
    """Put a registered version into a stage.

    Raises:
        RegistryError: there is no such version or stage, or the version is in it already.
    """
    name = model_name(root, name)
    check_stage(root, stage)
    remote = git_remote(root, current_branch(root, detached=True))
    check_identity(root)
    if remote:
        fetch_tags(root, remote)
    tags = read_tags(root, name)
    known = registered(tags)
    if version not in known:
        raise RegistryError(
            f"{name} has no version {version[:100]!r}; known: {', '.join(known) or 'none'}"
        )
    history = histories(tags).get(stage, [])
    before = history[-1] if history else None
    if before != version:
        assign_stage(root, name, version, stage, f"Assign {stage} to {name} {version}")
    elif not unpushed_tags(root, name, remote):
        raise RegistryError(f"{name} {version} is in stage {stage} already: nothing to do")
    push_tags(root, name, remote)
    return Moved(name, stage, version, before if before != version else None, remote)


def rollback(root: Path, stage: str = "prod", *, name: str | None = None) -> Moved:
    """Put the version back into a stage that it held before; a second rollback goes further.

    A rollback that was killed before its push is pushed, not repeated.

    Raises:
        RegistryError: the stage is unknown or never held another version.
    """
    name = model_name(root, name)
    check_stage(root, stage)
    remote = git_remote(root, current_branch(root, detached=True))
    check_identity(root)
    if remote:
        fetch_tags(root, remote)
    tags = read_tags(root, name)
    history = histories(tags).get(stage, [])
    unpushed = unpushed_tags(root, name, remote)
    half_done = [tag for tag in tags if tag.stage == stage][-1:]
    if half_done and half_done[0].tag in unpushed and half_done[0].message.startswith(ROLLBACK):
        push_tags(root, name, remote)
        return Moved(name, stage, history[-1], None, remote)
    if len(history) < 2:
        held = f"only ever held {history[0]}" if history else "never held a version"
        raise RegistryError(f"stage {stage} of {name} {held}: there is nothing to go back to")
    before, version = history[-1], history[-2]
    assign_stage(
        root, name, version, stage, f"{ROLLBACK} {stage} of {name} from {before} to {version}"
    )
    push_tags(root, name, remote)
    return Moved(name, stage, version, before, remote)


def _complete(
    root: Path,
    version: Version,
    known: Sequence[Version],
    stage: str,
    branch: str | None,
    remote: str | None,
    dry_run: bool,
) -> Published:
    """Finish a publishing that was cut off after its first tag, or refuse a finished one."""
    tags = read_tags(root, version.name)
    staged = any(tag.stage and tag.commit == version.commit for tag in tags)
    if staged and not unpushed_tags(root, version.name, remote):
        champion = _champion(known)
        newest = version == known[-1] or version == champion
        raise RefusalError(
            "nothing new" if newest else "already registered",
            f"this very model is {version.name} {version.version}"
            + (
                "; train another one first"
                if newest
                else f"; rnnpipe promote {version.version} puts it into a stage"
            ),
        )
    if not dry_run:
        if not staged:
            message = f"Assign {stage} to {version.name} {version.version}"
            assign_stage(root, version.name, version.version, stage, message)
        push_tags(root, version.name, remote, branch)
    return Published(
        name=version.name,
        version=version.version,
        stage=stage,
        model=version.decision.model,
        commits=(),
        champion=None,
        comparison=None,
        forced=None,
        remote=remote,
        dry_run=dry_run,
        completed=True,
    )


def _champion(known: Sequence[Version]) -> Version | None:
    """The version in stage prod, else the newest; None before the first."""
    in_prod = [version for version in known if "prod" in version.stages]
    candidates = in_prod or known
    return candidates[-1] if candidates else None


def _next_version(tags: Sequence[Tag]) -> str:
    """The next minor version; the number of a deregistered version is not used again."""
    used = [version_number(tag.version) for tag in tags if tag.version]
    if not used:
        return FIRST_VERSION
    major, minor, _ = max(used)
    return f"v{major}.{minor + 1}.0"
