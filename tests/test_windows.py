"""The windowed series: its file, its batches, and the last window to forecast from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnpipe.config.series import Windows
from rnnpipe.errors import SourceError
from rnnpipe.series.table import Scaler, Series, divide
from rnnpipe.series.windows import WindowedSeries, draw_windows, fit_scaler, latest_window

WINDOWS = Windows(train=60, validation=20, test=20, look_back=10, horizons=[2, 8], season=5)


def series(steps=100, seed=1):
    times = np.datetime64("2020-01-01", "us") + np.arange(steps) * np.timedelta64(1, "h")
    values = np.random.default_rng(seed).normal(5, 3, (steps, 2)).cumsum(axis=0)
    return Series(times, values, ("load", "oil"), "date")


def test_it_is_scaled_by_train_alone_and_comes_back_from_its_folder(tmp_path):
    windowed = WindowedSeries.of(series(), WINDOWS)
    np.testing.assert_allclose(windowed.values[:60].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(windowed.values[:60].std(axis=0), 1, atol=1e-6)
    windowed.save(tmp_path / "windows")
    loaded = WindowedSeries.load(tmp_path / "windows")
    for name in ("values", "times"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(windowed, name))
    for name in ("names", "splits", "look_back", "horizons", "horizon"):
        assert getattr(loaded, name) == getattr(windowed, name)
    np.testing.assert_array_equal(loaded.scalers[0].mean, windowed.scalers[0].mean)
    np.testing.assert_array_equal(loaded.scalers[0].deviation, windowed.scalers[0].deviation)


def test_what_comes_after_train_does_not_change_the_scaling():
    other = series()
    changed = other.values.copy()
    changed[60:] += 100
    one, two = (
        WindowedSeries.of(Series(other.times, values, other.names, "date"), WINDOWS)
        for values in (other.values, changed)
    )
    np.testing.assert_array_equal(one.values[:60], two.values[:60])


@given(
    st.integers(0, 2**31),
    st.sampled_from([0.0, 1e-300, 1e-12, 1e-9, 1e-4, 0.1, 1.0]),
    st.floats(-1e12, 1e12),
    st.floats(1e-6, 1e9),
)
def test_a_column_that_stands_still_in_train_outweighs_no_other(seed, noise, level, span):
    random = np.random.default_rng(seed)
    given = series(seed=seed)
    values = given.values.copy()
    values[:60, 0] = level + noise * span * random.normal(size=60)
    values[60:, 0] = level + span * random.normal(3, 1, 40)
    scaler = fit_scaler(values, divide(100, WINDOWS))
    scaled = scaler.scale(values)
    assert np.abs(scaled).max() <= 100
    assert np.abs(scaled - scaled[:60].mean(axis=0)).max() <= 100
    if noise < 0.01 or span > 1e-9 * abs(level):
        assert scaler.still.tolist() == [noise < 0.01, False]
    # Whatever comes after train, a column that moves in it is scaled by it alone.
    assert scaler.deviation[1] == Scaler.fit(values[:60]).deviation[1]


def test_a_column_that_stands_still_throughout_is_left_as_it_is():
    values = np.full((100, 1), 0.1)
    scaler = fit_scaler(values, divide(100, WINDOWS))
    assert scaler.still.all()
    np.testing.assert_array_equal(scaler.deviation, [1.0])


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_targets_of_another_split_are_nan(split):
    windowed = WindowedSeries.of(series(), WINDOWS)
    starts = windowed.starts(split)
    past, future = windowed.batch(split, starts)
    assert (past.dtype, future.dtype) == (np.float32, np.float32)
    assert past.shape[1:] == (10, 2)
    assert future.shape[1:] == (8, 2)
    assert np.isfinite(past).all()
    assert np.isfinite(future[:, :2]).all()
    np.testing.assert_array_equal(
        np.isfinite(future[..., 0]),
        starts[:, None] + np.arange(8) < windowed.splits[split][0].stop,
    )


def test_a_folder_that_is_broken_says_what_to_do(tmp_path):
    with pytest.raises(SourceError, match="dvc repro"):
        WindowedSeries.load(tmp_path)
    WindowedSeries.of(series(), WINDOWS).save(tmp_path / "windows")
    (tmp_path / "windows/values.npy").write_bytes(b"")
    with pytest.raises(SourceError, match="windows holds no windowed series"):
        WindowedSeries.load(tmp_path / "windows")


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 99), st.integers(0, 5))
def test_batches_hold_every_window_once_the_last_one_too(count, size, seed, epoch):
    starts = np.arange(100, 100 + count)
    batches = draw_windows(starts, size, seed=seed, epoch=epoch)
    assert np.sort(np.concatenate(batches)).tolist() == starts.tolist()
    assert {len(batch) for batch in batches[:-1]} <= {size}
    again = draw_windows(starts, size, seed=seed, epoch=epoch)
    assert all(np.array_equal(*pair) for pair in zip(batches, again, strict=True))


def test_the_latest_window_takes_the_models_columns_in_its_order():
    given = series()
    windowed = WindowedSeries.of(given, WINDOWS)
    more = Series(
        given.times,
        np.column_stack([given.values[:, 1], np.zeros(100), given.values[:, 0]]),
        ("oil", "other", "load"),
        "date",
    )
    np.testing.assert_array_equal(
        latest_window(more, windowed.names, windowed.scalers[0], 10)[0], windowed.values[-10:]
    )
    with pytest.raises(SourceError, match="wind is missing"):
        latest_window(more, ("load", "wind"), windowed.scalers[0], 10)
    with pytest.raises(SourceError, match="has 100 steps, the model reads the last 101"):
        latest_window(more, windowed.names, windowed.scalers[0], 101)
