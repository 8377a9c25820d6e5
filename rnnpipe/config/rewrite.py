"""A parameter file changed in few lines: all others stay byte for byte, comments too."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from rnnpipe.config.load import Params, check_params, parse_values, sections_of
from rnnpipe.errors import ParameterError, printable

# What YAML 1.1 and 1.2 both read as this very text, without quotes.
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_NO_TEXT = frozenset(["null", "true", "false", "yes", "no", "on", "off", "y", "n"])


@dataclass(frozen=True)
class Change:
    """A value that a parameter is to have, by its dotted name, and why: the comment behind it."""

    key: str
    value: Any
    why: str


@dataclass(frozen=True)
class Survey:
    """What a problem found in a source, and what it proposes.

    Attributes:
        found: lines to read: what is there, and why it is read as it is.
        changes: of the parameters.
        then: the commands that come next.
    """

    found: tuple[str, ...]
    changes: tuple[Change, ...]
    then: tuple[str, ...]


def default_of(kind: type[Params], key: str) -> Any:
    """Return the value that a parameter has where a file does not name it."""
    section, _, name = key.partition(".")
    return sections_of(kind)[section].model_fields[name].get_default(call_default_factory=True)


def defaults_again(
    kind: type[Params], values: Mapping[str, Any], reference: Mapping[str, Any], name: str
) -> Iterator[Change]:
    """Return to the default what a file says for the reference data alone, and no other data want.

    Args:
        kind: the parameters of the problem.
        values: of the file as it stands; what a person has changed in it stays.
        reference: by dotted name what the reference data ask for.
        name: of the reference data.
    """
    for key, value in reference.items():
        section, _, parameter = key.partition(".")
        default = default_of(kind, key)
        if (values.get(section) or {}).get(parameter) == value != default:
            yield Change(key, default, f"the default; {value} is for {name}")


def whole_file(kind: type[Params], problem: str) -> str:
    """Return a parameter file of a problem in which everything has its default."""
    values = kind.model_validate({"problem": problem}).model_dump(by_alias=True)
    lines = [
        "# Every tunable of the pipeline, one section a stage. `rnnpipe params` explains each."
    ]
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines += ["", *_section(name, value)]
        else:
            lines.append(f"{name}: {_written(value)}")
    return "\n".join([*lines, ""])


def rewritten(text: str, kind: type[Params], changes: Iterable[Change], name: str) -> str:
    """Return a parameter file with some values changed, and a comment behind each.

    Sections that it lacks come with their defaults, for DVC asks for every one. Where a value is
    what it should be, its line stays as it is.

    Args:
        text: of the file as it stands.
        kind: the parameters of its problem.
        changes: a parameter each.
        name: what an error calls the file.

    Raises:
        ParameterError: the file as it stands or as it would be is not allowed, or is written in
            a way that no line can be changed in.
    """
    before = parse_values(text, name)
    before = {key: value for key, value in before.items() if value is not None}
    check_params(before, name)
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = as_they_stand = text.replace("\r\n", "\n").splitlines()
    expected = {
        key: dict(value) if isinstance(value, dict) else value for key, value in before.items()
    }
    for section, fields in sections_of(kind).items():
        if section not in expected:
            expected[section] = fields().model_dump(by_alias=True)
            lines = _with_section(lines, section, expected[section])
    for change in changes:
        section, _, key = change.key.partition(".")
        values = expected[section]
        if (
            key in values
            and type(values[key]) is type(change.value)
            and values[key] == change.value
        ):
            continue
        values[key] = change.value
        lines = _with_value(lines, section, change, values)
    after = text if lines == as_they_stand else newline.join([*lines, ""])
    if parse_values(after, name) != expected:
        wanted = ", ".join(f"{change.key}: {_written(change.value)}" for change in changes)
        raise ParameterError(
            f"{name} is written in a way that no line of it can be changed safely: expected a block"
            f" a section, a line a parameter; set by hand: {wanted}"
        )
    check_params(expected, name)
    return after


def _with_section(lines: list[str], section: str, values: Mapping[str, Any]) -> list[str]:
    """Put a section in the place of an empty one, or at the end."""
    block = _section(section, values)
    found = _entry(_root(lines), section)
    if found is None:
        return [*lines, "", *block]
    first, last = found[0].start_mark.line, _last_line(found)
    return [*lines[:first], *block, *lines[last + 1 :]]


def _with_value(
    lines: list[str], section: str, change: Change, values: Mapping[str, Any]
) -> list[str]:
    key = change.key.partition(".")[2]
    found = _entry(_root(lines), section)
    assert found is not None  # all sections are there
    node = found[1]
    if not isinstance(node, yaml.MappingNode) or node.flow_style or not node.value:
        block = _section(section, values, {key: change.why})
        return [*lines[: found[0].start_mark.line], *block, *lines[_last_line(found) + 1 :]]
    entry = _entry(node, key)
    if entry is None:
        at = _last_line(node.value[-1]) + 1
        indent = " " * node.value[0][0].start_mark.column
        return [*lines[:at], indent + _line(key, change.value, change.why), *lines[at:]]
    first = entry[0].start_mark
    indent = lines[first.line][: first.column]
    new = indent + _line(key, change.value, change.why)
    return [*lines[: first.line], new, *lines[_last_line(entry) + 1 :]]


def _root(lines: list[str]) -> yaml.Node | None:
    try:
        return yaml.compose("\n".join(lines), yaml.SafeLoader)
    except yaml.YAMLError:
        return None  # what comes of it is compared with what was meant


def _entry(node: yaml.Node | None, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next(((name, value) for name, value in pairs if name.value == key), None)


def _last_line(entry: tuple[yaml.Node, yaml.Node]) -> int:
    """The last line that a value takes; a block's own end is where the next thing begins."""
    key, node = entry
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        key, node = last if isinstance(last, tuple) else (last, last)
    end = node.end_mark
    ends_before = end.column == 0 and end.line > node.start_mark.line
    return max(key.start_mark.line, end.line - ends_before)


def _section(
    name: str, values: Mapping[str, Any], why: Mapping[str, str] | None = None
) -> list[str]:
    return [
        f"{name}:",
        *(f"  {_line(key, value, (why or {}).get(key, ''))}" for key, value in values.items()),
    ]


def _line(key: str, value: Any, why: str) -> str:
    comment = " ".join(printable(why).split())
    return f"{key}: {_written(value)}" + (f"  # {comment}" if comment else "")


def _written(value: Any) -> str:
    """A value as YAML 1.1 and 1.2 both read it, on one line."""
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value.lower() not in _NO_TEXT:
            return value
        return json.dumps(value, ensure_ascii=not value.isprintable())
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_written(k)}: {_written(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)
