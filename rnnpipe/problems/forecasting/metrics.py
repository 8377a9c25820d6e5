"""How far forecasts lie from the truth, by horizon, column and step, over every window of a split.

For horizon h every window whose h targets lie in the split counts, the last batch too; what a
forecast says beyond h does not matter, nor what it says where no value is known. Nothing here knows
how a forecast is made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rnnpipe.runtime.progress import track
from rnnpipe.series.windows import WindowedSeries
from rnnpipe.storage.spreadsheet import plain_cell

# float32[batch, look_back, columns] -> [batch, horizon, columns], all scaled
Forward = Callable[[NDArray[np.float32]], NDArray[Any]]
_BATCH = 256


@dataclass(frozen=True)
class ForecastErrors:
    """Errors over a split; scaled means in standard deviations of train.

    Attributes:
        horizons: rising.
        windows: by horizon, how many windows were judged.
        mse: ``float64[horizons]``, mean squared error, scaled, over windows, steps and columns.
        mae: ``float64[horizons]``, mean absolute error, likewise.
        column_mse: ``float64[horizons, columns]``, in squares of the columns' own units.
        column_mae: ``float64[horizons, columns]``, in the columns' own units.
        step_mse: ``float64[horizon]``, scaled, by step ahead, over the windows that hold the step.
        window_mse: by horizon, ``float64[windows]``, scaled, of each window in the order of time;
            NaN where of its targets none is known.
        window_series: by horizon, ``int64[windows]``, which series each is of.
        smape: ``float64[horizons]``, in percent, 0 to 200: mean of 200 |y - f| / (|y| + |f|), nothing
            where both are 0 (Makridakis et al. 2018, "The M4 Competition"); None where it was not asked.
        mase: ``float64[horizons]``, mean absolute error as a share of that of the value a season before
            in the series' own train (Hyndman & Koehler 2006, "Another look at measures of forecast
            accuracy"); likewise.
    """

    horizons: tuple[int, ...]
    windows: tuple[int, ...]
    mse: NDArray[np.float64]
    mae: NDArray[np.float64]
    column_mse: NDArray[np.float64]
    column_mae: NDArray[np.float64]
    step_mse: NDArray[np.float64]
    window_mse: tuple[NDArray[np.float64], ...]
    window_series: tuple[NDArray[np.int64], ...]
    smape: NDArray[np.float64] | None = None
    mase: NDArray[np.float64] | None = None

    @property
    def mean_mse(self) -> float:
        """Mean of the scaled MSE over the horizons: what a training is chosen by."""
        return float(self.mse.mean())


def forecast_metrics(
    forward: Forward,
    series: WindowedSeries,
    split: str,
    batch_size: int = _BATCH,
    season: int | None = None,
) -> ForecastErrors:
    """Judge forecasts over every window of a split, batch by batch.

    Args:
        forward: gives at least the last horizon's steps from a scaled past.
        series: windows, horizons and scaling.
        split: ``train``, ``validation`` or ``test``.
        batch_size: windows at once; the figures do not depend on it, but for the last digits.
        season: steps of one, for the errors that have no unit; None: they are not taken.

    Raises:
        SourceError: the split holds no window.
    """
    starts = series.starts(split)
    room = series.stops(split, starts) - starts
    horizons, columns = series.horizons, len(series.names)
    squares, sizes, counts = (np.zeros((len(horizons), columns)) for _ in range(3))
    own = _OwnErrors(series, season)
    step_squares, step_counts = np.zeros(series.horizon), np.zeros(series.horizon)
    window_mse: list[list[NDArray[np.float64]]] = [[] for _ in horizons]
    begins = range(0, len(starts), batch_size)
    for begin in track(begins, f"judging {split} windows", "batches"):
        chosen = starts[begin : begin + batch_size]
        past, truth = series.batch(split, chosen)
        # Forecasts are judged in float64: sums of so many float32 would lose digits.
        error = np.asarray(forward(past), np.float64)[:, : series.horizon] - truth
        each_step = _mean_known(np.square(error), axis=2)
        step_squares += np.nansum(each_step, axis=0)
        step_counts += np.isfinite(each_step).sum(axis=0)
        held_by = room[begin : begin + batch_size]
        own.add(chosen, truth, error, held_by)
        for number, horizon in enumerate(horizons):
            held = error[held_by >= horizon, :horizon]
            squares[number] += np.nansum(np.square(held), axis=(0, 1))
            sizes[number] += np.nansum(np.abs(held), axis=(0, 1))
            counts[number] += np.isfinite(held).sum(axis=(0, 1))
            window_mse[number].append(_mean_known(np.square(held), (1, 2)))
    with np.errstate(invalid="ignore", divide="ignore"):  # a horizon without windows has no figure
        squares, sizes = squares / counts, sizes / counts
        by_step = step_squares / step_counts
    number_of = series.series_of(starts)
    return ForecastErrors(
        horizons,
        tuple(int(np.count_nonzero(room >= horizon)) for horizon in horizons),
        _mean_known(squares, axis=1),
        _mean_known(sizes, axis=1),
        *own.of_columns(squares, sizes, counts),
        by_step,
        tuple(map(np.concatenate, window_mse)),
        tuple(number_of[room >= horizon] for horizon in horizons),
        *own.without_unit(),
    )


class _OwnErrors:
    """Sums of errors in the columns' own units, and of those without one, window by window."""

    def __init__(self, series: WindowedSeries, season: int | None) -> None:
        shape = (len(series.horizons), len(series.names))
        self._series = series
        self._squares, self._sizes = np.zeros(shape), np.zeros(shape)
        self._naive = None if season is None else naive_errors(series, season)
        # Sums and counts, of the one and the other error.
        self._shares = np.zeros((2, 2, len(series.horizons)))

    def add(
        self,
        starts: NDArray[np.int64],
        truth: NDArray[np.float32],
        error: NDArray[np.float64],
        room: NDArray[np.int64],
    ) -> None:
        """Add windows: their errors and targets, scaled, and how many steps the split holds of each."""
        series = self._series
        if not series.id_name and self._naive is None:
            return  # what is scaled by one deviation needs no sums of its own
        scaler = series.scaler(starts)
        own = error * scaler.deviation
        shares: list[NDArray[np.float64]] = []
        if self._naive is not None:
            actual = scaler.unscale(truth.astype(np.float64))
            sizes = np.abs(actual) + np.abs(actual + own)
            with np.errstate(invalid="ignore", divide="ignore"):
                symmetric = np.where(sizes == 0, 0.0, 200 * np.abs(own) / sizes)
                scaled = np.abs(error) / self._naive[series.series_of(starts)][:, None]
            shares = [symmetric, np.where(np.isfinite(scaled), scaled, np.nan)]
        for number, horizon in enumerate(series.horizons):
            holds = room >= horizon
            held = own[holds, :horizon]
            self._squares[number] += np.nansum(np.square(held), axis=(0, 1))
            self._sizes[number] += np.nansum(np.abs(held), axis=(0, 1))
            for kind, share in enumerate(shares):
                known = share[holds, :horizon]
                self._shares[kind, 0, number] += np.nansum(known)
                self._shares[kind, 1, number] += np.isfinite(known).sum()

    def of_columns(
        self, mse: NDArray[np.float64], mae: NDArray[np.float64], counts: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean squared and absolute error of each column, by its scaled ones and counts."""
        if not self._series.id_name:
            deviation = self._series.scalers[0].deviation
            return mse * deviation**2, mae * deviation
        with np.errstate(invalid="ignore", divide="ignore"):
            return self._squares / counts, self._sizes / counts

    def without_unit(self) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
        """Return sMAPE and MASE by horizon; None of either that was not asked for."""
        if self._naive is None:
            return None, None
        with np.errstate(invalid="ignore", divide="ignore"):
            smape, mase = self._shares[:, 0] / self._shares[:, 1]
        return smape, mase


def naive_errors(series: WindowedSeries, season: int) -> NDArray[np.float64]:
    """Mean absolute error, scaled, of the value a season before, in the train of each series.

    Returns:
        ``float64[series, columns]``; NaN where it is 0 or nothing is known.
    """
    found = np.full((len(series.ids), len(series.names)), np.nan)
    for number, own in enumerate(series.splits["train"]):
        values = series.values[own.start : own.stop].astype(np.float64)
        if len(values) > season:
            found[number] = _mean_known(np.abs(values[season:] - values[:-season]), axis=0)
    return np.where(found > 0, found, np.nan)


def _mean_known(values: NDArray[np.float64], axis: int | tuple[int, ...]) -> NDArray[np.float64]:
    """Mean over axes of what is known, NaN where nothing is."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(values, axis=axis) / np.isfinite(values).sum(axis=axis)
    return np.asarray(mean, np.float64)


def flatten_errors(errors: ForecastErrors) -> dict[str, float | int]:
    """Lay the scaled figures out as ``mse_96``, ``mae_96``, …, ``windows_96``, and ``mse``, ``mae``.

    The last two are the shortest horizon's, by which models are compared: of what lies farther
    ahead a split holds too few windows that share no target. ``mse_mean`` and ``mae_mean`` are the
    means over the horizons, as papers give them.
    """
    flat: dict[str, float | int] = {
        "mse": round(float(errors.mse[0]), 6),
        "mae": round(float(errors.mae[0]), 6),
        "mse_mean": round(errors.mean_mse, 6),
        "mae_mean": round(float(errors.mae.mean()), 6),
    }
    for horizon, windows, mse, mae in zip(
        errors.horizons, errors.windows, errors.mse, errors.mae, strict=True
    ):
        flat[f"mse_{horizon}"] = round(float(mse), 6)
        flat[f"mae_{horizon}"] = round(float(mae), 6)
        flat[f"windows_{horizon}"] = windows
    for name, values in (("smape", errors.smape), ("mase", errors.mase)):
        if values is not None:
            flat |= {
                f"{name}_{horizon}": round(float(value), 6)
                for horizon, value in zip(errors.horizons, values, strict=True)
                if np.isfinite(value)
            }
    return flat


def column_table(errors: ForecastErrors, names: tuple[str, ...]) -> pd.DataFrame:
    """Lay errors in the columns' own units out: horizon, column, mse, rmse, mae."""
    return pd.DataFrame(
        {
            "horizon": np.repeat(errors.horizons, len(names)),
            "column": list(names) * len(errors.horizons),
            "mse": errors.column_mse.ravel(),
            "rmse": np.sqrt(errors.column_mse.ravel()),
            "mae": errors.column_mae.ravel(),
        }
    )


def series_table(errors: ForecastErrors, series: WindowedSeries) -> pd.DataFrame:
    """Lay the scaled error of each series out, the worst first, at the shortest horizon.

    Its columns: series, windows, mse; series without a window are left out.
    """
    losses, number = errors.window_mse[0], errors.window_series[0]
    known = np.isfinite(losses)
    counts = np.bincount(number[known], minlength=len(series.ids))
    sums = np.bincount(number[known], losses[known], minlength=len(series.ids))
    judged = np.flatnonzero(counts)
    table = pd.DataFrame(
        {
            "series": [plain_cell(series.ids[place]) for place in judged],
            "windows": counts[judged],
            "mse": sums[judged] / counts[judged],
        }
    )
    return table.sort_values("mse", ascending=False, kind="stable")


@dataclass(frozen=True)
class Example:
    """One window's forecasts in the columns' own units.

    Attributes:
        past_times: ``datetime64[us][look_back]``.
        times: ``datetime64[us][horizon]``, of the truth and the forecasts.
        past: ``float64[look_back, columns]``.
        truth: ``float64[horizon, columns]``, NaN beyond the split.
        forecasts: by who made them, ``float64[horizon, columns]``.
        id: of the series; empty of one alone.
        band: lower and upper end about the first forecast, ``float64[horizon, columns]`` each; or None.
    """

    past_times: NDArray[np.datetime64]
    times: NDArray[np.datetime64]
    past: NDArray[np.float64]
    truth: NDArray[np.float64]
    forecasts: dict[str, NDArray[np.float64]]
    id: str = ""
    band: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None


def examples(
    forwards: dict[str, Forward],
    series: WindowedSeries,
    split: str,
    count: int,
    band: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> list[Example]:
    """Take windows that lie evenly over a split, with all targets where there are such.

    Args:
        forwards: by the name that a picture shows.
        series: windows and scaling.
        split: of the windows.
        count: number of windows, at most.
        band: ``float64[horizon, columns]`` each, what to add to the first forecast, scaled, for its ends.
    """
    starts = series.starts(split)
    whole = starts[starts + series.horizon <= series.stops(split, starts)]
    starts = whole if len(whole) else starts[:1]
    chosen = starts[np.unique(np.linspace(0, len(starts) - 1, count).round().astype(int))]
    scaler = series.scaler(chosen)
    past, truth = series.batch(split, chosen)
    forecasts = {
        name: scaler.unscale(np.asarray(forward(past), np.float64)[:, : series.horizon])
        for name, forward in forwards.items()
    }
    ends = None
    if band is not None:
        first = next(iter(forecasts.values()))
        ends = [first + edge * scaler.deviation for edge in band]
    unscaled = [scaler.unscale(part.astype(np.float64)) for part in (past, truth)]
    ids = [series.ids[number] for number in series.series_of(chosen)]
    return [
        Example(
            series.times[start - series.look_back : start],
            series.times[start : start + series.horizon],
            unscaled[0][row],
            unscaled[1][row],
            {name: forecast[row] for name, forecast in forecasts.items()},
            ids[row],
            None if ends is None else (ends[0][row], ends[1][row]),
        )
        for row, start in enumerate(chosen)
    ]
