"""Publishing: the work tree's model becomes a version that others can fetch.

Order is everything here: the data are pushed before the tags that name them, and the tags
before anybody else sees them, in one atomic push. Every step can be repeated, so a publishing
that was killed is completed by the next one. ``docs/adr/0003-publishing-after-the-pipeline.md``
tells why this is no stage of the pipeline.
"""

import json
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from gto import api as gto_api
from gto.exceptions import GTOException
from scmrepo.exceptions import SCMError

from rnnpipe.errors import RegistryError
from rnnpipe.files import sha256_directory
from rnnpipe.params import PARAMS_FILE, load_params
from rnnpipe.places import places_of
from rnnpipe.registry import (
    ROLLBACK,
    Comparison,
    Decision,
    Tag,
    Version,
    check_model,
    compare,
    dvc,
    fetch,
    git,
    histories,
    known_stages,
    parse_decision,
    read_decision,
    read_tags,
    registered,
    version_number,
    versions,
)

logger = logging.getLogger(__name__)

FIRST_VERSION = "v0.1.0"

_ADVERT = re.compile(r"Having any troubles\?.*", re.DOTALL)

Refusal = Literal[
    "no repository",
    "no commit",
    "detached head",
    "dirty parameters",
    "dirty source",
    "stale pipeline",
    "gate failed",
    "nothing new",
    "already registered",
    "no remote",
    "behind",
    "not comparable",
    "not better",
]


