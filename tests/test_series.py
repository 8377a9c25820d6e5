"""Time series: what is read, what is refused, and that no window looks into the future."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnpipe.config.series import Windows
from rnnpipe.errors import SourceError
from rnnpipe.series.calendar import usual_step
from rnnpipe.series.prepared import content_digest, load_panel, write_panel
from rnnpipe.series.reading import read_series
from rnnpipe.series.table import (
    SPLITS,
    Scaler,
    Series,
    cut,
    divide,
    require_regular,
    window_starts,
)

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
    assert np.array_equal(np.diff(series.times).astype("timedelta64[s]").astype(int), [3600] * 4)


@pytest.mark.parametrize("name", ["series.csv", "series.parquet"])
@pytest.mark.parametrize(
    ("column", "cell", "says"),
    [
        ("load", "much", r"PLACE, column 'load': found 'much', expected a finite number"),
        ("load", "inf", r"PLACE, column 'load': found 'inf', expected a finite number"),
        ("load", "1e999", r"PLACE, column 'load': found '1e999', expected a finite number"),
        ("date", "2016-13-01", r"PLACE, column 'date': found '2016-13-01', expected a time"),
        ("date", "2016-07-01T00:00Z", r"PLACE, column 'date': found .*, expected a time"),
        ("date", "yesterday", r"PLACE, column 'date': found 'yesterday', expected a time"),
        ("date", None, r"PLACE, column 'date': found nothing, expected a time"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(tmp_path, name, column, cell, says):
    frame = table().astype({column: str}).astype({column: object})
    frame.loc[3, column] = cell
    place = {"series.csv": "line 5", "series.parquet": "row 4"}[name]  # as who opens it counts
    with pytest.raises(SourceError, match=says.replace("PLACE", place)):
        read_series(write(frame, tmp_path / name), "date")


def test_a_table_of_times_alone_is_refused(tmp_path):
    with pytest.raises(SourceError, match="expected numbers beside it"):
        read_series(write(table()[["date"]], tmp_path / "series.csv"), "date")


def test_a_missing_time_column_is_named_with_what_is_there(tmp_path):
    with pytest.raises(SourceError, match=r"no column 'time'.*date.*prepare.time_column"):
        read_series(write(table(), tmp_path / "series.csv"), "time")


def test_times_of_every_kind_are_read_and_parts_of_a_microsecond_dropped(tmp_path):
    frame = table()
    expected = read_series(write(frame, tmp_path / "one.csv"), "date").times
    for name, times in {
        "zone": frame["date"].dt.tz_localize("Europe/Berlin").dt.tz_convert("UTC"),
        "days": frame["date"].dt.floor("D").dt.date,
        "text": frame["date"].dt.strftime(" %Y-%m-%dT%H:%M "),
        "fine": frame["date"] + pd.Timedelta(1, "ns"),
    }.items():
        path = write(frame.assign(date=times), tmp_path / f"{name}.parquet")
        found = read_series(path, "date").times
        shift = {"zone": np.timedelta64(2, "h")}.get(name, np.timedelta64(0, "h"))
        wanted = expected.astype("datetime64[D]") if name == "days" else expected - shift
        np.testing.assert_array_equal(found, wanted)


def test_numbers_are_no_times(tmp_path):
    frame = table().assign(date=range(5))
    with pytest.raises(SourceError, match="row 1, column 'date': found '0', expected a time"):
        read_series(write(frame, tmp_path / "series.parquet"), "date")


def test_times_are_no_numbers(tmp_path):
    frame = table()[["date"]].assign(load=table()["date"])
    with pytest.raises(SourceError, match="row 1, column 'load'.*a finite number"):
        read_series(write(frame, tmp_path / "series.parquet"), "date")


def test_a_bad_cell_far_behind_is_named_by_its_row_in_the_file(tmp_path):
    frame = table(12_000).astype({"load": object})
    frame.loc[11_000, "load"] = "much"
    frame["load"] = frame["load"].astype(str)
    with pytest.raises(SourceError, match="row 11,001, column 'load': found 'much'"):
        read_series(write(frame, tmp_path / "series.parquet"), "date")


def test_a_table_without_rows_or_with_two_columns_of_one_name_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no rows"):
        read_series(write(table(0), tmp_path / "series.csv"), "date")
    (tmp_path / "twice.csv").write_text("date,load,load\n2016-07-01,1,2\n")
    with pytest.raises(SourceError, match="more than one column 'load'"):
        read_series(tmp_path / "twice.csv", "date")


def test_the_prepared_table_is_the_same_whatever_it_was_read_from(tmp_path):
    both = [read_series(write(table(), tmp_path / name), "date") for name in ("a.csv", "b.parquet")]
    for series in both:
        write_panel(series, tmp_path / "series.parquet")
        loaded = load_panel(tmp_path / "series.parquet").parts[0]
        np.testing.assert_array_equal(loaded.times, series.times)
        np.testing.assert_array_equal(loaded.values, series.values)
        assert (loaded.names, loaded.time_name) == (series.names, "date")
    assert content_digest(both[0]) == content_digest(both[1]) == content_digest(loaded)
    moved = Series(loaded.times, loaded.values + 1, loaded.names, loaded.time_name)
    assert content_digest(moved) != content_digest(loaded)


@pytest.mark.parametrize(
    ("row", "time", "says"),
    [
        (3, "2016-07-01 02:00", "line 5, .*the same time as the row before"),
        (4, "2016-07-01 19:00", "line 6, .*a gap after 2016-07-01T03:00.*steps of 1 hour"),
        (4, "2016-07-01 03:20", "line 6, .*a shorter step"),
    ],
)
def test_an_irregular_step_is_named(tmp_path, row, time, says):
    frame = table()
    require_regular(read_series(write(frame, tmp_path / "good.csv"), "date"), "good.csv")
    frame.loc[row, "date"] = pd.Timestamp(time)
    with pytest.raises(SourceError, match=f"bad.csv, {says}"):
        require_regular(read_series(write(frame, tmp_path / "bad.csv"), "date"), "bad.csv")


def test_where_no_step_leads_forward_none_is_expected(tmp_path):
    still = table().assign(date=table()["date"].iloc[0])
    series = read_series(write(still, tmp_path / "still.csv"), "date")
    with pytest.raises(SourceError, match="expected each row to be later than the one before"):
        require_regular(series, "newest.csv")


def test_the_usual_step_of_one_time_is_none():
    assert usual_step(np.array(["2020-01-01"], "datetime64[us]")) == np.timedelta64(0, "us")


def windows(lengths, look_back, horizon):
    return Windows(**lengths, look_back=look_back, horizons=[horizon], season=1)


@given(LENGTHS, st.integers(0, 50), st.integers(1, 30), st.integers(1, 20))
def test_no_target_crosses_a_split_and_no_window_its_series(lengths, spare, look_back, horizon):
    steps = np.arange(sum(lengths.values()) + spare)
    room = {"train": look_back + horizon, "validation": horizon, "test": horizon}
    if any(lengths[name] < room[name] for name in SPLITS):
        with pytest.raises(SourceError, match=rf"train {look_back + horizon:,}, validation"):
            divide(len(steps), windows(lengths, look_back, horizon))
        return
    splits = divide(len(steps), windows(lengths, look_back, horizon))
    assert [split.start for split in splits.values()][1:] == [
        split.stop for split in splits.values()
    ][:-1]
    for split in splits.values():
        starts = window_starts(split, look_back, horizon)
        assert starts.tolist() == [
            start for start in split if start >= look_back and start + horizon <= split.stop
        ]
        past, future = cut(steps, starts, look_back, horizon)
        assert np.isin(future, split).all()
        assert (past.max(axis=1) < future.min(axis=1)).all()
        assert (np.diff(np.hstack([past, future]), axis=1) == 1).all()


@given(LENGTHS, st.integers(1, 30), st.integers(1, 20), st.integers(0, 40))
def test_a_window_that_reaches_beyond_its_split_holds_nothing_of_the_next(
    lengths, look_back, shortest, longer
):
    values = np.arange(float(sum(lengths.values())))[:, None]
    split = range(lengths["train"], lengths["train"] + lengths["validation"])
    if max(split.start, look_back) + shortest > split.stop:
        return
    starts = window_starts(split, look_back, shortest)
    past, future = cut(values, starts, look_back, shortest + longer, stop=split.stop)
    known = np.isfinite(future)
    assert np.isin(future[known], split).all()
    assert (future[known] > past.max()).any()
    steps = starts[:, None] + np.arange(shortest + longer)
    np.testing.assert_array_equal(known[..., 0], steps < split.stop)


def test_a_series_shorter_than_its_splits_is_refused():
    with pytest.raises(SourceError, match=r"has 9 steps, its splits need 10"):
        divide(9, windows({"train": 5, "validation": 3, "test": 2}, 1, 1))


@given(st.integers(10, 10_000), st.integers(1, 98), st.integers(1, 98))
def test_shares_give_away_all_of_the_series_and_numbers_are_kept(steps, first, second):
    if first + second > 99:
        first, second = 50, 25
    shares = {"train": first / 100, "validation": second / 100}
    parts = {**shares, "test": max(1e-9, 1 - sum(shares.values()))}
    try:
        splits = divide(steps, windows(parts, 1, 1))
    except SourceError:
        assert min(share * steps for share in parts.values()) < 3
        return
    assert splits["test"].stop == steps
    for name, share in parts.items():
        assert abs(len(splits[name]) - share * steps) <= 1


@given(st.integers(2, 40), st.integers(1, 4), st.integers(0, 2**31))
def test_scaling_comes_undone_and_train_has_mean_0_and_deviation_1(steps, channels, seed):
    values = np.random.default_rng(seed).normal(3, 5, (steps, channels))
    scaler = Scaler.fit(values)
    scaled = scaler.scale(values)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(scaled.std(axis=0), 1)
    np.testing.assert_allclose(scaler.unscale(scaled), values)


def test_a_constant_channel_is_left_unscaled():
    for value in (7.0, 0.1):  # the mean of many 0.1 is not quite 0.1
        scaler = Scaler.fit(np.full((1000, 1), value))
        np.testing.assert_allclose(
            scaler.scale(np.array([[value], [value + 1]])), [[0.0], [1.0]], atol=1e-12
        )
