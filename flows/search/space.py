"""What a search may try: the file, its check against the parameters, and what of it needs which stage."""

import itertools
import math
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from flows.dag import short_name
from flows.workspace import check_overrides
from rnnpipe.config.load import Params, listed_faults, read_values, shortened
from rnnpipe.errors import ParameterError, quoted, shown
from rnnpipe.storage.paths import current_name, paths_of, problem_names

Value = bool | int | float | str | None
_EXPONENT = re.compile(r"[+-]?\d+(\.\d+)?[eE][+-]?\d+")


def _number(value: Any) -> Any:
    """YAML takes 1e-3 for a text; here it is a number."""
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Range(_Part):
    """Numbers from ``low`` to ``high``, both included; whole ones where all that is given is whole.

    Attributes:
        step: distance between the numbers tried; none: 1 for whole ones, any for others.
        log: whether each order of magnitude is tried as often as any other.
    """

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether the numbers are whole."""
        return all(isinstance(n, int) for n in (self.low, self.high, self.step or 1))

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low is {self.low}, high {self.high}: expected low below high")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low}: a logarithmic range begins above 0")
        if self.log and self.step is not None:
            raise ValueError("a logarithmic range has no step")
        if self.step is not None:
            steps = (self.high - self.low) / self.step if self.step > 0 else 0
            if round(steps) < 1 or not math.isclose(steps, round(steps)):
                raise ValueError(
                    f"step is {self.step}: expected one that leads from {self.low} to {self.high}"
                )
        return self

    @field_validator("low", "high", "step", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        return _number(value)


class Space(_Part):
    """A search: what is tried, how often, and which figure decides.

    Attributes:
        name: of the search, its trials and its report; by default that of the file.
        problem: whose pipeline.
        minimize: the figure of a training's epochs that shall be small, such as validation_loss.
        maximize: the one that shall be large instead; one of the two.
        trials: how many sets of parameters are tried.
        seed: of whoever proposes them.
        prune: end a trial whose figure after an epoch is worse than the median's.
        fixed: parameters by dotted name that all trials, and the default beside them, have in
            common; ``set`` in the file.
        space: parameters by dotted name, each with a range or a list of choices.
    """

    name: str | None = None
    problem: Annotated[str, AfterValidator(current_name)] = "classification"
    minimize: str | None = None
    maximize: str | None = None
    trials: int = Field(20, ge=1, le=100_000)
    seed: int = Field(1, ge=0, lt=2**31)
    prune: bool = True
    fixed: dict[str, Any] = Field({}, alias="set")
    space: dict[str, Range | list[Annotated[Value, BeforeValidator(_number)]]] = Field(min_length=1)

    @property
    def figure(self) -> str:
        """The figure that decides."""
        return self.minimize or self.maximize or ""

    @property
    def identity(self) -> dict[str, Any]:
        """All that makes trials comparable: not the name, nor how many there are."""
        return self.model_dump(mode="json", by_alias=True, exclude={"name", "trials"})

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if self.problem not in problem_names():
            raise ValueError(
                f"problem is {self.problem!r}, expected one of: {', '.join(problem_names())}"
            )
        if bool(self.minimize) == bool(self.maximize):
            raise ValueError("expected one of minimize and maximize, with the name of a figure")
        if not self.figure.startswith("validation_"):
            raise ValueError(
                f"the figure is {self.figure!r}, expected one taken on validation, such as"
                " validation_loss: the test split chooses nothing"
            )
        for key, choices in self.space.items():
            if key in self.fixed:
                raise ValueError(f"{key} is both in set and in space")
            if isinstance(choices, list) and len(set(map(repr, choices))) < max(2, len(choices)):
                raise ValueError(f"{key}: found {choices}, expected two different choices or more")
        return self


def read_space(path: Path) -> Space:
    """Read the file of a search.

    Raises:
        ParameterError: it is missing, or no YAML, or holds what is not allowed.
    """
    if not path.is_file():
        raise ParameterError(f"{path} is not here: name the file with the space of the search")
    values = read_values(path)
    try:
        return Space.model_validate(values)
    except ValidationError as error:
        raise ParameterError(
            listed_faults(f"{path}: {_sentence(f)}" for f in error.errors())
        ) from None


def check_space(space: Space, params_text: str, name: str) -> Params:
    """Check every bound and choice against the parameters, each by itself.

    Args:
        space: of the search.
        params_text: content of the problem's ``params.yaml``.
        name: what an error calls the space.

    Returns:
        The parameters with what the search sets, which is the default of the search.

    Raises:
        ParameterError: a parameter is unknown, or a value not allowed.
    """
    faults = []

    def fault(key: str, value: Value) -> str:
        try:
            check_overrides(params_text, {**space.fixed, key: value}, name)
        except ParameterError as error:
            return str(error)
        return ""

    for key, tried in space.space.items():
        if isinstance(tried, list):
            values = tried
        else:
            values = [tried.low, tried.low + (tried.step or 0), tried.high]
        found = [text for value in values if (text := fault(key, value))]
        if not found and isinstance(tried, Range) and tried.whole and tried.step is None:
            between = tried.low + 0.5
            if not fault(key, between):
                found = [
                    f"{name}: {key} may be {between}, but its range is of whole numbers: write"
                    f" low: {float(tried.low)}, or step: 1 if that is meant"
                ]
        faults += found
    if faults:
        raise ParameterError(listed_faults(faults))
    return check_overrides(params_text, space.fixed, name)


def divide_stages(
    space: Space, dag: Mapping[str, Collection[str]], folder: Path
) -> tuple[list[str], list[str]]:
    """Divide the stages up to the training into those that all trials share and the others.

    Args:
        space: of the search.
        dag: the stages of the problem's pipeline, each with those it needs, in order.
        folder: of the project, with every ``dvc.yaml``.

    Returns:
        The shared stages, and those that each trial runs by itself, both in order; the last of
        the second is ``train``.

    Raises:
        ParameterError: the training does not depend on a parameter of the space.
    """
    last = training_stage(space.problem, dag)
    needed = _with_ancestors(last, dag)
    sections = {key.partition(".")[0] for key in space.space}
    read = {stage: _sections_read(stage, space.problem, folder) for stage in needed}
    if idle := sections - set(itertools.chain(*read.values())):
        raise ParameterError(
            f"space: {', '.join(sorted(idle))} comes after the training or beside it, and changes"
            " nothing of what decides the search"
        )
    own: list[str] = []
    for stage in needed:
        if read[stage] & sections or not set(own).isdisjoint(dag[stage]):
            own.append(stage)
    return [stage for stage in needed if stage not in own], own


def training_stage(problem: str, dag: Collection[str]) -> str:
    """Return the name by which DVC takes a problem's stage ``train``."""
    prefix = (paths_of(problem).pipeline / "dvc.yaml").as_posix()
    (name,) = (stage for stage in dag if stage in ("train", f"{prefix}:train"))
    return name