class RefusalError(RegistryError):
    """Nothing was changed; ``reason`` says why in a word or two, the message in a sentence."""

    def __init__(self, reason: Refusal, message: str) -> None:
        super().__init__(f"refused, {reason}: {message}")
        self.reason = reason


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
    return versions(root, _model_name(root, name))


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
        RegistryError: git, DVC or GTO failed; running it again completes the work.
    """
    name = _model_name(root, name)
    reason = " ".join(reason.split())
    if force and not reason:
        raise RegistryError("--force needs --reason TEXT, which is kept in the tag's message")
    _check_stage(root, stage)
    branch = _branch(root)
    reports = _changed_reports(root, name)
    _check_fresh(root, name)
    decision = _check_decision(root, name)
    _check_data_remote(root)
    remote = _git_remote(root, branch)
    if remote:
        _fetch(root, remote)
        _check_ahead(root, remote, branch)

    known = versions(root, name)
    lock = _lock(name)
    ours = _locked_model((root / lock).read_text(encoding="utf-8"), name)
    for version in reversed(known):
        if _locked_model(git(root, "show", f"{version.commit}:{lock}"), name) == ours:
            return _complete(root, version, known, stage, branch, remote, dry_run)

    champion = _champion(known)
    comparison = None
    if champion:
        comparison = compare(fetch(root, champion), root / places_of(name).model)
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

    _commit(root, reports, f"Publish {name} {number}")
    _check_head(root, name, ours, decision)
    _push_data(root)
    message = f"Register {name} {number}" + (f"; forced: {forced}" if forced else "")
    _register(root, name, number, message)
    _assign(root, name, number, stage, f"Assign {stage} to {name} {number}")
    _push(root, name, remote, branch)
    return published


def promote(root: Path, version: str, stage: str = "prod", *, name: str | None = None) -> Moved:
    """Put a registered version into a stage.

    Raises:
        RegistryError: there is no such version or stage, or the version is in it already.
    """
    name = _model_name(root, name)
    _check_stage(root, stage)
    remote = _git_remote(root, _branch(root, detached=True))
    if remote:
        _fetch(root, remote)
    tags = read_tags(root, name)
    known = registered(tags)
    if version not in known:
        raise RegistryError(
            f"{name} has no version {version[:100]!r}; known: {', '.join(known) or 'none'}"
        )
    history = histories(tags).get(stage, [])
    before = history[-1] if history else None
    if before != version:
        _assign(root, name, version, stage, f"Assign {stage} to {name} {version}")
    elif not _unpushed(root, name, remote):
        raise RegistryError(f"{name} {version} is in stage {stage} already: nothing to do")
    _push(root, name, remote)
    return Moved(name, stage, version, before if before != version else None, remote)


def rollback(root: Path, stage: str = "prod", *, name: str | None = None) -> Moved:
    """Put the version back into a stage that it held before; a second rollback goes further.

    A rollback that was killed before its push is pushed, not repeated.

    Raises:
        RegistryError: the stage is unknown or never held another version.
    """
    name = _model_name(root, name)
    _check_stage(root, stage)
    remote = _git_remote(root, _branch(root, detached=True))
    if remote:
        _fetch(root, remote)
    tags = read_tags(root, name)
    history = histories(tags).get(stage, [])
    unpushed = _unpushed(root, name, remote)
    half_done = [tag for tag in tags if tag.stage == stage][-1:]
    if half_done and half_done[0].tag in unpushed and half_done[0].message.startswith(ROLLBACK):
        _push(root, name, remote)
        return Moved(name, stage, history[-1], None, remote)
    if len(history) < 2:
        held = f"only ever held {history[0]}" if history else "never held a version"
        raise RegistryError(f"stage {stage} of {name} {held}: there is nothing to go back to")
    before, version = history[-1], history[-2]
    _assign(root, name, version, stage, f"{ROLLBACK} {stage} of {name} from {before} to {version}")
    _push(root, name, remote)
    return Moved(name, stage, version, before, remote)


# --- Checks ------------------------------------------------------------------------------


def _model_name(root: Path, problem: str | None) -> str:
    """What the model of a problem is called, by default of the one in ``params.yaml``."""
    return places_of(problem or load_params(root / PARAMS_FILE).problem).model_name


def _check_stage(root: Path, stage: str) -> None:
    allowed = known_stages(root)
    if stage not in allowed:
        raise RegistryError(
            f"there is no stage {stage[:100]!r}; the file .gto allows {', '.join(allowed)}"
        )


def _branch(root: Path, detached: bool = False) -> str | None:
    """Name of the branch that is checked out; None on a detached HEAD, where that is allowed."""
    try:
        top = git(root, "rev-parse", "--show-toplevel").strip()
    except RegistryError as error:
        raise RefusalError(
            "no repository", "this folder is in no git repository; make it one with git init"
        ) from error
    if Path(top).resolve() != root.resolve():
        raise RefusalError(
            "no repository", "this folder is not the root of its git repository; run it there"
        )
    try:
        git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except RegistryError as error:
        raise RefusalError(
            "no commit", "the repository has no commit yet; commit the project first"
        ) from error
    branch = git(root, "branch", "--show-current").strip()
    if not branch and not detached:
        raise RefusalError(
            "detached head", "no branch is checked out to hold the commit; run git switch BRANCH"
        )
    return branch or None


def _lock(name: str) -> str:
    return (places_of(name).pipeline / "dvc.lock").as_posix()


def _changed_reports(root: Path, name: str) -> tuple[str, ...]:
    """Files to commit: the lock, and what the pipeline wrote that git keeps; refuse others."""
    status = git(root, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames")
    changed = sorted(entry[3:] for entry in status.split("\0") if entry)
    params = places_of(name).params.as_posix()
    # Another problem's lock and reports may have changed too: one `dvc repro -P` writes them all.
    locks = [
        "dvc.lock",
        *(path.relative_to(root).as_posix() for path in root.glob("pipelines/*/dvc.lock")),
    ]
    outputs = {
        out
        for lock in locks
        if (root / lock).is_file()
        for out in _outputs((root / lock).read_text(encoding="utf-8"))
    }
    foreign = [
        path
        for path in changed
        if path not in locks
        and not any(path == out or path.startswith(f"{out}/") for out in outputs)
    ]
    if params in foreign:
        raise RefusalError(
            "dirty parameters",
            f"{params} is changed and not committed; commit it or put it back,"
            " run dvc repro, and publish then",
        )
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise RefusalError(
            "dirty source",
            f"not committed: {', '.join(foreign[:3])}{more};"
            " commit, put back or ignore them, run dvc repro, and publish then",
        )
    return tuple(changed)


def _check_fresh(root: Path, name: str) -> None:
    pipeline = (places_of(name).pipeline / "dvc.yaml").as_posix()
    status: dict[str, Any] = json.loads(dvc(root, "status", "--json", "--with-deps", pipeline))
    if status:
        raise RefusalError(
            "stale pipeline",
            f"{', '.join(sorted(status))} would run again, so the model is not what"
            " parameters, source and data say; run dvc repro",
        )


def _check_decision(root: Path, name: str) -> Decision:
    places = places_of(name)
    decision = read_decision(root / places.decision)
    if decision.verdict != "approved":
        failed = "; ".join(str(gate) for gate in decision.reasons if not gate.passed)
        raise RefusalError("gate failed", failed)
    folder = root / places.model
    check_model(folder)
    found = sha256_directory(folder)
    if decision.name != name or found != decision.model:
        raise RefusalError(
            "stale pipeline",
            f"{places.decision} is about {decision.name} {decision.model[:12]},"
            f" but {places.model} is {found[:12]}; run dvc repro -f -s register",
        )
    return decision


def _check_data_remote(root: Path) -> None:
    if not dvc(root, "config", "core.remote").strip():
        raise RefusalError(
            "no remote",
            "DVC has no default remote to hold the model;"
            " add one with dvc remote add --default NAME FOLDER_OR_URL and commit .dvc/config",
        )


def _check_ahead(root: Path, remote: str, branch: str | None) -> None:
    """Refuse when the remote's branch holds commits that are not here: the push would fail."""
    listed = git(root, "ls-remote", remote, f"refs/heads/{branch}").split()
    if not listed:
        return
    try:
        git(root, "merge-base", "--is-ancestor", listed[0], "HEAD")
    except RegistryError as error:
        raise RefusalError(
            "behind",
            f"{remote}/{branch} holds commits that are not here; run git pull, then dvc repro",
        ) from error


