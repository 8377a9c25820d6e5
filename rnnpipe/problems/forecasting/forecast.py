"""A registered forecaster on a series' most recent steps: TensorFlow is not needed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnpipe.errors import ParameterError, RegistryError, SourceError
from rnnpipe.problems.forecasting.exported import ExportedForecaster
from rnnpipe.registry.find import find
from rnnpipe.series.table import Scaler, read_series, require_regular, usual_step
from rnnpipe.series.windows import latest_window, scaler_of
from rnnpipe.storage.csv_format import PLAIN, CsvFormat
from rnnpipe.storage.files import read_json


@dataclass(frozen=True)
class Forecast:
    """What comes next.

    Attributes:
        times: ``datetime64[us][steps]``, behind the last one of the series.
        values: ``float64[steps, columns]``, in the columns' own units.
        names: of the columns.
    """

    times: NDArray[np.datetime64]
    values: NDArray[np.float64]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Forecaster:
    """A model folder, loaded: a table of the past in, the steps ahead out."""

    names: tuple[str, ...]
    scaler: Scaler
    step_seconds: float
    network: ExportedForecaster

    def forecast(
        self,
        table: Path,
        time_column: str = "date",
        steps: int | None = None,
        csv_format: CsvFormat = PLAIN,
    ) -> Forecast:
        """Read a series and tell how it goes on.

        Args:
            table: a ``.csv`` or ``.parquet`` file with the time, regular, and the columns that the
                model knows, at least as many steps as it looks back.
            time_column: the file's column of times.
            steps: how many to tell; None for all that the model gives.
            csv_format: how quotes are written in a CSV.

        Raises:
            SourceError: the table cannot be read, a column is missing, it is too short, or a step
                of time is longer or shorter than the others.
            ParameterError: the model does not give so many steps.
        """
        given = self.network.horizon
        if steps is not None and not 1 <= steps <= given:
            raise ParameterError(f"found {steps} steps, expected 1 to {given}: the model's horizon")
        series = read_series(table, time_column, csv_format)
        require_regular(series, str(table))
        step = usual_step(series.times) / np.timedelta64(1, "s")
        if step != self.step_seconds:
            raise SourceError(
                f"{table} has a step of {step:g} s, the model was trained on steps of"
                f" {self.step_seconds:g} s: bring a series of that step"
            )
        past = latest_window(series, self.names, self.scaler, self.network.look_back)
        values = self.network.forecast(past)[0, :steps].astype(np.float64)
        ahead = np.arange(1, len(values) + 1)
        times = series.times[-1] + ahead * usual_step(series.times)
        return Forecast(times, self.scaler.unscale(values), self.names)


def load_forecaster(model: str | Path | None = None, root: Path = Path()) -> Forecaster:
    """Load a model by path, version (``v0.2.0``) or stage (``prod``).

    Args:
        model: which; None takes the work tree's, else the one in stage ``prod``.
        root: the project's folder, where versions and stages are looked up.

    Raises:
        RegistryError: there is no such model, or its folder is not whole.
    """
    folder = find(None if model is None else str(model), root, "forecasting")
    try:
        saved = read_json(folder / "params.json")
        names = tuple(saved["columns"])
        scaler = scaler_of(names, saved["scaling"])
        step_seconds = float(saved["step_seconds"])
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            f"{folder / 'params.json'} is of no forecaster ({type(error).__name__}: {error}): name"
            " one with --model, or train it again with `dvc repro pipelines/forecasting/dvc.yaml`"
        ) from error
    network = ExportedForecaster(folder / "network.onnx")
    if network.columns != len(names):
        raise RegistryError(
            f"{folder / 'network.onnx'} forecasts {network.columns} columns, params.json names"
            f" {len(names)}: they are of two models; take the folder from the registry again"
        )
    return Forecaster(names, scaler, step_seconds, network)
