"""The linear forecaster that the network is shown beside."""

from collections.abc import Mapping
from typing import Any

from rnnpipe.problems.forecasting.files import BASELINE, WINDOWS
from rnnpipe.problems.forecasting.linear_forecaster import choose_linear_forecaster
from rnnpipe.problems.forecasting.metrics import forecast_metrics
from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.series.windows import WindowedSeries


def fit(params: ForecastingParams) -> Mapping[str, Any]:
    """Fit it on train, choose its penalties on validation, and keep it."""
    series = WindowedSeries.load(WINDOWS)
    chosen = choose_linear_forecaster(series, params.baseline.ridges)
    chosen.model.save(BASELINE)
    errors = forecast_metrics(chosen.model.predict, series, "validation")
    ridges = {f"ridge_{horizon}": ridge for horizon, ridge in chosen.ridges.items()}
    return ridges | {"validation_mse": round(float(errors.mse[0]), 6)}
