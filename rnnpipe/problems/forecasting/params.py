"""The parameters of forecasting, a section a stage."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from rnnpipe.config.load import Params
from rnnpipe.config.section import Real, Section, Source, knob
from rnnpipe.config.series import STEP_PATTERN, Windows
from rnnpipe.config.table import CsvKeys
from rnnpipe.config.training import Recurrence, Training


class SeriesPrepare(CsvKeys):
    """How a table of a time and numbers is read."""

    time_column: str = knob(
        "date",
        'column that holds the time; "" for a nameless one, as pandas writes an index of times',
        "ETTh1: date",
        max_length=1000,
    )
    series_column: str = knob(
        "",
        'column that tells several series apart, such as unique_id; "": there is one series',
        "one network learns from all, and forecasts each from its own past",
        max_length=1000,
    )
    targets: list[Annotated[str, Field(min_length=1, max_length=1000)]] = knob(
        [],
        "columns to forecast; empty: all that hold numbers, but for a nameless one that counts rows",
        "each further one is learnt, forecast, and averaged into the figures",
        max_length=10_000,
    )
    time_order: Literal[
        "auto",
        "year_first",
        "day_first",
        "month_first",
        "seconds",
        "milliseconds",
        "microseconds",
        "nanoseconds",
    ] = knob(
        "auto",
        "how day, month and year stand in a time, or in what it counts since 1970; auto: found",
        "auto refuses a column with two readings, unless steps are regular by one of them alone",
    )
    step: str = knob(
        "auto",
        "what lies between two times: hourly, 15 minutes, daily, business-daily, weekly, monthly,"
        " quarterly, yearly, 1 month on the last day; auto: found",
        "months, quarters and years are steps of the calendar; decides what is a gap",
        pattern=f"^auto$|{STEP_PATTERN}",
    )
    decimal: Literal["auto", ".", ","] = knob(
        "auto", "mark before a fraction; auto: found", "auto refuses numbers with two readings"
    )
    thousands: Literal["auto", "none", ".", ",", " ", "\u00a0", "\u202f", "'", "\u2019"] = knob(
        "auto",
        "mark within a whole number, or none; auto: found",
        "auto refuses numbers with two readings",
    )


class SeriesValidate(Section):
    """What a series must fulfil before anything is learnt from it."""

    max_deviations: Real = knob(
        20.0,
        "farthest that a value may lie from its column's median, in deviations taken without what is"
        " far itself: of the distinct values, each once, the largest of their median deviation and the"
        " middle nine tenths (as a normal column has them) and the spread of those within reach; at"
        " least a billionth of the level",
        "stops a run on an error value, such as -9999, and on a spike; larger: lets more pass",
        gt=0.0,
    )
    max_missing_share: Real = knob(
        0.2,
        "largest share of a column's values that may be missing, steps that are left out among them",
        "0: none; larger: more is filled, and less is learnt from",
        ge=0.0,
        lt=1.0,
    )
    ranges: dict[str, list[Real]] = knob(
        {},
        "least and largest allowed value of a column, by its name: {OT: [-50, 100]}",
        "stops a run on what cannot be in nature",
    )

    @field_validator("ranges")
    @classmethod
    def _ranges_are_pairs(cls, ranges: dict[str, list[float]]) -> dict[str, list[float]]:
        for name, bounds in ranges.items():
            if len(bounds) != 2 or bounds[0] > bounds[1]:
                raise ValueError(
                    f"validate.ranges.{name} is {bounds}, expected [least, largest] in this order"
                )
        return ranges


class ForecastTrain(Training, Recurrence):
    """The forecasting network and its training."""

    decoder: Literal["segments", "direct"] = knob(
        "segments",
        "segments: each column by itself, read and told in segments (after SegRNN, Lin et al."
        " 2023); direct: all columns step by step, the last state gives all steps ahead at once",
        "segments: far better at a long look-back, since the recurrence has few steps",
    )
    segment: int = knob(
        48,
        "steps in a segment; used by segments only",
        "longer: fewer steps of recurrence, faster; hourly data: 24 or 48",
        ge=1,
        le=10_000,
    )
    level_steps: int | None = knob(
        None,
        "last steps whose mean is taken off a window before and put back behind; null:"
        " windows.season of them; no more than windows.look_back",
        "1: forecasts begin at the last value; more: they are less drawn to one step's noise",
        ge=1,
        le=100_000,
    )
    members: int = knob(
        2,
        "networks that learn side by side and answer by their mean",
        "more: steadier forecasts, as many times slower",
        ge=1,
        le=32,
    )
    linear_members: int = knob(
        0,
        "how many of them correct a linear map from past periods, of windows.season steps, to those"
        " ahead, learnt with the rest (after SparseTSF, Lin et al. 2024)",
        "these are better far ahead, in long series",
        ge=0,
        le=32,
    )
    baseline_members: int = knob(
        2,
        "how many of them correct the linear forecaster of the stage baseline; the rest recur alone",
        "these are no worse than that forecaster from the start; those that recur alone are better near",
        ge=0,
        le=32,
    )
    cell: Literal["simple_rnn", "lstm", "gru"] = knob(
        "gru", "kind of recurrent cell", "gru and lstm keep a long past; simple_rnn forgets it"
    )
    hidden_size: int = knob(
        64,
        "units of each recurrent layer; even",
        "larger: more memory of the past, slower",
        ge=2,
        le=4096,
        multiple_of=2,
    )
    dropout_rate: Real = knob(
        0.3,
        "share of the last states, and of those between layers, dropped in training",
        "higher: less learnt by heart",
        ge=0.0,
        lt=1.0,
    )
    precision: Literal["float32", "mixed_bfloat16"] = knob(
        "float32",
        "of the factors in the recurrence's products while training; judging is float32 always",
        "mixed_bfloat16: faster where the processor multiplies it",
    )
    loss: Literal["mae", "mse", "huber"] = knob(
        "huber",
        "what is made small: distances, their squares, or squares up to 1 and distances beyond",
        "mae and huber: less drawn to outliers; mse: what forecasts are judged by",
    )
    batch_size: int = knob(
        128,
        "windows trained on in parallel",
        "larger: faster and stabler steps, fewer of them",
        ge=1,
        le=65_536,
    )
    learning_rate: Real = knob(
        0.001,
        "step size at the start",
        "higher: faster and less stable; lower: slower and stabler",
        gt=0.0,
        le=10.0,
    )
    fraction: Real = knob(
        1.0, "share of the training windows used", "for quick tries", gt=0.0, le=1.0
    )


class ForecastRegister(Section):
    """What a forecaster must show to be registered."""

    max_validation_mse: Real | None = knob(
        None,
        "largest mean squared error on validation, scaled, at the shortest horizon; null: less than"
        " that of the last season repeated",
        "1: as good as knowing each column's mean in train",
        gt=0.0,
    )
    require_better_than_baseline: bool = knob(
        True,
        "refuse a model that is not better than the linear forecaster on validation",
        "false: the baseline is only shown",
    )


class ForecastEvaluate(Section):
    """How the figures of forecasts are taken."""

    bootstrap_samples: int = knob(
        1000, "resamples behind each interval", "more: steadier bounds", ge=100, le=100_000
    )
    confidence: Real = knob(
        0.95, "coverage of the intervals", "0.95: wide; 0.68: narrow", gt=0.0, lt=1.0
    )
    seed: int = knob(1, "seed of the bootstrap", "other resamples", ge=0, lt=2**31)
    examples: int = knob(3, "windows whose forecasts are drawn", "one row each", ge=1, le=20)


class LinearForecast(Section):
    """The linear forecaster beside ours, at the same look-back."""

    ridges: list[Annotated[float, Field(strict=False, allow_inf_nan=False, ge=0.0)]] = knob(
        [1e-06, 0.0001, 0.01, 0.1, 1.0],
        "penalties on the squared weights to choose from, on validation, for each horizon",
        "larger: smoother weights",
        min_length=1,
    )


class SeriesDownload(Section):
    """Where the series comes from."""

    source: Source = knob(
        "data/etth1.json",
        "a source's card (data/etth1.json), or a CSV or parquet file of your own, by path or URL",
        "decides which series everything after it sees",
        min_length=1,
    )


class ForecastingParams(Params):
    """The parameters of the forecasting pipeline."""

    problem: Literal["forecasting"] = knob(
        "forecasting", "what is learnt", "chooses data, network and metrics"
    )
    download: SeriesDownload = SeriesDownload()
    prepare: SeriesPrepare = SeriesPrepare()
    validate_: SeriesValidate = Field(SeriesValidate(), alias="validate")
    windows: Windows = Windows()
    baseline: LinearForecast = LinearForecast()
    train: ForecastTrain = ForecastTrain()
    evaluate: ForecastEvaluate = ForecastEvaluate()
    register_: ForecastRegister = Field(ForecastRegister(), alias="register")

    @model_validator(mode="after")
    def _members_fit(self) -> "ForecastingParams":
        kinds = ("linear_members", "baseline_members")
        found = {name: getattr(self.train, name) for name in kinds}
        if sum(found.values()) > self.train.members:
            told = ", ".join(f"train.{name} is {count}" for name, count in found.items())
            raise ValueError(
                f"{told}, but train.members only {self.train.members}: lower one of them, or raise that"
            )
        return self

    @model_validator(mode="after")
    def _level_fits(self) -> "ForecastingParams":
        if (self.train.level_steps or 1) > self.windows.look_back:
            raise ValueError(
                f"train.level_steps is {self.train.level_steps}, but windows.look_back only"
                f" {self.windows.look_back}: lower the first, or set it to null"
            )
        return self

    @model_validator(mode="after")
    def _segment_fits(self) -> "ForecastingParams":
        if self.train.decoder == "segments" and self.train.segment > self.windows.look_back:
            raise ValueError(
                f"train.segment is {self.train.segment}, but windows.look_back only"
                f" {self.windows.look_back}: lower the first, raise the second,"
                " or set train.decoder to direct"
            )
        return self


PARAMS = ForecastingParams  # by this name the parameter file's reader finds them
