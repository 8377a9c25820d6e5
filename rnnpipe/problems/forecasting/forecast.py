"""A registered forecaster on a series' most recent steps: TensorFlow is not needed."""

import logging
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from rnnpipe.config.document import read_document
from rnnpipe.config.section import Section
from rnnpipe.errors import ParameterError, RegistryError, SourceError, quoted
from rnnpipe.networks.onnx_session import require_size
from rnnpipe.problems.forecasting.bands import LARGEST_LEVEL, LEAST_LEVEL, Bands, load_bands
from rnnpipe.problems.forecasting.exported import ExportedForecaster
from rnnpipe.problems.forecasting.files import BANDS, BASELINE
from rnnpipe.problems.forecasting.linear_forecaster import LinearForecaster
from rnnpipe.registry.find import find
from rnnpipe.series.calendar import Step, odd_steps, parse_step
from rnnpipe.series.form import STANDARD, Form
from rnnpipe.series.holes import Fill
from rnnpipe.series.panel import Panel, few_ids
from rnnpipe.series.reading import Choices, read_panel
from rnnpipe.series.table import Scaler, Series, require_regular
from rnnpipe.series.windows import fit_scaler, latest_window, scaler_of
from rnnpipe.storage.csv_format import PLAIN, CsvFormat
from rnnpipe.storage.paths import paths_of

if TYPE_CHECKING:
    from rnnpipe.problems.forecasting.metrics import Forward

logger = logging.getLogger(__name__)

_BATCH = 256  # series that are forecast at once


@dataclass(frozen=True)
class Forecast:
    """What comes next.

    Attributes:
        times: ``datetime64[us][steps]``, behind the last one of the series.
        values: ``float64[steps, columns]``, in the columns' own units.
        names: of the columns.
        time_name: of the column of times.
        form: how the file writes them.
        ids: of each row's series; empty where there is one alone.
        id_name: of the column of these.
        bands: by level in percent the lower and the upper end, ``float64[steps, columns]`` each.
    """

    times: NDArray[np.datetime64]
    values: NDArray[np.float64]
    names: tuple[str, ...]
    time_name: str = "date"
    form: Form = STANDARD
    ids: tuple[str, ...] = ()
    id_name: str = ""
    bands: Mapping[float, tuple[NDArray[np.float64], ...]] = field(default_factory=dict)

    @property
    def shown_times(self) -> list[str]:
        """The times as the file writes them."""
        return self.form.shown(self.times)


def _no_bands() -> Bands:
    raise RegistryError("this forecaster was not loaded from a folder: it knows no bands")


