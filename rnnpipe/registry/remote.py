"""The steps of publishing that write: commit, tags, and what is pushed."""

import logging
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from gto import api as gto_api
from gto.exceptions import GTOException
from scmrepo.exceptions import SCMError

from rnnpipe.errors import RegistryError
from rnnpipe.registry.git import dvc, git
from rnnpipe.registry.versions import (
    read_tags,
)

logger = logging.getLogger(__name__)


_ADVERT = re.compile(r"Having any troubles\?.*", re.DOTALL)


def commit_paths(root: Path, paths: Sequence[str], message: str) -> None:
    """Commit these files, if there are any; where that fails, nothing is staged that was not.

    Raises:
        RegistryError: git does not commit; the index is as it was.
    """
    if not paths:
        return
    index = root / git(root, "rev-parse", "--git-path", "index").rstrip("\n")
    kept = index.with_name("index.rnnpipe")
    try:
        # Beside the index: to put it back takes no place on a disk that is full.
        shutil.copy2(index, kept)
        git(root, "add", "--all", "--", *paths)  # it stages all of them, or none
        try:
            git(root, "commit", "--quiet", "--message", message)
        except BaseException:
            kept.replace(index)
            raise
    finally:
        kept.unlink(missing_ok=True)
    logger.info("committed %s", ", ".join(paths))


def push_data(root: Path) -> None:
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


def register_version(root: Path, name: str, version: str, message: str) -> None:
    """Set the tag of a version."""
    try:
        event = gto_api.register(str(root), name, "HEAD", version=version, message=message)
    except (GTOException, SCMError) as error:
        raise RegistryError(f"GTO cannot register {name} {version}: {error}") from error
    logger.info("registered %s", event.tag)


def assign_stage(root: Path, name: str, version: str, stage: str, message: str) -> None:
    """Set the tag that puts a version into a stage."""
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


def git_remote(root: Path, branch: str | None) -> str | None:
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


def fetch_tags(root: Path, remote: str) -> None:
    """Fetch the tags of the git remote."""
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


def unpushed_tags(root: Path, name: str, remote: str | None) -> tuple[str, ...]:
    """Tags of this model that the remote lacks; none where there is no remote."""
    if not remote:
        return ()
    listed = git(root, "ls-remote", "--tags", "--refs", remote, f"refs/tags/{name}*").split()
    return tuple(
        tag.tag for tag in read_tags(root, name) if f"refs/tags/{tag.tag}" not in listed[1::2]
    )


def push_tags(root: Path, name: str, remote: str | None, branch: str | None = None) -> None:
    """Push the model's new tags, and the branch where one is given: all of them or none."""
    if not remote:
        return
    tags = [f"refs/tags/{tag}:refs/tags/{tag}" for tag in unpushed_tags(root, name, remote)]
    heads = [f"HEAD:refs/heads/{branch}"] if branch else []
    git(root, "push", "--atomic", remote, *heads, *tags)
    logger.info("pushed to %s", remote)
