"""Forecasts judged and drawn; this alone opens the test split."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from rnnpipe.metrics.dependent import block_bootstrap, block_p_value
from rnnpipe.problems.forecasting.bands import band_figures, fit_bands, save_bands
from rnnpipe.problems.forecasting.exported import ExportedForecaster
from rnnpipe.problems.forecasting.files import BANDS, BASELINE, NETWORK, REPORTS, WINDOWS
from rnnpipe.problems.forecasting.linear_forecaster import LinearForecaster, seasonal_naive
from rnnpipe.problems.forecasting.metrics import (
    ForecastErrors,
    Forward,
    column_table,
    examples,
    flatten_errors,
    forecast_metrics,
    series_table,
)
from rnnpipe.problems.forecasting.params import ForecastEvaluate, ForecastingParams
from rnnpipe.problems.forecasting.plots import draw_error_by_step, draw_forecasts
from rnnpipe.reporting.plots import draw_training
from rnnpipe.series.windows import WindowedSeries
from rnnpipe.storage.files import atomic_directory, read_json
from rnnpipe.storage.spreadsheet import plain_cell

_DRAWN_COLUMNS = 3


def evaluate(params: ForecastingParams) -> Mapping[str, Any]:
    """Judge the network, the linear forecaster and the last season; draw, and lay figures out.

    What errors validation has seen makes the bands about forecasts, which are kept.
    """
    series = WindowedSeries.load(WINDOWS)
    season, horizon = params.windows.season, series.horizon
    forwards: dict[str, Forward] = {
        "network": ExportedForecaster(NETWORK / "network.onnx").forecast,
        "linear": LinearForecaster.load(BASELINE).predict,
        "seasonal naive": lambda past: seasonal_naive(past, horizon, season),
    }
    bands = {name: fit_bands(forwards[name], series) for name in ("network", "linear")}
    save_bands(BANDS, bands["network"], bands["linear"])
    errors = {
        split: {
            name: forecast_metrics(forward, series, split, season=season)
            for name, forward in forwards.items()
        }
        for split in ("validation", "test")
    }
    figures = {
        split: {
            name: _figures(found, series.names, params.evaluate) for name, found in judged.items()
        }
        for split, judged in errors.items()
    }
    validation, test = figures["validation"], figures["test"]
    within = band_figures(bands["network"], forwards["network"], series, "test", season)
    metrics = (
        test["network"]
        | within
        | {
            "look_back": series.look_back,
            "validation": validation["network"],
            "baseline": test["linear"]
            | _differences(errors["test"], params.evaluate)
            | {
                "validation": validation["linear"]
                | _differences(errors["validation"], params.evaluate)
            },
            "seasonal_naive": test["seasonal naive"] | {"validation": validation["seasonal naive"]},
        }
    )
    with atomic_directory(REPORTS / "plots") as folder:
        steps = {name: found.step_mse for name, found in errors["test"].items()}
        pd.DataFrame({"step": np.arange(1, horizon + 1)} | steps).to_csv(
            folder / "error_by_step.csv", index=False, float_format="%.6g"
        )
        cells = tuple(map(plain_cell, series.names))
        column_table(errors["test"]["network"], cells).to_csv(
            folder / "error_by_column.csv", index=False, float_format="%.6g"
        )
        if series.id_name:
            series_table(errors["test"]["network"], series).to_csv(
                folder / "error_by_series.csv", index=False, float_format="%.6g"
            )
        draw_error_by_step(steps, folder / "error_by_step.png")
        draw_forecasts(
            examples(forwards, series, "test", params.evaluate.examples, bands["network"].at(80)),
            series.names,
            folder / "forecasts.png",
            shown_past=min(series.look_back, horizon),
            most_columns=_DRAWN_COLUMNS,
        )
        history = read_json(NETWORK / "history.json")
        draw_training(
            pd.DataFrame(history["epochs"]), history["best_epoch"], folder / "training.png"
        )
    return metrics


def _figures(
    errors: ForecastErrors, names: tuple[str, ...], params: ForecastEvaluate
) -> dict[str, Any]:
    """Scaled figures, with intervals of each horizon's MSE, and those in the columns' own units."""
    figures: dict[str, Any] = dict(flatten_errors(errors)) | {"n": errors.windows[0]}
    for horizon, losses, series in zip(
        errors.horizons, errors.window_mse, errors.window_series, strict=True
    ):
        if np.isfinite(losses).any():
            interval = block_bootstrap(
                losses,
                horizon,
                series=series,
                samples=params.bootstrap_samples,
                confidence=params.confidence,
                seed=params.seed,
            )
            figures[f"mse_{horizon}_low"] = round(interval.low, 6)
            figures[f"mse_{horizon}_high"] = round(interval.high, 6)
    for bound in ("low", "high"):
        figures[f"mse_{bound}"] = figures.get(f"mse_{errors.horizons[0]}_{bound}")
    figures["own_units"] = {
        name: {
            f"{kind}_{horizon}": float(f"{values[place, column]:.6g}")
            for place, horizon in enumerate(errors.horizons)
            for kind, values in (("mse", errors.column_mse), ("mae", errors.column_mae))
        }
        for column, name in enumerate(names)
    }
    return figures


def _differences(errors: Mapping[str, ForecastErrors], params: ForecastEvaluate) -> dict[str, Any]:
    """The network's MSE less the linear forecaster's by horizon, window by window.

    Far sharper than two intervals that overlap: what makes a window hard is hard for both. How easily
    chance explains the difference is said of the shortest horizon, by which models are compared.
    """
    found: dict[str, Any] = {}
    ours, theirs = errors["network"], errors["linear"]
    for horizon, mine, its, series in zip(
        ours.horizons, ours.window_mse, theirs.window_mse, ours.window_series, strict=True
    ):
        if np.isfinite(mine).any():
            interval = block_bootstrap(
                mine - its,
                horizon,
                series=series,
                samples=params.bootstrap_samples,
                confidence=params.confidence,
                seed=params.seed,
            )
            found[str(horizon)] = {
                name: round(getattr(interval, name), 6) for name in ("value", "low", "high")
            }
    shortest, first = ours.horizons[0], ours.window_mse[0] - theirs.window_mse[0]
    p_value = block_p_value(
        first,
        shortest,
        samples=params.bootstrap_samples,
        seed=params.seed,
        series=ours.window_series[0],
    )
    return {"difference": found, "p_value": round(p_value, 6)}
