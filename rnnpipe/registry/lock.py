"""What a ``dvc.lock`` says of the model, whoever wrote it."""

from typing import Annotated

import yaml
from pydantic import BaseModel, Field

from rnnpipe.errors import RegistryError
from rnnpipe.storage.paths import paths_of


def lock_path(name: str) -> str:
    """Return the path of the lock that holds a model's hash."""
    return (paths_of(name).pipeline / "dvc.lock").as_posix()


class _Output(BaseModel):
    path: Annotated[str, Field(max_length=1000)]
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")] | None = None


class _Stage(BaseModel):
    outs: Annotated[tuple[_Output, ...], Field(max_length=1000)] = ()


class _Lock(BaseModel):
    stages: Annotated[dict[str, _Stage], Field(max_length=1000)] = {}


def outputs(lock: str, origin: str) -> dict[str, str]:
    """DVC's hash of every output that a ``dvc.lock`` names.

    Raises:
        RegistryError: the text is no lock.
    """
    try:
        stages = _Lock.model_validate(yaml.safe_load(lock) or {}).stages
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise RegistryError(
            f"{origin} is no lock of DVC ({type(error).__name__}): put it back with git checkout,"
            " or remove it and run dvc repro"
        ) from None
    return {out.path: out.md5 or "" for stage in stages.values() for out in stage.outs}


def locked_model(lock: str, name: str) -> str:
    """Return the hash of the model that a lock holds.

    Raises:
        RegistryError: the text is no lock, or does not name the model.
    """
    path = paths_of(name).model.as_posix()
    found = outputs(lock, lock_path(name))
    if path not in found:
        raise RegistryError(
            f"{lock_path(name)} does not name {path}: run dvc repro, which builds it"
        )
    return found[path]