@dataclass(frozen=True)
class Forecaster:
    """A model folder, loaded: a table of the past in, the steps ahead out.

    Attributes:
        names: of the columns that it forecasts.
        time_name: what the column of times was called that it learnt from.
        form: how that file wrote its times and numbers.
        scaler: of the columns; None: each series by its own past.
        step: what lies between two times.
        forecaster: the network, or the linear forecaster that was registered with it.
        forward: its forecast, scaled.
        fill: what it reads where a value is missing.
        season: steps of one, for that.
        series_column: what told series apart where it learnt from many; else empty.
        bands: loads what makes the bands about its forecasts.
    """

    names: tuple[str, ...]
    time_name: str
    form: Form
    scaler: Scaler | None
    step: Step
    forecaster: ExportedForecaster | LinearForecaster
    forward: "Forward"
    fill: Fill = "last"
    season: int = 1
    series_column: str = ""
    bands: Callable[[], Bands] = field(default=_no_bands)

    def forecast(
        self,
        table: str | Path,
        time_column: str | None = None,
        steps: int | None = None,
        csv_format: CsvFormat = PLAIN,
        levels: Sequence[float] = (),
    ) -> Forecast:
        """Read a series and tell how it goes on.

        Args:
            table: a ``.csv`` or ``.parquet`` file with the time, regular, and the columns that the
                model knows, at least as many steps as it looks back; further columns are not read.
            time_column: the file's column of times; None: called as the model knows it.
            steps: how many to tell; None for all that the model gives.
            csv_format: how quotes are written in a CSV.
            levels: of the bands to tell, in percent, 1 to 99.

        Raises:
            SourceError: the table cannot be read, a column is missing, it is too short, or a step
                of time is longer or shorter than the others.
            ParameterError: the model does not give so many steps, or no band of a level.
        """
        table = Path(table)
        given = self.forecaster.horizon
        if steps is not None and not 1 <= steps <= given:
            raise ParameterError(f"found {steps} steps, expected 1 to {given}: the model's horizon")
        for level in levels:
            if not LEAST_LEVEL <= level <= LARGEST_LEVEL:
                raise ParameterError(
                    f"found a level of {level:g}, expected {LEAST_LEVEL} to {LARGEST_LEVEL} percent"
                )
        bands = self.bands() if levels else None
        name = self.time_name if time_column is None else time_column
        told = ", ".join(map(quoted, self.names[:20])) + (", …" if len(self.names) > 20 else "")
        choices = Choices(
            self.names,
            series_column=self.series_column,
            likely=self.form,
            advice=f"The model forecasts {told}.".replace("{", "{{").replace("}", "}}"),
        )
        panel = read_panel(table, name, csv_format, choices)
        for note in panel.form.notes:
            logger.info("%s: %s", table, note)
        latest = list(self._latest(panel, str(table)))
        values = np.concatenate(
            [
                self.forward(np.concatenate([past for *_, past in latest[begin : begin + _BATCH]]))
                for begin in range(0, len(latest), _BATCH)
            ]
        )[:, :steps].astype(np.float64)
        count = values.shape[1]
        ahead = np.arange(1, count + 1)
        return Forecast(
            np.concatenate(
                [
                    self.step.after(np.repeat(part.times[-1:], count), ahead)
                    for _, part, *_ in latest
                ]
            ),
            np.concatenate(
                [scaler.unscale(own) for (_, _, scaler, _), own in zip(latest, values, strict=True)]
            ),
            self.names,
            name,
            panel.form,
            tuple(id_ for id_, *_ in latest for _ in ahead) if panel.id_name else (),
            panel.id_name,
            {
                level: tuple(
                    np.concatenate(
                        [
                            scaler.unscale(own + edge[:count])
                            for (_, _, scaler, _), own in zip(latest, values, strict=True)
                        ]
                    )
                    for edge in bands.at(level)
                )
                for level in levels
            }
            if bands
            else {},
        )

    def _latest(
        self, panel: Panel, origin: str
    ) -> Iterator[tuple[str, Series, Scaler, NDArray[np.float32]]]:
        """Return of each series its id, itself, its scaling, and the window to forecast from.

        Of many series those that are too short are left out, and named in the log.
        """
        left_out, fault = [], None
        for id_, part in zip(panel.ids, panel.parts, strict=True):
            where = f"{origin}, {panel.id_name} {quoted(id_)}" if panel.id_name else origin
            if odd_steps(part.times, self.step):
                require_regular(part, where)
                raise SourceError(
                    f"{where} has a step of {part.step}, the model was trained on steps of"
                    f" {self.step}: bring a series of that step"
                )
            scaler = self.scaler
            if scaler is None:
                whole = range(len(part))
                columns = [part.names.index(name) for name in self.names]
                known = np.isfinite(part.values[:, columns]).any(axis=0).all()
                scaler = (
                    fit_scaler(part.values[:, columns], {"train": whole, "test": whole})
                    if known
                    else Scaler(np.zeros(len(columns)), np.ones(len(columns)))
                )
            try:
                past = latest_window(
                    part, self.names, scaler, self.forecaster.look_back, self.fill, self.season
                )
            except SourceError as error:
                if not panel.id_name:
                    raise
                left_out.append(id_)
                fault = error
                continue
            yield id_, part, scaler, past
        if fault and len(left_out) == len(panel.ids):
            raise SourceError(
                f"{origin}: of {len(left_out):,} series none can be forecast; the last one: {fault}"
            )
        if left_out:
            logger.warning(
                "%s: %d series cannot be forecast: %s (the last one: %s)",
                origin,
                len(left_out),
                few_ids(left_out),
                fault,
            )


