"""The forecasts that ours are compared with: least squares against scikit-learn, and seasons."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from rnnpipe.config.series import Windows
from rnnpipe.problems.forecasting.linear_forecaster import (
    LinearForecaster,
    choose_linear_forecaster,
    fit_linear_forecasters,
    seasonal_naive,
)
from rnnpipe.series.table import Series, cut, divide, window_starts
from rnnpipe.series.windows import WindowedSeries


@pytest.mark.parametrize("ridge", [1e-6, 0.1])
def test_it_is_ridge_regression_over_all_windows_and_channels(ridge):
    values = np.random.default_rng(1).normal(size=(700, 2)).cumsum(axis=0)
    starts = np.arange(6, 690)  # more than one batch of windows
    _, model = fit_linear_forecasters(values, starts, 6, range(3), [1.0, ridge])
    past, future = cut(values, starts, 6, 3)
    rows = (past - past[:, -1:]).transpose(0, 2, 1).reshape(-1, 6)
    targets = (future - past[:, -1:]).transpose(0, 2, 1).reshape(-1, 3)
    reference = Ridge(alpha=ridge * len(rows)).fit(rows, targets)
    np.testing.assert_allclose(model.weights, reference.coef_.T, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(model.bias, reference.intercept_, rtol=1e-6, atol=1e-9)
    expected = reference.predict(rows).reshape(len(starts), 2, 3).transpose(0, 2, 1)
    np.testing.assert_allclose(model.predict(past), expected + past[:, -1:], rtol=1e-6)


def test_what_is_linear_is_forecast_exactly():
    time = np.arange(400.0)
    values = np.stack([np.sin(time / 5), 3 * np.cos(time / 9), time / 100], axis=1)
    starts = np.arange(12, 300)
    (model,) = fit_linear_forecasters(values, starts, 12, range(24), [1e-12])
    past, future = cut(values, np.arange(300, 370), 12, 24)
    np.testing.assert_allclose(model.predict(past), future, atol=1e-3)


def test_each_horizon_has_the_map_that_is_best_on_validation(tmp_path):
    values = np.random.default_rng(2).normal(size=(400, 2)).cumsum(axis=0)
    windows = Windows(
        train=200, validation=100, test=100, look_back=8, horizons=[3, 10, 12], season=1
    )
    splits, ridges = divide(400, windows), [1e-6, 0.1, 10.0]
    times = np.datetime64("2020-01-01", "us") + np.arange(400) * np.timedelta64(1, "h")
    series = WindowedSeries.of(Series(times, values, ("a", "b"), "date"), windows)
    values = series.values.astype(np.float64)
    chosen = choose_linear_forecaster(series, ridges)
    begin = 0
    for horizon in windows.horizons:
        starts = {name: window_starts(splits[name], 8, horizon) for name in splits}
        alone = fit_linear_forecasters(values, starts["train"], 8, range(horizon), ridges)
        past, future = cut(values, starts["validation"], 8, horizon)
        errors = [np.mean((m.predict(past) - future)[:, begin:] ** 2) for m in alone]
        best = int(np.argmin(errors))
        np.testing.assert_allclose(chosen.validation_mse[horizon], errors)
        assert chosen.ridges[horizon] == ridges[best]
        np.testing.assert_allclose(
            chosen.model.predict(past)[:, begin:horizon], alone[best].predict(past)[:, begin:]
        )
        begin = horizon
    chosen.model.save(tmp_path / "linear.npz")
    loaded = LinearForecaster.load(tmp_path / "linear.npz")
    np.testing.assert_array_equal(loaded.predict(past), chosen.model.predict(past))


def test_columns_that_stand_still_do_no_harm():
    (model,) = fit_linear_forecasters(np.ones((50, 2)), np.arange(5, 40), 5, range(3), [1e-12])
    np.testing.assert_allclose(model.predict(np.ones((1, 5, 2))), 1.0)


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 2**31))
def test_a_series_of_equal_seasons_is_forecast_exactly(season, horizon, seed):
    one = np.random.default_rng(seed).normal(size=(1, season, 2))
    whole = np.tile(one, (1, 60 // season + 4, 1))
    np.testing.assert_array_equal(
        seasonal_naive(whole[:, : 2 * season], horizon, season),
        whole[:, 2 * season : 2 * season + horizon],
    )
