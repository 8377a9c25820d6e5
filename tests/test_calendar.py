"""Steps of time against pandas' own offsets, and the marks of zones."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpipe.errors import SourceError
from rnnpipe.series.calendar import Step, find_step, odd_steps, parse_step
from rnnpipe.series.reading import read_series
from rnnpipe.series.table import require_regular

# Each with its name by pandas, and the clock or calendar it goes by.
BY_CLOCK = ("s", "min", "15min", "30min", "h", "6h", "12h")
BY_DAYS = (
    "D",
    "2D",
    "W-SUN",
    "W-WED",
    "B",
    "MS",
    "ME",
    "2MS",
    "QS",
    "QE",
    "YS",
    "YE",
    "BME",
    "BMS",
)
STARTS = st.datetimes(pd.Timestamp(1950, 1, 1), pd.Timestamp(2030, 1, 1)).map(
    lambda start: pd.Timestamp(start).floor("D") + pd.Timedelta(hours=4)
)
ZONES = st.sampled_from([None, "UTC", "+05:30", "Europe/Berlin", "America/New_York"])


@given(st.sampled_from((*BY_CLOCK, *BY_DAYS)), STARTS, st.integers(30, 80))
def test_a_series_goes_on_as_pandas_has_it(freq, start, steps):
    times = pd.date_range(start, periods=steps + 20, freq=freq).to_numpy("datetime64[us]")
    step = find_step(times[:steps])
    assert odd_steps(times[:steps], step) == 0
    ahead = step.after(np.repeat(times[steps - 1 : steps], 20), np.arange(1, 21))
    np.testing.assert_array_equal(ahead, times[steps:])
    assert parse_step(str(step)) == step
    holes = np.delete(times[:steps], [steps // 2])
    assert find_step(holes) == step


@settings(max_examples=30)
@given(
    st.sampled_from(("csv", "parquet")),
    st.sampled_from(("30min", "h", "D", "B", "MS")),
    STARTS,
    ZONES,
)
def test_times_ahead_carry_the_mark_of_those_before(tmp_path_factory, suffix, freq, start, zone):
    every = pd.date_range(start, periods=45, freq=freq, tz=zone)
    path = tmp_path_factory.mktemp("series") / f"series.{suffix}"
    frame = pd.DataFrame({"date": every[:40], "load": np.arange(40.0)})
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path, index=False)
    series = read_series(path, "date")
    require_regular(series, "it")
    ahead = series.step.after(np.repeat(series.times[-1:], 5), np.arange(1, 6))
    shown = pd.to_datetime(series.form.shown(ahead), utc=zone is not None)
    if zone and suffix == "csv":  # the zone is not known, but the last offset is
        offset = every[39].utcoffset()
        if any(time.utcoffset() != offset for time in every[40:]):
            return
    wanted = every[40:] if zone is None else every[40:].tz_convert("UTC")
    assert list(shown) == list(wanted)


def test_a_day_of_23_hours_is_a_day_and_hours_are_counted_in_utc(tmp_path):
    days = pd.date_range("2022-03-20", periods=20, freq="D", tz="Europe/Berlin")
    hours = pd.date_range("2022-10-29 20:00", periods=20, freq="h", tz="Europe/Berlin")
    for times, step, after in (
        (days, "1 day", "2022-04-09 00:00:00+02:00"),
        (hours, "1 hour", "2022-10-30 15:00:00+01:00"),
    ):
        for path in (tmp_path / "series.csv", tmp_path / "series.parquet"):
            frame = pd.DataFrame({"date": times, "load": range(20)})
            (frame.to_csv if path.suffix == ".csv" else frame.to_parquet)(path, index=False)
            series = read_series(path, "date")
            require_regular(series, "it")
            assert str(series.step) == step
            assert series.form.shown(series.step.after(series.times[-1:])) == [after]


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("hourly", Step("clock", 3_600_000_000)),
        ("15 minutes", Step("clock", 900_000_000)),
        ("business-daily", Step("business", 1)),
        ("weekly", Step("clock", 7 * 86_400_000_000)),
        ("monthly", Step("month", 1)),
        ("2 quarters on the last day", Step("month", 6, 31)),
        ("yearly", Step("month", 12)),
        ("1 month on the last business day", Step("month", 1, 31, business=True)),
    ],
)
def test_a_step_is_said_in_words(text, step):
    assert parse_step(text) == step
    assert parse_step(str(step)) == step


def test_a_step_that_nobody_knows_is_named():
    with pytest.raises(SourceError, match="found the step 'fortnightly', expected one such as"):
        parse_step("fortnightly")