def _with_ancestors(stage: str, dag: Mapping[str, Collection[str]]) -> list[str]:
    wanted, found = [stage], {stage}
    while wanted:
        for need in dag[wanted.pop()]:
            if need not in found:
                found.add(need)
                wanted.append(need)
    return [name for name in dag if name in found]


def _sections_read(stage: str, problem: str, folder: Path) -> set[str]:
    """Sections of the problem's own parameters that a stage reads."""
    file = stage.rpartition(":")[0] or "dvc.yaml"
    pipeline = yaml.safe_load((folder / file).read_text(encoding="utf-8"))
    own = paths_of(problem).params.as_posix()
    return {
        key.partition(".")[0]
        for entry in pipeline["stages"][short_name(stage)].get("params", [])
        for params_file, keys in _by_file(entry)
        if params_file == own
        for key in keys
    }


def _by_file(entry: str | Mapping[str, list[str]]) -> Iterator[tuple[str, list[str]]]:
    if isinstance(entry, str):
        yield "params.yaml", [entry]
    else:
        yield from entry.items()


def _sentence(fault: Any) -> str:
    where = ".".join(shown(part) for part in fault["loc"] if part not in ("Range", "list"))
    match fault["type"]:
        case "value_error":
            told = shortened(" ".join(str(fault["ctx"]["error"]).split()))
            return f"{where}: {told}" if where else told
        case "extra_forbidden":
            known = ", ".join(field.alias or name for name, field in Space.model_fields.items())
            return f"{where} is unknown; a search has: {known}; a range: low, high, step, log"
        case _:
            told = shortened(fault["msg"])
            return f"{where} is {quoted(fault['input'])}: {told[0].lower()}{told[1:]}"