def load_forecaster(
    model: str | Path | None = None, root: str | Path = Path(), *, baseline: bool = False
) -> Forecaster:
    """Load a model by path, version (``v0.2.0``) or stage (``prod``).

    Where the model was refused at its registration, a warning in the log says so.

    Args:
        model: which; None takes the work tree's, else the one in stage ``prod``.
        root: the project's folder, where versions and stages are looked up.
        baseline: forecast by the linear forecaster beside the network, which is at times the better
            one.

    Raises:
        RegistryError: there is no such model, or its folder is not whole.
    """
    folder = find(
        None if model is None else str(model),
        Path(root),
        "forecasting",
        if_refused=None
        if baseline
        else "think twice about its answers; --baseline has the linear forecaster's",
    )
    path = folder / "params.json"
    what = f"{path} is of no forecaster"
    advice = (
        "name one with --model, or train it again with `dvc repro pipelines/forecasting/dvc.yaml`"
    )
    saved = read_document(_Saved, path, what, advice)
    missing = [name for name in saved.columns if name not in saved.scaling]
    if saved.series_column:
        missing = []
    if missing or len(set(saved.columns)) < len(saved.columns):
        fault = f"no scaling of {quoted(missing[0])}" if missing else "a column is named twice"
        raise RegistryError(f"{what} ({fault}): {advice}")
    scaling = {name: each.model_dump() for name, each in saved.scaling.items()}
    scaler = None if saved.series_column else scaler_of(saved.columns, scaling)
    step = Step("clock", max(1, round(saved.step_seconds * 1_000_000)))
    if saved.form.step:
        step = parse_step(saved.form.step)
    of = (saved.columns, saved.time_column, saved.form, scaler, step)
    forecaster: ExportedForecaster | LinearForecaster
    if baseline:
        forecaster = linear = _baseline(folder, saved)
        forward: Forward = linear.predict
    else:
        forecaster = network = _network(folder, saved)
        forward = network.forecast
    return Forecaster(
        *of,
        forecaster,
        forward,
        saved.fill,
        saved.season,
        saved.series_column,
        lambda: load_bands(
            folder / BANDS.name,
            "linear" if baseline else "network",
            forecaster.horizon,
            len(saved.columns),
        ),
    )


def _network(folder: Path, saved: "_Saved") -> ExportedForecaster:
    network = ExportedForecaster(folder / "network.onnx")
    _require_sizes(folder / "network.onnx", network, saved)
    require_size(folder / "network.onnx", "columns", network.columns, len(saved.columns))
    network.require_bounded()
    return network


def _baseline(folder: Path, saved: "_Saved") -> LinearForecaster:
    path = folder / BASELINE.name
    if not path.is_file():
        raise RegistryError(
            f"{path} is missing, as from models of before it was kept, and --baseline forecasts by"
            f" it: train it again with `{paths_of('forecasting').run}`, or leave --baseline out"
        )
    try:
        with zipfile.ZipFile(path) as packed:  # ours is not compressed: it unfolds to no more
            if sum(part.file_size for part in packed.infolist()) > path.stat().st_size:
                raise ValueError("it unfolds")
        linear = LinearForecaster.load(path)
        finite = np.isfinite(linear.weights).all() and np.isfinite(linear.bias).all()
    except (OSError, EOFError, LookupError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise RegistryError(
            f"{path} is no linear forecaster ({type(error).__name__}): take the folder anew from"
            " where it came from"
        ) from error
    require_size(path, "weights", linear.weights.shape, (linear.look_back, linear.horizon))
    require_size(path, "finite weights", bool(finite), True)
    _require_sizes(path, linear, saved)
    return linear


def _require_sizes(
    path: Path, forecaster: ExportedForecaster | LinearForecaster, saved: "_Saved"
) -> None:
    for word, found, expected in (
        ("steps of look-back", forecaster.look_back, saved.look_back),
        ("steps ahead", forecaster.horizon, saved.horizons and saved.horizons[-1]),
    ):
        if expected is not None:
            require_size(path, word, found, expected)


_Column = Annotated[str, Field(min_length=1, max_length=1000)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Scaling(Section):
    mean: _Finite
    deviation: Annotated[_Finite, Field(gt=0)]


class _Saved(BaseModel):
    columns: Annotated[tuple[_Column, ...], Field(min_length=1, max_length=100_000)]
    look_back: int | None = None
    horizons: Annotated[tuple[int, ...], Field(min_length=1)] | None = None
    step_seconds: Annotated[_Finite, Field(gt=0, le=1e11)]
    scaling: dict[str, _Scaling]
    # Older folders say neither: there were no holes.
    fill: Fill = "last"
    season: Annotated[int, Field(ge=1, le=100_000)] = 1
    series_column: Annotated[str, Field(max_length=1000)] = ""
    time_column: Annotated[str, Field(max_length=1000)] = "date"  # older folders do not say it
    form: Form = STANDARD
