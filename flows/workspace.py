"""A run's own clone of the project, so that someone can edit, and other runs go on, meanwhile.

The clone holds the repository's last commit, shares its DVC cache and remotes, and lies in
``.rnnpipe/runs/NAME``. What a run comes to returns as a DVC experiment of that name.

What is kept: the newest clones and the newest experiments that runs have saved, as many as the
caller says; a clone that a run works in is never removed, nor is an experiment of a person's own.
"""

import fcntl
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

from filelock import FileLock
from ruamel.yaml import YAML

from flows import dvc_child
from flows.dag import Plan
from flows.leftovers import can_go_on
from flows.stage import environment
from rnnpipe.config.load import PARAMS_FILE, Params, check_params, parse_values, read_values
from rnnpipe.errors import ParameterError, RnnpipeError, shown
from rnnpipe.pipeline.locks import check_locks, locked_stages
from rnnpipe.storage.card import read_card
from rnnpipe.storage.files import atomic_file
from rnnpipe.storage.paths import paths_of

RUNS = Path(".rnnpipe/runs")
PUBLISH_LOCK = Path(".rnnpipe/publish.lock")
BRANCHES = "runs"

_SUBJECT = "Run of the pipeline: "
_READY = Path(".git/rnnpipe-ready.json")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_LAST_LINES = 10


class WorkspaceError(RnnpipeError):
    """A run's clone cannot be made or saved."""


@dataclass(frozen=True)
class Workspace:
    """A clone that belongs to one run for as long as its lock is held."""

    folder: Path
    name: str
    params: Params
    lock: IO[str] = field(repr=False, compare=False)
    plan: Plan | None = None  # of its pipeline, as it was when the clone was made

    def close(self) -> None:
        """Return the clone up; it stays until it is among the oldest."""
        self.lock.close()

    def remove(self) -> None:
        """Return the clone up, and its place on the disk."""
        _remove(self.folder)
        self.folder.with_name(f"{self.folder.name}.lock").unlink(missing_ok=True)
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_workspace(
    repository: Path,
    name: str,
    overrides: Mapping[str, Any],
    problem: str = "classification",
    *,
    commit: str = "HEAD",
    results: Mapping[str, str] | None = None,
    go_on: bool = False,
) -> Workspace:
    """Clone a commit of the repository, set parameters, and bring the outputs from the cache.

    What the user has not committed stays out, but for data that git does not know: a table of
    one's own that ``download.source`` names by a relative path is copied as it stands.

    Args:
        repository: root of the project, a git work tree.
        name: of the run; letters, digits, ``-`` and ``_``.
        overrides: values by dotted name (``train.hidden_size``).
        problem: whose parameters they are.
        commit: which one.
        results: contents of ``dvc.lock`` files by path, in place of the commit's.
        go_on: keep the clone of this name, with whatever a killed run left in it, if it was made
            from the same commit with the same overrides.

    Raises:
        ParameterError: an override is unknown or out of range; nothing was made.
        LockError: a ``dvc.lock`` of the commit is damaged.
        WorkspaceError: git or DVC failed, or a run of this name is still at work.
    """
    if not _NAME.fullmatch(name):
        raise WorkspaceError(f"found {name[:100]!r}, expected a name of letters, digits, - and _")
    repository = repository.resolve()
    commit = commit_of(repository, commit)
    params_file = paths_of(problem).params
    params = check_overrides(read_committed(repository, params_file, commit), overrides)
    folder = repository / RUNS / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = _hold(folder)
    made_of = json.dumps([commit, overrides, results or {}], sort_keys=True)
    ready = folder / _READY
    if go_on and can_go_on(folder, ready, made_of):
        return Workspace(folder, name, params, lock)
    try:
        _remove(folder)
        _git(repository, "clone", "--quiet", "--no-checkout", str(repository), str(folder))
        _git(folder, "checkout", "--quiet", "-B", f"{BRANCHES}/{name}", "--no-track", commit)
        _share(repository, folder)
        write_overrides(folder / params_file, overrides)
        for path, content in (results or {}).items():
            (folder / path).write_text(content, encoding="utf-8")
        for file in {PARAMS_FILE, params_file}:  # a pipeline may need the data of the root's
            if source := (read_values(folder / file).get("download") or {}).get("source"):
                _copy_source(repository, folder, source)
        pipeline = paths_of(problem).pipeline / "dvc.yaml"
        share = (*dvc_child.COMMAND, "share", str(repository), pipeline.as_posix())
        try:
            plan = Plan.of(_command(folder, *share))
        except WorkspaceError:
            check_locks(folder)  # the likeliest reason, for which there is a cure
            raise
        with atomic_file(ready) as partial:
            partial.write_text(made_of, encoding="utf-8")
    except BaseException:
        lock.close()
        raise
    return Workspace(folder, name, params, lock, plan)


