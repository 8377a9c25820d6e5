"""Every tunable of the pipeline: typed, bounded, frozen; the only reader of ``params.yaml``.

One section a stage, named after it. A key nobody knows, a value of the wrong type, or one
out of range ends in a :class:`~rnnpipe.errors.ParameterError` that names the key.
"""

import difflib
import logging
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from rnnpipe.config.section import Section
from rnnpipe.errors import ParameterError
from rnnpipe.storage.files import atomic_file
from rnnpipe.storage.paths import current_name, problem_names

logger = logging.getLogger(__name__)

PARAMS_FILE = Path("params.yaml")
_WARNED: set[str] = set()  # old names that this process has spoken of


class Params(Section):
    """The parameters of some problem; the names of the sections are the names of the stages."""

    problem: str
    if TYPE_CHECKING:
        # Sections that stages of several problems read, each with the problem's own knobs.
        download: Any
        train: Any
        evaluate: Any
        register_: Any


def params_of(problem: str) -> type[Params]:
    """Return the class of a problem's parameters."""
    kind: type[Params] = import_module(f"rnnpipe.problems.{problem}.params").PARAMS
    return kind


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check a parameter file.

    Raises:
        ParameterError: the file is missing or no YAML mapping, or a value is not allowed.
    """
    return check_params(read_values(path), str(path))


def merge_params(
    base: Path, overrides: Mapping[str, Any], out: Path, name: str = "overrides"
) -> Params:
    """Write ``base`` with the values of ``overrides`` in their place, checked, to ``out``.

    Args:
        base: a parameter file.
        overrides: sections with what differs.
        out: the file to write.
        name: what an error calls the overrides.

    Raises:
        ParameterError: as :func:`load_params`, also for a key of the overrides.
    """
    values = read_values(base)
    for section, changes in overrides.items():
        if isinstance(changes, dict) and isinstance(values.get(section), dict):
            values[section] |= changes
        else:
            values[section] = changes
    params = check_params(values, name)
    with atomic_file(out) as partial:
        partial.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return params


def read_values(path: Path) -> dict[str, Any]:
    """Read a parameter file, whole or only of what differs, as it stands: unchecked.

    Raises:
        ParameterError: the file is missing or no YAML mapping.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParameterError(
            f"{path} is not here: run rnnpipe in the project's folder, where params.yaml lies"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ParameterError(f"{path}: found {type(values).__name__}, expected sections with keys")
    return values


def check_params(values: dict[str, Any], name: str = "parameters") -> Params:
    """Check a mapping of sections and return it typed.

    Raises:
        ParameterError: one line for each fault, with the nearest known name of an unknown key.
    """
    kind = _kind_of(values, name)
    old = values.get("problem")
    if isinstance(old, str) and (new := current_name(old)) != old:
        if old not in _WARNED:
            _WARNED.add(old)
            logger.warning("%s: problem: %s is called %s now: write that", name, old, new)
        values = {**values, "problem": new}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = "\n".join(f"{name}: {_sentence(kind, fault)}" for fault in error.errors())
        raise ParameterError(faults) from None


def _kind_of(values: Mapping[str, Any], name: str) -> type[Params]:
    problem = values.get("problem", "classification")
    if not isinstance(problem, str) or current_name(problem) not in problem_names():
        known = ", ".join(problem_names())
        raise ParameterError(f"{name}: problem is {problem!r}, expected one of: {known}")
    return params_of(current_name(problem))


def _sentence(kind: type[Params], fault: Any) -> str:
    location = [str(part) for part in fault["loc"]]
    key = ".".join(location)
    match fault["type"]:
        case "extra_forbidden":
            known = _known_keys(kind, location[:-1])
            near = difflib.get_close_matches(location[-1], known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            return f"{key} is no parameter; {hint}"
        case "missing":
            return f"{key} is missing"
        case "value_error":
            return str(fault["ctx"]["error"])
        case _:
            return f"{key} is {fault['input']!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _known_keys(kind: type[Params], location: list[str]) -> list[str]:
    if not location:
        return [field.alias or name for name, field in kind.model_fields.items()]
    section = sections_of(kind).get(location[0])
    return list(section.model_fields) if section else []


def sections_of(kind: type[Params]) -> dict[str, type[Section]]:
    """Return the sections of a problem's parameters by their names in the file."""
    return {
        field.alias or name: field.annotation
        for name, field in kind.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }
