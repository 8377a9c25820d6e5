"""A model found by its folder, its version or its stage."""

import logging
from collections.abc import Sequence
from pathlib import Path

from rnnpipe.config.load import PARAMS_FILE, load_params
from rnnpipe.errors import RegistryError
from rnnpipe.registry.folder import MODEL_FILES, check_model
from rnnpipe.registry.git import dvc
from rnnpipe.registry.versions import (
    FETCHED,
    STAGES,
    VERSION,
    Version,
    known_stages,
    versions,
)
from rnnpipe.storage.files import atomic_directory, read_json, sha256_directory
from rnnpipe.storage.paths import current_name, paths_of

logger = logging.getLogger(__name__)


def find(
    model: str | None,
    root: Path = Path(),
    name: str | None = None,
    needed: Sequence[str] = MODEL_FILES,
) -> Path:
    """Find a model folder by path, version (``v0.2.0``) or stage (``prod``).

    Without ``model`` it is the work tree's model, else the version in stage ``prod``. A version
    is fetched from the DVC cache or remote into ``.rnnpipe/models/HASH`` and checked by hash.

    Args:
        model: path, version or stage; a folder named like one of the last two needs ``./``.
        root: the project's folder.
        name: the model's name; None: the problem in ``params.yaml``.
        needed: files without which a folder is no model.

    Raises:
        RegistryError: there is no such model; known versions are listed.
    """
    root = Path(root)
    if model is not None and not VERSION.fullmatch(model) and model not in known_stages(root):
        check_model(Path(model), needed)
        if name:
            _require_problem(Path(model), name)
        return Path(model)
    name = model_name(root, name)
    here = paths_of(name).model
    if model is None and (root / here).is_dir():
        check_model(root / here, needed)
        return root / here
    wanted = model or STAGES[-1]
    known = versions(root, name)
    for version in known:
        if wanted == version.version or wanted in version.stages:
            return fetch(root, version)
    listed = ", ".join(map(str, known))
    asked = f"no version of {name} is {wanted}" if model else f"{here} is not here"
    raise RegistryError(
        f"{asked}; known versions: {listed or 'none'}."
        " Run dvc repro to train a model, or git fetch --tags to learn of others'"
    )


def model_name(root: Path, problem: str | None) -> str:
    """What the model of a problem is called, by default of the one in ``params.yaml``."""
    return paths_of(problem or load_params(root / PARAMS_FILE).problem).model_name


def _require_problem(folder: Path, name: str) -> None:
    """Refuse another problem's model; one that names none is left to who reads it."""
    try:
        found = read_json(folder / "params.json")["problem"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if current_name(found) != current_name(name):
        raise RegistryError(f"{folder} is a model of {found}, expected one of {current_name(name)}")


def fetch(root: Path, version: Version) -> Path:
    """Bring a version's folder into ``.rnnpipe/models/HASH`` and return that path.

    Raises:
        RegistryError: neither the DVC cache nor the DVC remote has it, or its bytes differ.
    """
    expected = version.decision.model
    target = root / FETCHED / expected
    if target.is_dir() and sha256_directory(target) == expected:
        return target
    with atomic_directory(target) as folder:
        folder.rmdir()  # dvc get would put the model inside an existing folder
        source = paths_of(version.name).model.as_posix()
        dvc(root, "get", ".", source, "--rev", version.commit, "--out", str(folder.resolve()))
        found = sha256_directory(folder)
        if found != expected:
            raise RegistryError(
                f"{version.name} {version.version} has SHA-256 {found}, but its registration says"
                f" {expected}: the DVC cache or remote holds other bytes; run dvc fetch --all-tags"
            )
    logger.info("fetched %s %s", version.name, version.version)
    return target