def _check_head(root: Path, name: str, ours: str, decision: Decision) -> None:
    """Make sure that HEAD, which the tag will name, is about this very model."""
    places, lock = places_of(name), _lock(name)
    locked = _locked_model(git(root, "show", f"HEAD:{lock}"), name)
    committed = parse_decision(
        git(root, "show", f"HEAD:{places.decision.as_posix()}"), f"{places.decision} at HEAD"
    )
    if locked != ours or committed.model != decision.model:
        raise RegistryError(
            f"HEAD names another model than {places.model}, so no tag was written;"
            f" are {lock} and {places.decision} in git? If so, run rnnpipe publish again"
        )


# --- Steps -------------------------------------------------------------------------------


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
    if staged and not _unpushed(root, version.name, remote):
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
            _assign(root, version.name, version.version, stage, message)
        _push(root, version.name, remote, branch)
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


def _outputs(lock: str) -> dict[str, str]:
    """DVC's hash of every output that a ``dvc.lock`` names."""
    stages = (yaml.safe_load(lock) or {}).get("stages", {})
    return {
        out["path"]: out.get("md5", "")
        for entry in stages.values()
        for out in entry.get("outs", [])
    }


def _locked_model(lock: str, name: str) -> str:
    path = places_of(name).model.as_posix()
    outputs = _outputs(lock)
    if path not in outputs:
        raise RegistryError(f"{_lock(name)} does not name {path}: run dvc repro, which builds it")
    return outputs[path]


def _commit(root: Path, paths: Sequence[str], message: str) -> None:
    if paths:
        git(root, "add", "--all", "--", *paths)
        git(root, "commit", "--quiet", "--message", message)
        logger.info("committed %s", ", ".join(paths))


