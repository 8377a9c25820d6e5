"""What must hold before a model is published."""

import json
from pathlib import Path
from typing import Any, Literal

from rnnpipe.errors import RegistryError
from rnnpipe.registry.decision import Decision, parse_decision, read_decision
from rnnpipe.registry.folder import check_model
from rnnpipe.registry.git import dvc, git
from rnnpipe.registry.lock import lock_path, locked_model, outputs
from rnnpipe.registry.versions import known_stages, show
from rnnpipe.storage.files import sha256_directory
from rnnpipe.storage.paths import paths_of

Refusal = Literal[
    "no repository",
    "no commit",
    "detached head",
    "no identity",
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


def check_stage(root: Path, stage: str) -> None:
    """Refuse a stage that the registry does not know."""
    allowed = known_stages(root)
    if stage not in allowed:
        raise RegistryError(
            f"there is no stage {stage[:100]!r}; the file .gto allows {', '.join(allowed)}"
        )


def current_branch(root: Path, detached: bool = False) -> str | None:
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


def check_identity(root: Path) -> None:
    """Refuse where git does not know who commits, and who sets tags."""
    try:
        git(root, "var", "GIT_COMMITTER_IDENT")
        git(root, "var", "GIT_AUTHOR_IDENT")
    except RegistryError as error:
        raise RefusalError(
            "no identity",
            "git does not know who publishes; tell it with git config --global user.name NAME and"
            " git config --global user.email ADDRESS",
        ) from error


def changed_reports(root: Path, name: str) -> tuple[str, ...]:
    """Files to commit: the lock, and what the pipeline wrote that git keeps; refuse others."""
    status = git(root, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames")
    changed = sorted(entry[3:] for entry in status.split("\0") if entry)
    params = paths_of(name).params.as_posix()
    # Another problem's lock and reports may have changed too: one `dvc repro -P` writes them all.
    locks = [
        "dvc.lock",
        *(path.relative_to(root).as_posix() for path in root.glob("pipelines/*/dvc.lock")),
    ]
    written = {
        out
        for lock in locks
        if (root / lock).is_file()
        for out in outputs((root / lock).read_text(encoding="utf-8", errors="replace"), lock)
    }
    foreign = [
        path
        for path in changed
        if path not in locks
        and not any(path == out or path.startswith(f"{out}/") for out in written)
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


def check_fresh(root: Path, name: str) -> None:
    """Refuse a model whose stages are not up to date."""
    pipeline = (paths_of(name).pipeline / "dvc.yaml").as_posix()
    status: dict[str, Any] = json.loads(dvc(root, "status", "--json", "--with-deps", pipeline))
    if status:
        raise RefusalError(
            "stale pipeline",
            f"{', '.join(sorted(status))} would run again, so the model is not what"
            " parameters, source and data say; run dvc repro",
        )


def check_decision(root: Path, name: str) -> Decision:
    """Return the decision on a model; refuse one that is refused, or of another model."""
    paths = paths_of(name)
    decision = read_decision(root / paths.decision)
    if decision.verdict != "approved":
        failed = "; ".join(str(gate) for gate in decision.reasons if not gate.passed)
        raise RefusalError("gate failed", failed)
    folder = root / paths.model
    check_model(folder)
    found = sha256_directory(folder)
    if decision.name != name or found != decision.model:
        raise RefusalError(
            "stale pipeline",
            f"{paths.decision} is about {decision.name} {decision.model[:12]},"
            f" but {paths.model} is {found[:12]}; run dvc repro -f -s register",
        )
    return decision


def check_data_remote(root: Path) -> None:
    """Refuse where no DVC remote would hold the model."""
    if not dvc(root, "config", "core.remote").strip():
        raise RefusalError(
            "no remote",
            "DVC has no default remote to hold the model;"
            " add one with dvc remote add --default NAME FOLDER_OR_URL and commit .dvc/config",
        )


def check_ahead(root: Path, remote: str, branch: str | None) -> None:
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


def check_head(root: Path, name: str, ours: str, decision: Decision) -> None:
    """Make sure that HEAD, which the tag will name, is about this very model."""
    paths, lock = paths_of(name), lock_path(name)
    locked = locked_model(show(root, "HEAD", lock), name)
    committed = parse_decision(
        show(root, "HEAD", paths.decision.as_posix()), f"{paths.decision} at HEAD"
    )
    if locked != ours or committed.model != decision.model:
        raise RegistryError(
            f"HEAD names another model than {paths.model}, so no tag was written;"
            f" are {lock} and {paths.decision} in git? If so, run rnnpipe publish again"
        )
