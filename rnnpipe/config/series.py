"""How a series is divided and cut, as a section of parameters."""

import itertools
import math
from typing import Literal

from pydantic import field_validator, model_validator

from rnnpipe.config.section import Section, knob

# How a person names the step of a series.
STEP_PATTERN = (
    r"^(?:(?P<word>hourly|daily|business-daily|weekly|monthly|quarterly|yearly)"
    r"|(?:(?P<size>[1-9][0-9]{0,11}) )?"
    r"(?P<unit>microsecond|second|minute|hour|day|week|business day|month|quarter|year)s?)"
    r"(?: on (?:day (?P<day>[1-9]|[12][0-9]|3[01])"
    r"|the (?P<place>last day|first business day|last business day)))?$"
)


class Windows(Section):
    """How a series is divided in time and cut into windows of a past and a future."""

    train: int | float | None = knob(
        8640,
        "steps to learn from, the first ones: a share of the series below 1, else their number; null: all"
        " before those of validation and test, which are then the last ones",
        "the scaling is taken from them alone; ETTh1: 12 months of 30 days",
        gt=0,
    )
    validation: int | float = knob(
        2880, "steps after them to choose by, as share or number", "ETTh1: 4 months", gt=0
    )
    test: int | float = knob(
        2880, "steps after those to judge by, as share or number", "ETTh1: 4 months", gt=0
    )
    look_back: int = knob(
        720,
        "steps that a forecast is made from",
        "longer: sees more seasons, slower; figures compare only at the same look-back",
        ge=1,
        le=100_000,
    )
    horizons: list[int] = knob(
        [96, 192, 336, 720],
        "steps ahead that are judged, rising; the network gives as many as the last one says",
        "each is judged on all windows whose targets, so many, lie in the split",
        min_length=1,
    )
    season: int = knob(
        24, "steps after which the seasonal naive forecast repeats", "hourly data: 24 or 168", ge=1
    )
    fill: Literal["last", "season", "zero"] = knob(
        "last",
        "what a network reads where a value is missing: the last one again, the one of a season before,"
        " or zero; what is missing is neither learnt from nor judged",
        "zero: where no row means that nothing was sold",
    )

    @field_validator("horizons")
    @classmethod
    def _horizons_rise(cls, horizons: list[int]) -> list[int]:
        if horizons[0] < 1 or any(a >= b for a, b in itertools.pairwise(horizons)):
            raise ValueError(f"horizons is {horizons}, expected rising numbers from 1 on")
        return horizons

    @model_validator(mode="after")
    def _parts_fit(self) -> "Windows":
        parts = [part for part in (self.train, self.validation, self.test) if part is not None]
        shares = [part for part in parts if part < 1]
        if sum(shares) > 1 + 1e-9:
            raise ValueError(f"the shares train, validation and test are {shares}: more than 1")
        if any(not math.isfinite(part) or (part >= 1 and part != int(part)) for part in parts):
            raise ValueError("train, validation and test: a number of steps is whole")
        if self.season > self.look_back:
            raise ValueError(
                f"season is {self.season}, but look_back only {self.look_back}: raise the second"
            )
        return self
