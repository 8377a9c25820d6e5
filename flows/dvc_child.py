"""What a run asks DVC for beside its stages, many questions in one process.

``share REPOSITORY PIPELINE`` and ``plan PIPELINE`` work in the run's clone, which is the current
folder; both print the plan as JSON. Each start of DVC costs most of a second, and DVC in the flow's own
process would keep its state from one question to the next.
"""

import hashlib
import io
import json
import os
import sys
from contextlib import redirect_stdout
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
    """Give the clone the repository's cache and remotes, and its outputs from that cache."""
    clone = Path.cwd()
    cache = _dvc(repository, "cache", "dir").strip()
    _dvc(clone, "cache", "dir", "--local", cache)
    # A relative path of a remote leads elsewhere from here; DVC lists it in full over there.
    for line in _dvc(repository, "config", "--list").splitlines():
        key, _, address = line.partition("=")
        if key.startswith("remote.") and key.endswith(".url") and Path(address).is_absolute():
            remote = key.removeprefix("remote.").removesuffix(".url")
            _dvc(clone, "remote", "modify", "--local", remote, "url", address)
    _dvc(clone, "checkout", "--quiet", "--allow-missing")


def plan(pipeline: str) -> dict[str, Any]:
    """Ask for a pipeline's stages, what each needs, and which have nothing to do.

    Returns:
        ``needs``: names of stages by the name of each. ``unchanged``: of the stages that DVC would
        skip, the stamp of every file and folder that this depends on.
    """
    from dvc.repo import Repo

    clone = Path.cwd()
    with Repo() as repo:
        graph = repo.index.graph
        needs: dict[str, list[str]] = {}
        ahead = [stage for stage in graph if stage.path_in_repo == pipeline]
        while ahead:
            stage = ahead.pop()
            if stage.addressing not in needs:
                needs[stage.addressing] = [need.addressing for need in graph.successors(stage)]
                ahead += graph.successors(stage)
        # Stamped before DVC looks: what changes afterwards is seen.
        stamps = {
            stage: {path: stamp(clone / path) for path in _paths(stage)} for stage in sorted(needs)
        }
        changed = repo.status(targets=[pipeline], with_deps=True)
    return {
        "needs": {stage: needs[stage] for stage in stamps},
        "unchanged": {
            stage: found for stage, found in stamps.items() if stage not in changed and found
        },
    }


def _paths(stage: str) -> list[str]:
    """All that a stage's state follows from; empty where that cannot be told from files here."""
    import yaml

    file, _, name = stage.rpartition(":")
    definition = Path(file or "dvc.yaml")
    lock = definition.with_name("dvc.lock")
    if not lock.is_file():
        return []
    locked = yaml.load(lock.read_text(encoding="utf-8"), yaml.CSafeLoader)["stages"].get(name)
    if not locked:
        return []
    entries = [entry["path"] for kind in ("deps", "outs") for entry in locked.get(kind, ())]
    if any("://" in path for path in entries):
        return []
    parameters = list(locked.get("params", ()))
    return [*entries, *parameters, definition.as_posix(), lock.as_posix()]


def _dvc(folder: Path, *arguments: str) -> str:
    """Run a command of DVC in a folder, and return what it prints.

    Raises:
        SystemExit: it failed; DVC has said why on standard error.
    """
    from dvc.cli import main

    here = Path.cwd()
    os.chdir(folder)
    try:
        with redirect_stdout(io.StringIO()) as printed:
            code = main(list(arguments))
    finally:
        os.chdir(here)
    if code:
        raise SystemExit(code)
    return printed.getvalue()


def main(arguments: list[str]) -> None:
    """Do one of both.

    Raises:
        SystemExit: DVC refuses; the reason is on standard error.
    """
    from dvc.exceptions import DvcException

    try:
        match arguments:
            case ["share", repository, pipeline]:
                share(Path(repository))
                print(json.dumps(plan(pipeline)))
            case ["plan", pipeline]:
                print(json.dumps(plan(pipeline)))
            case _:
                sys.exit(f"found {arguments}, expected share REPOSITORY PIPELINE, or plan PIPELINE")
    except DvcException as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
