"""Its parameters."""

from typing import Literal

from pydantic import Field

from rnnpipe.config.load import Params
from rnnpipe.config.section import Section, knob
from rnnpipe.config.training import Training


class SlopeDownload(Section):
    source: str = knob("data/points.csv", "a CSV of x and y", "all", min_length=1)


class SlopeEvaluate(Section):
    confidence: float = knob(0.95, "coverage of intervals", "their width", gt=0.5, lt=1.0)


class SlopeRegister(Section):
    max_validation_mse: float = knob(0.5, "largest MSE of an approved model", "gate", ge=0.0)
    require_better_than_baseline: bool = knob(True, "whether it must beat the mean", "gate")


class SlopeParams(Params):
    problem: Literal["slope"] = knob("slope", "what is learnt", "all")
    download: SlopeDownload = SlopeDownload()
    train: Training = Training()
    evaluate: SlopeEvaluate = SlopeEvaluate()
    register_: SlopeRegister = Field(SlopeRegister(), alias="register")


PARAMS = SlopeParams
