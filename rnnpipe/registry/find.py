"""A model found by its folder, its version or its stage."""

import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel

from rnnpipe.config.document import Name, parse_document, read_document
from rnnpipe.config.load import PARAMS_FILE, load_params
from rnnpipe.errors import RegistryError, quoted
from rnnpipe.registry.decision import Decision, read_decision
from rnnpipe.registry.folder import MODEL_FILES, check_model
from rnnpipe.registry.git import dvc
from rnnpipe.registry.lock import lock_path, locked_model
from rnnpipe.registry.manifest import verify
from rnnpipe.registry.versions import (
    FETCHED,
    STAGES,
    VERSION,
    Version,
    known_stages,
    show,
    versions,
)
from rnnpipe.storage.files import sha256_directory
from rnnpipe.storage.paths import current_name, paths_of

logger = logging.getLogger(__name__)

_UNFINISHED = ".unfinished-"
_LONGEST_WAIT_SECONDS = 1800


def find(
    model: str | None,
    root: Path = Path(),
    name: str | None = None,
    needed: Sequence[str] = MODEL_FILES,
    if_refused: str | None = "think twice about its answers",
) -> Path:
    """Find a model folder by path, version (``v0.2.0``) or stage (``prod``).

    Without ``model`` it is the work tree's model, else the version in stage ``prod``. A version
    is fetched from the DVC cache or remote into ``.rnnpipe/models/HASH`` and checked by hash.

    Args:
        model: path, version or stage; a folder named like one of the last two needs ``./``.
        root: the project's folder.
        name: the model's name; None: the problem in ``params.yaml``.
        needed: files without which a folder is no model.
        if_refused: what the log advises where the decision beside the folder refuses the model;
            None: nothing is said.

    Raises:
        RegistryError: there is no such model; known versions are listed.
    """
    root = Path(root)
    if model is not None and not VERSION.fullmatch(model) and model not in known_stages(root):
        folder = Path(model)
        check_model(folder, needed, paths_of(name).run if name else "dvc repro")
        if name:
            _require_problem(folder, name)
            here = root / paths_of(name).model
            if here.is_dir() and folder.samefile(here):
                return _of_the_work_tree(root, name, needed, if_refused)
        verify(folder, needed)
        if name and if_refused:
            _warn(folder, _beside(folder, name), if_refused)
        return folder
    name = model_name(root, name)
    here = paths_of(name).model
    if model is None and (root / here).is_dir():
        return _of_the_work_tree(root, name, needed, if_refused)
    wanted = model or STAGES[-1]
    known = versions(root, name)
    for version in known:
        if wanted == version.version or wanted in version.stages:
            folder = fetch(root, version)
            check_model(folder, needed)
            verify(folder, needed, version.decision.model)
            if if_refused:
                _warn(folder, version.decision, if_refused)
            return folder
    listed = ", ".join(map(str, known))
    asked = f"no version of {name} is {wanted}" if model else f"{here} is not here"
    raise RegistryError(
        f"{asked}; known versions: {listed or 'none'}."
        f" Run {paths_of(name).run} to train a model, or git fetch --tags to learn of others'"
    )


def model_name(root: Path, problem: str | None) -> str:
    """What the model of a problem is called, by default of the one in ``params.yaml``."""
    return paths_of(problem or load_params(root / PARAMS_FILE).problem).model_name


def _of_the_work_tree(root: Path, name: str, needed: Sequence[str], if_refused: str | None) -> Path:
    """The model that the pipeline built, if it is the one that was judged."""
    paths = paths_of(name)
    folder, decision = root / paths.model, root / paths.decision
    check_model(folder, needed, paths.run)
    judged = read_decision(decision) if decision.exists() else None
    verify(folder, needed, judged.model if judged else None)
    if judged and if_refused:
        _warn(folder, judged, if_refused)
    return folder


def _beside(folder: Path, name: str) -> Decision | None:
    """The decision on a copied folder, if it was copied with it."""
    path = folder.with_name(paths_of(name).decision.name)
    try:
        judged = read_decision(path)
    except RegistryError:
        return None
    return judged if judged.model == sha256_directory(folder) else None


def _warn(folder: Path, judged: Decision | None, advice: str) -> None:
    if judged and judged.verdict == "refused":
        reasons = "; ".join(str(gate) for gate in judged.reasons if not gate.passed)
        logger.warning("%s was refused (%s): %s", folder, reasons, advice)


class _Named(BaseModel):
    problem: str


def _require_problem(folder: Path, name: str) -> None:
    """Refuse another problem's model; one that names none is left to who reads it."""
    try:
        found = read_document(_Named, folder / "params.json", "", "").problem
    except RegistryError:
        return
    if current_name(found) != current_name(name):
        raise RegistryError(
            f"{folder} is a model of {quoted(found)}, expected one of {current_name(name)}"
        )


def fetch(root: Path, version: Version) -> Path:
    """Bring a version's folder into ``.rnnpipe/models/HASH`` and return that path.

    Several processes may ask for it at once: one fetches, the others wait. What lies there already
    is hashed, and fetched anew where it is not what was registered.

    Raises:
        RegistryError: neither the DVC cache nor the DVC remote has it, or its bytes differ.
    """
    expected = version.decision.model
    target = root / FETCHED / expected
    if _is_whole(target, expected):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target.parent):
        if _is_whole(target, expected):  # another process brought it meanwhile
            return target
        for leftover in target.parent.glob(f"{_UNFINISHED}*"):  # of one that died: we are alone
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=target.parent) as unfinished:
            folder = Path(unfinished).resolve() / "model"
            _bring(root, version, folder)
            found = sha256_directory(folder)
            if found != expected:
                raise RegistryError(
                    f"{version.name} {version.version} has SHA-256 {found}, but its registration"
                    f" says {expected}: the DVC cache or remote holds other bytes; run"
                    " dvc fetch --all-tags"
                )
            if target.exists() or target.is_symlink():
                logger.warning("%s was altered or cut off; it is made anew", target)
                _remove(target)
            folder.replace(target)
    logger.info("fetched %s %s", version.name, version.version)
    return target


def _is_whole(folder: Path, expected: str) -> bool:
    return folder.is_dir() and sha256_directory(folder) == expected


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process fetches into a folder."""
    lock = FileLock(folder / ".lock")
    try:
        with lock.acquire(timeout=_LONGEST_WAIT_SECONDS):
            yield
    except Timeout:
        raise RegistryError(
            f"another process has been fetching into {folder} for {_LONGEST_WAIT_SECONDS / 60:.0f}"
            " minutes: end it, or wait for it, and run the same command again"
        ) from None


def _bring(root: Path, version: Version, folder: Path) -> None:
    """Have DVC write a version's files into a new folder, if they are plain files with plain names.

    What a commit, its lock and the remote say of them comes from whoever could push it.
    """
    locked_model(show(root, version.commit, lock_path(version.name)), version.name)
    source = paths_of(version.name).model.as_posix()
    listed = parse_document(
        tuple[_Listed, ...],
        dvc(root, "list", ".", source, "--rev", version.commit, "--json", "--recursive"),
        f"{version.name} {version.version} holds what no model holds",
        "it was not published by rnnpipe; remove its tags with git tag -d",
    )
    if not listed:
        raise RegistryError(f"{version.name} {version.version} holds no files: publish it again")
    dvc(root, "get", ".", source, "--rev", version.commit, "--out", str(folder))


class _Listed(BaseModel):
    """A file as ``dvc list`` tells it: a name, and no folder in between."""

    path: Name
    isdir: Literal[False]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
