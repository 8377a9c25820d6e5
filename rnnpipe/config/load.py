"""Every tunable of the pipeline: typed, bounded, frozen; the only reader of ``params.yaml``.

One section a stage, named after it. A key nobody knows, a value of the wrong type, or one
out of range ends in a :class:`~rnnpipe.errors.ParameterError` that names the key.
"""

import difflib
import logging
import reprlib
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rnnpipe.config.section import Section
from rnnpipe.errors import ParameterError, shown
from rnnpipe.storage.files import atomic_file
from rnnpipe.storage.paths import current_name, problem_names

logger = logging.getLogger(__name__)

PARAMS_FILE = Path("params.yaml")
_MOST_BYTES = 1 << 20
_MOST_VALUES = 100_000
_DEEPEST = 100
_MOST_FAULTS = 10
_MERGE = "it holds git's marks of a conflict: resolve it first"
# A value within an error: it may be of any size, and repeat itself by aliases.
_QUOTES = reprlib.Repr()
_QUOTES.maxlevel = 4
_QUOTES.maxdict = _QUOTES.maxlist = _QUOTES.maxtuple = _QUOTES.maxset = 20
_QUOTES.maxstring = _QUOTES.maxlong = _QUOTES.maxother = 200
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
        _yaml().dump(values, partial)
    return params


def read_values(path: Path) -> dict[str, Any]:
    """Read a parameter file, whole or only of what differs, as it stands: unchecked.

    Raises:
        ParameterError: the file cannot be read, or as :func:`parse_values`.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        return parse_values(content.decode(), str(path))
    except FileNotFoundError:
        raise ParameterError(
            f"{path} is not here: run rnnpipe in the project's folder, where params.yaml lies"
        ) from None
    except OSError as error:
        raise ParameterError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ParameterError(f"{path} is not valid YAML: it is no UTF-8: {error.reason}") from None
    except ValueError as error:  # a path that none can be
        raise ParameterError(f"{path} cannot be read: {shortened(str(error))}") from None


def parse_values(text: str, name: str) -> dict[str, Any]:
    """Return what a parameter file of this content holds, unchecked.

    Args:
        text: YAML, a mapping.
        name: what an error calls it.

    Raises:
        ParameterError: it is no YAML mapping, too large, or unfolds without end.
    """
    values = parse_yaml(text, name)
    if not isinstance(values, dict):
        raise ParameterError(f"{name}: found {type(values).__name__}, expected sections with keys")
    return values


def parse_yaml(text: str, name: str) -> Any:
    """Return a value that somebody wrote as YAML, read as DVC reads it.

    That is YAML 1.2: ``010`` is ten, ``yes`` is a word. So both see the same values.

    Raises:
        ParameterError: it is no YAML, too large, or unfolds without end.
    """
    if len(text.encode("utf-8", "surrogatepass")) > _MOST_BYTES:
        raise ParameterError(
            f"{name} is larger than {_MOST_BYTES:,} bytes, which no parameters are: name what is"
            " meant"
        )
    if not nested_within(text, _DEEPEST):
        raise ParameterError(f"{name} is nested deeper than {_DEEPEST} levels: write it flat")
    try:
        value = _yaml().load(text)
    # A date that does not exist, endless digits, an alias of what is not there yet.
    except (YAMLError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise ParameterError(
            f"{name} is not valid YAML: {shortened(' '.join(str(error).split()))}"
            + (f": {_MERGE}" if "<<<<<<<" in text else "")
        ) from None
    if not _unfolds_within(value, _MOST_VALUES):
        raise ParameterError(
            f"{name} holds more than {_MOST_VALUES:,} values once its aliases are unfolded: write"
            " out what is meant"
        )
    return value


def nested_within(text: str, deepest: int) -> bool:
    """Tell whether YAML is nested at most so deep.

    To be asked before it is read: libyaml composes by recursion in C, where what is nested too deep
    ends the process instead of raising an error.
    """
    depth = 0
    try:
        for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > deepest:
                return False
    except yaml.YAMLError:
        pass  # what follows is not read either
    return True


def _yaml() -> YAML:
    """Read and write as DVC reads, sections in their order."""
    reader = YAML(typ="safe")
    # Its stubs say None alone.
    reader.default_flow_style = False
    reader.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    return reader


def shortened(text: str, most: int = 300) -> str:
    """Return a text for an error: what is quoted may be of any length.

    >>> shortened("a" * 9, most=4)
    'aaaa… (9 characters)'
    """
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def _unfolds_within(value: Any, most: int) -> bool:
    """Whether a value has at most so many parts, those counted twice that aliases repeat."""
    waiting, seen = [value], 0
    while waiting:
        seen += 1
        if seen + len(waiting) > most:
            return False
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple | set):
            waiting += part
    return True


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
        raise ParameterError(
            listed_faults(f"{name}: {_sentence(kind, f)}" for f in error.errors())
        ) from None


def listed_faults(faults: Iterable[str]) -> str:
    """Return the first of many faults, a line each, without repeating one."""
    lines = list(dict.fromkeys(faults))
    more = len(lines) - _MOST_FAULTS
    return "\n".join([*lines[:_MOST_FAULTS], *([f"and {more:,} faults more"] if more > 0 else [])])


def _kind_of(values: Mapping[str, Any], name: str) -> type[Params]:
    problem = values.get("problem", "classification")
    if not isinstance(problem, str) or current_name(problem) not in problem_names():
        known = ", ".join(problem_names())
        raise ParameterError(
            f"{name}: problem is {_QUOTES.repr(problem)}, expected one of: {known}"
        )
    return params_of(current_name(problem))


def _sentence(kind: type[Params], fault: Any) -> str:
    location = [str(part) for part in fault["loc"]]
    key = ".".join(map(shown, fault["loc"]))
    match fault["type"]:
        case "extra_forbidden":
            known = _known_keys(kind, location[:-1])
            near = difflib.get_close_matches(location[-1], known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            return f"{key} is no parameter; {hint}"
        case "missing":
            return f"{key} is missing"
        case "value_error":
            return shortened(" ".join(str(fault["ctx"]["error"]).split()))
        case _:
            told = shortened(fault["msg"])
            return (
                f"{key} is {shortened(_QUOTES.repr(fault['input']))}: {told[0].lower()}{told[1:]}"
            )


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
