"""What a section of parameters is: frozen, strict, every knob with its meaning and its impact."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A section of parameters: frozen, strict, and no key that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def knob(default: Any, meaning: str, impact: str, **bounds: Any) -> Any:
    """A parameter with its default, its meaning and its impact, as ``rnnpipe params`` prints them."""
    return Field(default, description=meaning, json_schema_extra={"impact": impact}, **bounds)


# YAML writes 1e-3 and 1 where a float is meant; strict mode would refuse the integer.
Real = Annotated[float, Field(strict=False, allow_inf_nan=False)]


def _without_home(source: str) -> str:
    if source.startswith("~"):
        raise ValueError(
            f"download.source is {source[:100]!r}, expected a path without ~, which DVC does not"
            " know: write the home folder out"
        )
    return source


Source = Annotated[str, AfterValidator(_without_home)]