def commit_of(repository: Path, name: str = "HEAD") -> str:
    """Return the full name of a commit.

    Raises:
        WorkspaceError: there is none of this name.
    """
    return _git(repository, "rev-parse", "--verify", f"{name}^{{commit}}").strip()


def experiment_commit(repository: Path, begun: str, name: str) -> str:
    """Return the commit of a DVC experiment that began at a commit; empty where there is none."""
    ref = f"refs/exps/{begun[:2]}/{begun[2:]}/{name}"
    return _git(repository, "for-each-ref", "--format=%(objectname)", ref).strip()


def read_committed(repository: Path, path: Path, commit: str = "HEAD") -> str:
    """Read a file as it stands in a commit.

    Raises:
        WorkspaceError: the commit, or the file in it, is not there.
    """
    return _git(repository, "show", f"{commit}:{path.as_posix()}")


def check_overrides(
    params_text: str, overrides: Mapping[str, Any], name: str = "overrides"
) -> Params:
    """Check what a parameter file would be with other values in it.

    Args:
        params_text: content of a ``params.yaml``.
        overrides: values by dotted name.
        name: what an error calls the overrides.

    Raises:
        ParameterError: a name is unknown, or a value not allowed.
    """
    values = parse_values(params_text, PARAMS_FILE.name)
    _override(values, overrides, name)
    return check_params(values, name)


def write_overrides(path: Path, overrides: Mapping[str, Any]) -> None:
    """Change values, by dotted name, in a parameter file; the rest stays, comments included."""
    if not overrides:
        return
    yaml_file = YAML()
    yaml_file.preserve_quotes = True
    yaml_file.width = 4096
    values = yaml_file.load(path.read_text(encoding="utf-8"))
    _override(values, overrides)
    with atomic_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        yaml_file.dump(values, file)


