"""Parameters as a person looks them up: range, default, meaning, impact."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from rnnpipe.config.load import Params, sections_of


@dataclass(frozen=True)
class Description:
    """What a person wants to know of a parameter."""

    name: str
    default: Any
    allowed: str
    meaning: str
    impact: str


def describe_params(kind: type[Params]) -> Iterator[Description]:
    """Describe every parameter of a problem, by its dotted name, in the order of the file."""
    yield _describe("problem", kind.model_fields["problem"])
    for section_name, section in sections_of(kind).items():
        for key, field in section.model_fields.items():
            yield _describe(f"{section_name}.{key}", field)


def _describe(name: str, field: FieldInfo) -> Description:
    extra = field.json_schema_extra
    impact = str(extra["impact"]) if isinstance(extra, dict) else ""
    return Description(name, field.default, _allowed(field), field.description or "", impact)


def _allowed(field: FieldInfo) -> str:
    """What a parameter may be, as a person writes it: ``lstm | gru``, ``int >= 1, <= 4096``."""
    optional = get_origin(field.annotation) is UnionType
    kinds = map(_kind, get_args(field.annotation) if optional else [field.annotation])
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [
        f"{signs[name]} {getattr(bound, name):g}"
        for bound in field.metadata
        for name in signs
        if hasattr(bound, name)
    ]
    return ", ".join([" ".join([" | ".join(kinds), *bounds[:1]]), *bounds[1:]])


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " | ".join(map(str, get_args(annotation)))
    if get_origin(annotation) is dict:
        return "mapping"
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    return {type(None): "null", str: "text"}.get(annotation) or annotation.__name__
