"""What a run asks DVC for beside its stages, many questions in one process.

``share REPOSITORY PIPELINE`` and ``plan PIPELINE`` work in the run's clone, which is the current
folder; both print the plan as JSON. Each start of DVC costs most of a second, and DVC in the flow's own
process would keep its state from one question to the next.
"""

import gc
import hashlib
import json
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

# By its file, for the current folder may hold other code; -P: its neighbours are no libraries.
COMMAND = (sys.executable, "-P", __file__)


def stamp(path: Path) -> str | None:
    """Names, sizes and times of change of a file, or of all files of a folder; None: not there.

    Whoever writes a file changes its stamp, without a byte of it being read.
    """
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        if file.suffix == ".pyc" or (path.is_dir() and file.is_dir()):
            continue  # a folder's own time follows Python's caches
        try:
            found = file.stat()
        except FileNotFoundError:
            return None
        digest.update(f"{file}\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def share(repository: Path) -> None:
    """Return the clone the repository's cache and remotes."""
    from dvc.config import Config

    theirs = Config(str(repository / ".dvc"), validate=False)
    with Config(str(Path.cwd() / ".dvc"), validate=False).edit("local") as ours:
        ours["cache"]["dir"] = theirs["cache"].get("dir") or str(repository / ".dvc" / "cache")
        # A relative path of a remote leads elsewhere from here; DVC knows the whole of it over there.
        for name, remote in theirs["remote"].items():
            if Path(address := remote.get("url", "")).is_absolute():
                ours["remote"].setdefault(name, {})["url"] = address


def plan(pipeline: str, *, checkout: bool = False) -> dict[str, Any]:
    """Ask for a pipeline's stages, what each needs, and which have nothing to do.

    Args:
        pipeline: its ``dvc.yaml``, relative to the current folder, which is the project's root.
        checkout: bring the outputs from the cache first, as far as they are there.

    Returns:
        ``needs``: names of stages by the name of each. ``unchanged``: of the stages that DVC would
        skip, the stamp of every file and folder that this depends on.
    """
    from dvc.repo import Repo, lock_repo

    clone = Path.cwd()
    # Under one lock DVC reads its files once; that is most of the time.
    with Repo() as repo, lock_repo(repo):
        if checkout:
            repo.checkout(allow_missing=True)
        graph = repo.index.graph
        needs: dict[str, list[str]] = {}
        folders: dict[str, Path] = {}  # where each works, from the root
        ahead = [stage for stage in graph if stage.path_in_repo == pipeline]
        while ahead:
            stage = ahead.pop()
            if stage.addressing not in needs:
                needs[stage.addressing] = [need.addressing for need in graph.successors(stage)]
                folders[stage.addressing] = Path(os.path.relpath(stage.wdir, repo.root_dir))
                ahead += graph.successors(stage)
        # Stamped before DVC looks: what changes afterwards is seen.
        stamps = {
            stage: {path: stamp(clone / path) for path in _paths(stage, folders[stage])}
            for stage in sorted(needs)
        }
        changed = repo.status(targets=[pipeline], with_deps=True)
    return {
        "needs": {stage: needs[stage] for stage in stamps},
        "unchanged": {
            stage: found for stage, found in stamps.items() if stage not in changed and found
        },
    }


def _paths(stage: str, folder: Path) -> list[str]:
    """All that a stage's state follows from; empty where that cannot be told from files here.

    Args:
        stage: its name.
        folder: where it works, which is what the paths in its lock begin at.
    """
    file, _, name = stage.rpartition(":")
    definition = Path(file or "dvc.yaml")
    lock = definition.with_name("dvc.lock")
    if not lock.is_file():
        return []
    locked = _locked_stages(lock).get(name)
    if not locked:
        return []
    entries = [entry["path"] for kind in ("deps", "outs") for entry in locked.get(kind, ())]
    if any("://" in path for path in entries):
        return []
    parameters = list(locked.get("params", ()))
    found = [(folder / path).as_posix() for path in [*entries, *parameters]]
    return [*found, definition.as_posix(), lock.as_posix()]


@cache
def _locked_stages(lock: Path) -> dict[str, Any]:
    import yaml

    stages: dict[str, Any] = yaml.load(lock.read_text(encoding="utf-8"), yaml.CSafeLoader).get(
        "stages", {}
    )
    return stages


def main(arguments: list[str]) -> None:
    """Do one of both.

    Raises:
        SystemExit: DVC refuses; the reason is on standard error.
    """
    from dvc.exceptions import DvcException

    gc.disable()  # it ends soon, and looking for garbage takes a tenth of its time

    try:
        match arguments:
            case ["share", repository, pipeline]:
                share(Path(repository))
                print(json.dumps(plan(pipeline, checkout=True)))
            case ["plan", pipeline]:
                print(json.dumps(plan(pipeline)))
            case _:
                sys.exit(f"found {arguments}, expected share REPOSITORY PIPELINE, or plan PIPELINE")
    except DvcException as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
