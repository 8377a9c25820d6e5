"""Errors of forecasts against sums by hand, whatever the batches; the bootstrap; the pictures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_windows import WINDOWS, series

from rnnpipe.metrics.dependent import block_bootstrap, block_p_value
from rnnpipe.problems.forecasting.linear_forecaster import seasonal_naive
from rnnpipe.problems.forecasting.metrics import (
    column_table,
    examples,
    flatten_errors,
    forecast_metrics,
)
from rnnpipe.problems.forecasting.plots import draw_error_by_step, draw_forecasts
from rnnpipe.series.windows import WindowedSeries
from rnnpipe.storage.files import sha256_file


def naive(past):
    return seasonal_naive(past, 8, 5)


@settings(deadline=None)
@given(st.integers(1, 40), st.sampled_from(["train", "validation", "test"]), st.integers(0, 99))
def test_every_window_counts_once_for_each_horizon_it_holds(batch_size, split, seed):
    windowed = WindowedSeries.of(series(seed=seed), WINDOWS)
    errors = forecast_metrics(naive, windowed, split, batch_size)
    (bounds,) = windowed.splits[split]
    for number, horizon in enumerate((2, 8)):
        starts = range(max(bounds.start, 10), bounds.stop - horizon + 1)
        by_hand = np.array(
            [
                naive(windowed.values[None, start - 10 : start])[0, :horizon]
                - windowed.values[start : start + horizon]
                for start in starts
            ],
            np.float64,
        )
        assert errors.windows[number] == len(starts)
        assert errors.mse[number] == pytest.approx((by_hand**2).mean())
        assert errors.mae[number] == pytest.approx(np.abs(by_hand).mean())
        own = by_hand * windowed.scalers[0].deviation
        np.testing.assert_allclose(errors.column_mse[number], (own**2).mean(axis=(0, 1)))
        np.testing.assert_allclose(errors.column_mae[number], np.abs(own).mean(axis=(0, 1)))
        np.testing.assert_allclose(errors.window_mse[number], (by_hand**2).mean(axis=(1, 2)))
        steps = errors.step_mse[:2] if horizon == 2 else errors.step_mse[7:]
        wanted = (by_hand**2).mean(axis=(0, 2))
        np.testing.assert_allclose(steps, wanted if horizon == 2 else wanted[7:])
    assert errors.mean_mse == pytest.approx(errors.mse.mean())


def test_a_perfect_forecast_has_no_error_and_later_steps_do_not_matter():
    windowed = WindowedSeries.of(series(), WINDOWS)
    place = {windowed.values[start - 10 : start].tobytes(): start for start in range(10, 101)}

    def perfect(past):
        starts = np.array([place[window.tobytes()] for window in past])
        known = windowed.values[np.minimum(starts[:, None] + np.arange(12), 99)]
        return np.concatenate([known[:, :8], np.full_like(known[:, 8:], np.nan)], axis=1)

    errors = forecast_metrics(perfect, windowed, "test")
    assert errors.mse.tolist() == errors.mae.tolist() == [0, 0]
    assert np.isfinite(errors.step_mse).all()


def test_the_figures_are_laid_out_flat_and_by_column():
    errors = forecast_metrics(naive, WindowedSeries.of(series(), WINDOWS), "test")
    flat = flatten_errors(errors)
    assert list(flat) == [
        "mse", "mae", "mse_mean", "mae_mean", "mse_2", "mae_2", "windows_2", "mse_8", "mae_8", "windows_8",
    ]  # fmt: skip
    assert flat["mse_mean"] == pytest.approx((flat["mse_2"] + flat["mse_8"]) / 2, abs=2e-6)
    assert (flat["windows_2"], flat["windows_8"]) == (19, 13)
    table = column_table(errors, ("load", "oil"))
    assert table["column"].tolist() == ["load", "oil"] * 2
    np.testing.assert_allclose(table["rmse"] ** 2, table["mse"])


@given(st.integers(1, 200), st.integers(1, 300), st.integers(0, 99))
def test_the_interval_holds_the_mean_and_lies_within_the_losses(count, block, seed):
    losses = np.random.default_rng(seed).random(count)
    found = block_bootstrap(losses, block, samples=200, confidence=0.99, seed=seed)
    assert found.value == pytest.approx(losses.mean())
    assert losses.min() - 1e-9 <= found.low <= found.high <= losses.max() + 1e-9
    assert found == block_bootstrap(losses, block, samples=200, confidence=0.99, seed=seed)


def test_blocks_make_the_interval_of_dependent_losses_wider():
    losses = np.repeat(np.random.default_rng(1).random(50), 40)

    def width(block):
        found = block_bootstrap(losses, block, samples=2000, confidence=0.95, seed=1)
        return found.high - found.low

    assert width(1) < width(40) / 3


@given(shift=st.sampled_from([-1.0, -0.2, 0.2, 1.0]), seed=st.integers(0, 99))
def test_chance_explains_a_difference_the_less_the_larger_it_is(shift, seed):
    random = np.random.default_rng(seed)
    noise = np.repeat(random.normal(size=50), 4)  # neighbours alike, as of windows that overlap
    p_values = [
        block_p_value(noise - noise.mean() + size * shift, 4, samples=500, seed=1)
        for size in (0, 0.1, 10)
    ]
    assert p_values[0] == 1.0
    assert p_values[1] >= p_values[2]
    assert p_values[2] == pytest.approx(1 / 501)
    assert block_p_value(-noise, 4, samples=500, seed=1) == pytest.approx(
        block_p_value(noise, 4, samples=500, seed=1), abs=0.05
    )


@settings(deadline=None)
@given(st.sampled_from(["validation", "test"]), st.integers(1, 40), st.integers(0, 99))
def test_errors_without_a_unit_are_those_of_the_papers(split, batch_size, seed):
    given_series = series(seed=seed)
    windowed = WindowedSeries.of(given_series, WINDOWS)
    found = forecast_metrics(naive, windowed, split, batch_size, season=5)
    values = given_series.values
    scale = np.abs(values[5:60] - values[:55]).mean(axis=0)
    (bounds,) = windowed.splits[split]
    for number, horizon in enumerate((2, 8)):
        symmetric, scaled = [], []
        for start in range(bounds.start, bounds.stop - horizon + 1):
            truth = values[start : start + horizon]
            forecast = naive(values[None, start - 10 : start])[0, :horizon]
            symmetric.append(200 * np.abs(truth - forecast) / (np.abs(truth) + np.abs(forecast)))
            scaled.append(np.abs(truth - forecast) / scale)
        assert found.smape[number] == pytest.approx(np.mean(symmetric), rel=1e-3)
        assert found.mase[number] == pytest.approx(np.mean(scaled), rel=1e-3)
        assert flatten_errors(found)[f"mase_{horizon}"] == pytest.approx(
            found.mase[number], abs=1e-6
        )
    assert forecast_metrics(naive, windowed, split).smape is None


def test_chance_alone_is_seldom_taken_for_a_difference():
    random = np.random.default_rng(1)
    found = [
        block_p_value(np.repeat(random.normal(size=60), 5), 5, samples=200, seed=draw) <= 0.05
        for draw in range(300)
    ]
    assert np.mean(found) < 0.15  # of blocks there are few: not quite the .05 that it says


def test_of_no_window_there_is_no_mean():
    with pytest.raises(ValueError, match="no windows"):
        block_bootstrap(np.empty(0), 3, samples=100, confidence=0.9, seed=1)


def test_examples_are_in_the_columns_own_units_and_the_pictures_are_their_own(tmp_path):
    given = series()
    windowed = WindowedSeries.of(given, WINDOWS)
    chosen = examples({"last season": naive}, windowed, "test", 3)
    assert len(chosen) == 3
    for example in chosen:
        begin = int(np.flatnonzero(given.times == example.times[0])[0])
        np.testing.assert_allclose(example.past, given.values[begin - 10 : begin], atol=1e-3)
        np.testing.assert_allclose(example.truth, given.values[begin : begin + 8], atol=1e-3)
        np.testing.assert_allclose(
            example.forecasts["last season"], naive(example.past[None])[0], atol=1e-3
        )
    assert (chosen[0].times[0], chosen[-1].times[-1]) == (given.times[80], given.times[99])
    hashes = set()
    for name in ("a", "b"):
        draw_forecasts(
            chosen, ("load", "oil"), tmp_path / f"{name}.png", shown_past=6, most_columns=3
        )
        draw_error_by_step({"ours": np.arange(8.0)}, tmp_path / f"{name}_step.png")
        hashes |= {
            sha256_file(tmp_path / f"{name}.png"),
            sha256_file(tmp_path / f"{name}_step.png"),
        }
    assert len(hashes) == 2