def remove_results(folder: Path, stages: Iterable[str]) -> None:
    """Remove what stages made, in a run's clone: it is not what the run's parameters would give."""
    for stage in stages:
        file, _, name = stage.rpartition(":")
        lock = folder / Path(file or "dvc.yaml").with_name("dvc.lock")
        if not lock.is_file():
            continue
        known = locked_stages(lock, lock.relative_to(folder).as_posix())
        for out in known.get(name, {}).get("outs", []):
            path = folder / out["path"]
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def save_experiment(
    workspace: Workspace, repository: Path, stages: Sequence[str] = (), kind: str = _SUBJECT
) -> str:
    """Keep the run as a DVC experiment of the repository, and return its name.

    ``dvc exp apply NAME`` in the repository brings back parameters, lock and reports.

    Args:
        workspace: the run's clone.
        repository: root of the project.
        stages: those that ran; by default all of the pipeline.
        kind: what the experiment's message begins with. Only those of the default kind are
            removed as they grow old (:func:`clean_workspaces`).

    Raises:
        WorkspaceError: git or DVC failed.
    """
    folder, name = workspace.folder, workspace.name
    subject = f"{kind}{name}"
    # The pipeline alone: others may never have run here, and DVC wants every output that it saves.
    pipeline = (paths_of(workspace.params.problem).pipeline / "dvc.yaml").as_posix()
    # A pipeline's first run makes files that git does not know yet.
    new = _git(folder, "ls-files", "--others", "--exclude-standard").splitlines()
    included = [argument for path in new for argument in ("--include-untracked", path)]
    options = ("--quiet", "--force", "--name", name, "--message", subject)
    _dvc(folder, "exp", "save", *options, *included, *(stages or [pipeline]))
    refs = _git(folder, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
    (ref,) = (ref for ref in refs if ref.endswith(f"/{name}"))
    fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance")
    _git(repository, *fetch, str(folder), f"+{ref}:{ref}")
    return name


def commit_overrides(folder: Path, name: str) -> None:
    """Commit a run's parameters on its branch: publishing refuses what is not committed."""
    # Named one by one: `git commit` refuses a pattern that finds no file.
    if changed := changed_since(folder, "HEAD", str(PARAMS_FILE), "pipelines/*/params.yaml"):
        message = f"Set the parameters of {name}"
        _git(folder, "commit", "--quiet", "--message", message, "--", *changed)


@contextmanager
def publishing_alone(repository: Path) -> Iterator[None]:
    """Wait until no other run of this repository publishes, and keep others waiting."""
    path = repository / PUBLISH_LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield


def clean_workspaces(repository: Path, keep: int, experiments: int | None = None) -> None:
    """Remove the oldest clones and experiments of runs.

    Args:
        repository: root of the project.
        keep: clones to keep; those that a run works in come on top.
        experiments: experiments of runs to keep; None: all.
    """
    locks = sorted((repository / RUNS).glob("*.lock"), key=_age)
    for path in locks[keep:]:
        try:
            lock = _hold(path.with_suffix(""))
        except WorkspaceError:
            continue  # at work
        with lock:
            _remove(path.with_suffix(""))
            path.unlink(missing_ok=True)
    if experiments is None:
        return
    listed = _git(
        repository,
        "for-each-ref",
        "--sort=-committerdate",
        "--format=%(refname) %(contents:subject)",
        "refs/exps",
    ).splitlines()
    ours = [line.split(" ", 1) for line in listed]
    names = [ref for ref, subject in ours if subject == f"{_SUBJECT}{ref.rsplit('/', 1)[1]}"]
    for ref in names[experiments:]:
        _git(repository, "update-ref", "-d", ref)


def uncommitted(repository: Path) -> list[str]:
    """Return the paths of tracked files that differ from the last commit."""
    status = _git(repository, "status", "--porcelain", "--untracked-files=no")
    return [line[3:] for line in status.splitlines()]


def changed_since(repository: Path, commit: str, *paths: str) -> list[str]:
    """Return those of some tracked files, by git's patterns, that differ from a commit."""
    return _git(repository, "diff", "--name-only", commit, "--", *paths).splitlines()


# --- Steps -------------------------------------------------------------------------------


def _remove(folder: Path) -> None:
    """Remove a clone; one that is only half gone must not pass for one to go on with."""
    (folder / _READY).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _age(path: Path) -> float:
    """Seconds since a file was changed; one that has gone meanwhile is the oldest."""
    try:
        return -path.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def _hold(folder: Path) -> IO[str]:
    """Lock a run's clone; the kernel lets go when this process ends, in whatever way."""
    file = folder.with_name(f"{folder.name}.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise WorkspaceError(
            f"run {folder.name} is still at work, pid {holder}; wait for its end or cancel it"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _share(repository: Path, folder: Path) -> None:
    """Return the clone the repository's private settings, git remote and committer."""
    private = repository / ".dvc" / "config.local"
    if private.is_file():
        shutil.copy(private, folder / ".dvc" / "config.local")
    if "origin" in _git(repository, "remote").split():
        address = _git(repository, "remote", "get-url", "origin").strip()
        if (repository / address).exists():  # a path, which may be relative to the repository
            address = str((repository / address).resolve())
        _git(folder, "remote", "set-url", "origin", address)
    for key, otherwise in (("user.name", "rnnpipe"), ("user.email", "rnnpipe@localhost")):
        value = _git(repository, "config", "--default", otherwise, key).strip()
        _git(folder, "config", key, value)


def _override(values: Any, overrides: Mapping[str, Any], name: str = "overrides") -> None:
    for key, value in overrides.items():
        *path, last = key.split(".")
        section = values
        for part in path:
            section = section.setdefault(part, {}) if isinstance(section, dict) else None
        if not isinstance(section, dict):
            raise ParameterError(
                f"{name}: {shown(key)} is no parameter; `python -m rnnpipe params` lists all"
            )
        section[last] = value


def _copy_source(repository: Path, folder: Path, source: str) -> None:
    """Bring along data of the user's own, which a clone lacks because git does not know them."""
    if not _copy_unknown(repository, folder, source) or not source.endswith(".json"):
        return
    _copy_unknown(repository, folder, read_card(folder / source).address)


def _copy_unknown(repository: Path, folder: Path, name: str) -> bool:
    """Copy a file or folder by relative path unless it is there; tell whether a file is there now."""
    path = Path(name)
    if "://" in name or path.is_absolute() or ".." in path.parts:
        return False
    source, target = repository / path, folder / path
    if source.exists() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = partial(shutil.copytree, symlinks=True) if source.is_dir() else shutil.copy2
        copy(source, target)
        with (folder / ".git" / "info" / "exclude").open("a") as exclude:
            exclude.write(f"/{path.as_posix()}\n")
    return target.is_file()


def _git(folder: Path, *arguments: str) -> str:
    return _command(folder, "git", *arguments)


def _dvc(folder: Path, *arguments: str) -> str:
    return _command(folder, sys.executable, "-m", "dvc", *arguments)


def _command(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        # The command itself may hold an address with a password; its name is enough.
        what = f"git {command[1]}" if command[0] == "git" else "dvc"
        words = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_LAST_LINES:])
        raise WorkspaceError(f"{what} failed in {folder}: {words}")
    return done.stdout