def _push_data(root: Path) -> None:
    """Push what every pipeline's lock names to the default DVC remote.

    Raises:
        RegistryError: the remote cannot be written; no tag names what it lacks.
    """
    try:
        dvc(root, "push")
    except RegistryError as error:
        # The remote by its name: an address may hold a password. DVC's advert helps nobody.
        said = " ".join(_ADVERT.sub("", str(error)).split())
        store = dvc(root, "config", "core.remote").strip()
        raise RegistryError(
            f"nothing was published, since the DVC remote {store} did not take the data: {said}."
            " Is its address right (dvc remote list), does it answer, and does the environment"
            " hold its credentials (for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a"
            " profile in ~/.aws)? Then run it again"
        ) from error
    logger.info("pushed the data")


def _register(root: Path, name: str, version: str, message: str) -> None:
    try:
        event = gto_api.register(str(root), name, "HEAD", version=version, message=message)
    except (GTOException, SCMError) as error:
        raise RegistryError(f"GTO cannot register {name} {version}: {error}") from error
    logger.info("registered %s", event.tag)


def _assign(root: Path, name: str, version: str, stage: str, message: str) -> None:
    # GTO and `dvc artifacts get` order tags by whole seconds: the newest must stand alone.
    newest = max((tag.time for tag in read_tags(root, name) if tag.stage), default=0)
    ahead = newest + 1 - time.time()
    if ahead > 5:
        raise RegistryError(
            f"the newest tag of {name} is dated {ahead:.0f} s in the future, so GTO would ignore"
            " a tag of now: set the clock right and run it again"
        )
    time.sleep(max(0.0, ahead))
    try:
        # Unforced, GTO refuses to bring a version back into a stage that it has held before.
        event = gto_api.assign(str(root), name, stage, version=version, message=message, force=True)
    except (GTOException, SCMError) as error:
        raise RegistryError(f"GTO cannot put {version} into {stage}: {error}") from error
    logger.info("assigned %s", event.tag)


# --- The git remote ----------------------------------------------------------------------


def _git_remote(root: Path, branch: str | None) -> str | None:
    """The branch's own remote, else origin, else the only one; None: there is none."""
    remotes = git(root, "remote").split()
    if branch:
        own = git(root, "config", "--default", "", f"branch.{branch}.remote").strip()
        if own in remotes:
            return own
    if "origin" in remotes:
        return "origin"
    if len(remotes) > 1:
        raise RegistryError(
            f"found git remotes {', '.join(remotes)}, none of them origin or the branch's own:"
            " choose one with git branch --set-upstream-to"
        )
    return remotes[0] if remotes else None


def _fetch(root: Path, remote: str) -> None:
    try:
        git(root, "fetch", "--tags", remote)
    except RegistryError as error:
        if "would clobber existing tag" not in str(error):
            raise
        raise RegistryError(
            f"a tag here and its namesake on {remote} name different commits: somebody else"
            " published meanwhile. Delete the one here (git tag -d TAG), run git pull --tags,"
            f" dvc repro, and publish again. {error}"
        ) from error


def _unpushed(root: Path, name: str, remote: str | None) -> tuple[str, ...]:
    """Tags of this model that the remote lacks; none where there is no remote."""
    if not remote:
        return ()
    listed = git(root, "ls-remote", "--tags", "--refs", remote, f"refs/tags/{name}*").split()
    return tuple(
        tag.tag for tag in read_tags(root, name) if f"refs/tags/{tag.tag}" not in listed[1::2]
    )


def _push(root: Path, name: str, remote: str | None, branch: str | None = None) -> None:
    """Push the model's new tags, and the branch where one is given: all of them or none."""
    if not remote:
        return
    tags = [f"refs/tags/{tag}:refs/tags/{tag}" for tag in _unpushed(root, name, remote)]
    heads = [f"HEAD:refs/heads/{branch}"] if branch else []
    git(root, "push", "--atomic", remote, *heads, *tags)
    logger.info("pushed to %s", remote)
