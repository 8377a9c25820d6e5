"""Time series: what is read, what is refused, and that no window looks into the future."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnpipe.errors import SourceError
from rnnpipe.series import SPLITS, Scaler, cut, divide, read_series, window_starts

LENGTHS = st.fixed_dictionaries({name: st.integers(1, 60) for name in SPLITS})


def table(n: int = 5) -> pd.DataFrame:
    times = pd.date_range("2016-07-01", periods=n, freq="h")
    return pd.DataFrame({"date": times, "load": np.arange(n) / 2, "oil": np.arange(n)})


def write(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("name", ["series.csv", "series.parquet"])
def test_a_table_is_read_as_it_stands(tmp_path, name):
    series = read_series(write(table(), tmp_path / name), "date")
    assert series.names == ("load", "oil")
    np.testing.assert_array_equal(series.values, [[i / 2, i] for i in range(5)])
    assert np.array_equal(np.diff(series.times).astype(int), [3600] * 4)


@pytest.mark.parametrize("name", ["series.csv", "series.parquet"])
@pytest.mark.parametrize(
    ("column", "cell", "says"),
    [
        ("load", "much", r"row 3, column 'load': found 'much', expected a finite number"),
        ("load", None, r"row 3, column 'load': found nothing, expected a finite number"),
        ("load", "inf", r"row 3, column 'load': found 'inf', expected a finite number"),
        ("date", "yesterday", r"row 3, column 'date': found 'yesterday', expected a time"),
        ("date", None, r"row 3, column 'date': found nothing, expected a time"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(tmp_path, name, column, cell, says):
    frame = table().astype({column: str}).astype({column: object})
    frame.loc[3, column] = cell
    with pytest.raises(SourceError, match=says):
        read_series(write(frame, tmp_path / name), "date")


def test_a_table_of_times_alone_is_refused(tmp_path):
    with pytest.raises(SourceError, match="expected numbers beside it"):
        read_series(write(table()[["date"]], tmp_path / "series.csv"), "date")


def test_a_missing_time_column_is_named_with_what_is_there(tmp_path):
    with pytest.raises(SourceError, match=r"no column 'time'.*date.*prepare.time_column"):
        read_series(write(table(), tmp_path / "series.csv"), "time")


@given(LENGTHS, st.integers(0, 50), st.integers(1, 30), st.integers(1, 20))
def test_no_target_crosses_a_split_and_no_window_its_series(lengths, spare, look_back, horizon):
    splits = divide(sum(lengths.values()) + spare, lengths)
    assert [split.start for split in splits.values()][1:] == [
        split.stop for split in splits.values()
    ][:-1]
    steps = np.arange(sum(lengths.values()) + spare)
    for split in splits.values():
        fitting = [
            start
            for start in split
            if start >= look_back and start + horizon <= split.stop
        ]  # fmt: skip
        if not fitting:
            with pytest.raises(SourceError, match="holds no window"):
                window_starts(split, look_back, horizon)
            continue
        starts = window_starts(split, look_back, horizon)
        assert starts.tolist() == fitting
        past, future = cut(steps, starts, look_back, horizon)
        assert np.isin(future, split).all()
        assert (past.max(axis=1) < future.min(axis=1)).all()
        assert (np.diff(np.hstack([past, future]), axis=1) == 1).all()


def test_a_series_shorter_than_its_splits_is_refused():
    with pytest.raises(SourceError, match=r"has 9 steps, its splits need 10"):
        divide(9, {"train": 5, "validation": 3, "test": 2})


@given(st.integers(2, 40), st.integers(1, 4), st.integers(0, 2**31))
def test_scaling_comes_undone_and_train_has_mean_0_and_deviation_1(steps, channels, seed):
    values = np.random.default_rng(seed).normal(3, 5, (steps, channels))
    scaler = Scaler.fit(values)
    scaled = scaler.scale(values)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(scaled.std(axis=0), 1)
    np.testing.assert_allclose(scaler.unscale(scaled), values)


def test_a_constant_channel_is_left_unscaled():
    scaler = Scaler.fit(np.full((4, 1), 7.0))
    np.testing.assert_array_equal(scaler.scale(np.array([[7.0], [8.0]])), [[0.0], [1.0]])
