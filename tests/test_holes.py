"""Holes of a series: put in, filled from the past alone, learnt from and judged nowhere."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rnnpipe.config.series import Windows
from rnnpipe.errors import SourceError
from rnnpipe.metrics.dependent import block_bootstrap, block_p_value
from rnnpipe.problems.forecasting.linear_forecaster import choose_linear_forecaster
from rnnpipe.problems.forecasting.metrics import forecast_metrics
from rnnpipe.series.calendar import DAY, Step
from rnnpipe.series.holes import filled, put_in_steps
from rnnpipe.series.prepared import load_panel, write_panel
from rnnpipe.series.reading import read_series
from rnnpipe.series.table import Scaler, Series, require_regular
from rnnpipe.series.windows import WindowedSeries, latest_window

WINDOWS = Windows(train=60, validation=20, test=20, look_back=10, horizons=[2, 8], season=5)
STEPS = [
    Step("clock", DAY // 144),
    Step("clock", DAY),
    Step("business", 1),
    Step("month", 1, 31),
    Step("month", 3),
]
HOLES = st.lists(st.integers(0, 99), max_size=40, unique=True)


def walk(steps: int = 100, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(5, 3, (steps, 2)).cumsum(axis=0)


def series(holes: list[int], seed: int = 1) -> Series:
    times = np.datetime64("2020-01-01", "us") + np.arange(100) * np.timedelta64(1, "h")
    values = walk(seed=seed)
    values[holes, 0] = np.nan
    values[holes[::2], 1] = np.nan
    return Series(times, values, ("load", "oil"), "date")


@given(
    step=st.sampled_from(STEPS),
    out=st.sets(st.integers(1, 58), max_size=29),
    seed=st.integers(0, 9),
)
def test_steps_that_are_left_out_come_back_as_holes(step: Step, out: set[int], seed: int) -> None:
    first = np.array(["2020-01-31"], "datetime64[us]")
    if step.day == 1 and step.kind == "month":
        first = np.array(["2020-01-01"], "datetime64[us]")
    whole = step.after(np.repeat(first, 60), np.arange(60))
    values, kept = walk(60, seed), np.array([n for n in range(60) if n not in out])
    times, found = put_in_steps(whole[kept], values[kept], step)
    np.testing.assert_array_equal(times, whole)
    values[sorted(out)] = np.nan
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("fault", ["twice", "between", "backward", "mostly gone"])
def test_what_is_irregular_otherwise_stays_for_the_validation_to_name(fault: str) -> None:
    times = np.datetime64("2020-01-01", "us") + np.arange(40) * np.timedelta64(1, "h")
    match fault:
        case "twice":
            times[20] = times[19]
        case "between":
            times[20] += np.timedelta64(7, "m")
        case "backward":
            times[20] -= np.timedelta64(5, "h")
        case _:
            times[30:] += np.timedelta64(100, "h")
    found, values = put_in_steps(times, walk(40), Step("clock", DAY // 24))
    assert found is times
    assert len(values) == 40


@given(holes=HOLES, how=st.sampled_from(["last", "season", "zero"]), season=st.integers(1, 30))
def test_a_hole_is_filled_from_what_came_before_it(holes: list[int], how: str, season: int) -> None:
    values = walk()
    values[holes, 0] = np.nan
    found = filled(values, how, season)  # type: ignore[arg-type]
    known = np.isfinite(values)
    np.testing.assert_array_equal(found[known], values[known])
    assert np.isfinite(found).all()
    first = int(np.argmax(known[:, 0]))
    for end in range(first + 1, 100, 7):
        np.testing.assert_array_equal(
            filled(values[:end], how, season),  # type: ignore[arg-type]
            found[:end],
        )
    for row in holes:
        if row <= first:
            continue
        before = values[:row, 0]
        match how:
            case "zero":
                expected = 0.0
            case "season" if np.isfinite(before[row % season :: season]).any():
                same = before[row % season :: season]
                expected = same[np.isfinite(same)][-1]
            case "season":
                continue  # no season before: as the last one, filled or not
            case _:
                expected = before[np.isfinite(before)][-1]
        assert found[row, 0] == expected


def test_a_column_without_a_value_stays_so() -> None:
    assert np.isnan(filled(np.full((5, 1), np.nan), "season", 2)).all()


@given(holes=HOLES, seed=st.integers(0, 99))
def test_windows_read_no_hole_and_are_judged_by_none(holes: list[int], seed: int) -> None:
    given_series = series(holes)
    assume(np.isfinite(given_series.values[:60]).sum(axis=0).min() > 1)
    windowed = WindowedSeries.of(given_series, WINDOWS)
    random = np.random.default_rng(seed)
    for split in windowed.splits:
        starts = windowed.starts(split)
        past, future = windowed.batch(split, starts)
        assert np.isfinite(past).all()
        assert np.isfinite(future[:, :2]).any(axis=(1, 2)).all()
        truth = np.where(np.isfinite(future), future, random.normal(size=future.shape))
        errors = forecast_metrics(
            lambda past, truth=truth: truth[: len(past)] + 1.0, windowed, split
        )
        # Wrong by one wherever something is known, wrong by anything elsewhere.
        np.testing.assert_allclose(errors.mse[0], 1.0, atol=1e-5)
        np.testing.assert_allclose(errors.mae[0], 1.0, atol=1e-5)
        told = errors.window_mse[0]
        np.testing.assert_allclose(told[np.isfinite(told)], 1.0, atol=1e-5)
        assert 0 < block_p_value(told - 1.0, 2, samples=100, seed=1) <= 1
        interval = block_bootstrap(told, 2, samples=100, confidence=0.9, seed=1)
        assert interval.low == pytest.approx(1.0, abs=1e-5)


def test_the_scaling_is_that_of_what_is_known() -> None:
    holes = [1, 5, 30, 70]
    given_series = series(holes)
    known = given_series.values[:60, 0]
    known = known[np.isfinite(known)]
    (scaler,) = WindowedSeries.of(given_series, WINDOWS).scalers
    assert scaler.mean[0] == pytest.approx(known.mean())
    assert scaler.deviation[0] == pytest.approx(known.std())
    with pytest.raises(SourceError, match="'load' has no value in the split train"):
        WindowedSeries.of(series(list(range(60))), WINDOWS)
    with pytest.raises(SourceError, match="no value is known of the split test"):
        both = series([])
        both.values[80:] = np.nan
        WindowedSeries.of(both, WINDOWS).starts("test")


def test_windows_with_holes_come_back_from_their_folder(tmp_path: Path) -> None:
    zero = WINDOWS.model_copy(update={"fill": "zero"})
    windowed = WindowedSeries.of(series([3, 40, 95]), zero)
    windowed.save(tmp_path / "windows")
    loaded = WindowedSeries.load(tmp_path / "windows")
    np.testing.assert_array_equal(loaded.values, windowed.values)
    np.testing.assert_array_equal(loaded.inputs, windowed.inputs)
    own = windowed.scalers[0].unscale(loaded.inputs)
    np.testing.assert_allclose(own[[3, 40, 95], 0], 0, atol=1e-5)
    WindowedSeries.of(series([]), zero).save(tmp_path / "whole")
    assert "fill" not in (tmp_path / "whole/series.json").read_text()


@given(holes=HOLES)
def test_a_linear_map_is_found_whatever_is_missing(holes: list[int]) -> None:
    windowed = WindowedSeries.of(series(holes[:20]), WINDOWS)
    chosen = choose_linear_forecaster(windowed, [1e-4, 1.0])
    assert np.isfinite(chosen.model.weights).all()
    assert all(map(np.isfinite, chosen.validation_mse[2]))


MISSING = ["", "NA", "nan", "null", " "]


@pytest.mark.parametrize("written", [*MISSING, "left out"])
@pytest.mark.parametrize("kind", ["csv", "csv;", "parquet", "jsonl"])
def test_an_empty_cell_and_a_row_that_is_left_out_are_the_same_hole(
    tmp_path: Path, kind: str, written: str
) -> None:
    days = pd.date_range("2021-03-01", periods=50, freq="D")
    table = pd.DataFrame({"day": days.strftime("%Y-%m-%d"), "sales": np.arange(50) / 4})
    path = tmp_path / f"t.{kind.strip(';')}"
    table = table.astype({"sales": object})
    if written == "left out":
        table = table.drop(index=[7, 20])
    elif kind.startswith("csv"):
        table.loc[[7, 20], "sales"] = written
    else:
        table.loc[[7, 20], "sales"] = None
    if kind == "parquet":
        table.astype({"sales": float}).to_parquet(path)
    elif kind == "jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        marks = {"sep": ";", "decimal": ","} if kind == "csv;" else {}
        table.to_csv(path, index=False, **marks)
    found = read_series(path, "day")
    require_regular(found, "it")
    expected = np.arange(50) / 4
    expected[[7, 20]] = np.nan
    np.testing.assert_array_equal(found.values[:, 0], expected)
    assert "(windows.fill)" in found.form.notes[-1]
    assert found.form.moved == (written == "left out")
    write_panel(found, tmp_path / "series.parquet")
    again = load_panel(tmp_path / "series.parquet").parts[0]
    np.testing.assert_array_equal(again.values, found.values)
    assert again.form == found.form


def test_a_time_that_is_missing_or_a_column_without_a_number_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("day,sales\n2021-03-01,1\n,2\n2021-03-03,3\n")
    with pytest.raises(SourceError, match="line 3, column 'day': found nothing"):
        read_series(tmp_path / "t.csv", "day")
    (tmp_path / "u.csv").write_text("day,sales\n2021-03-01,\n2021-03-02,NA\n2021-03-03,\n")
    with pytest.raises(SourceError, match="'sales' holds no number"):
        read_series(tmp_path / "u.csv", "day")
    (tmp_path / "v.csv").write_text("day,sales\n2021-03-01,inf\n2021-03-02,\n2021-03-03,4\n")
    with pytest.raises(SourceError, match="line 2, column 'sales': found 'inf'"):
        read_series(tmp_path / "v.csv", "day")


def test_a_forecast_is_made_from_a_past_with_holes() -> None:
    scaler = Scaler(np.zeros(2), np.ones(2))
    given_series = series([95, 96])
    past = latest_window(given_series, ("load", "oil"), scaler, 10, "last")
    expected = given_series.values[-10:].copy()
    expected[5:7, 0], expected[5, 1] = expected[4, 0], expected[4, 1]
    np.testing.assert_allclose(past[0], expected, rtol=1e-6)
    with pytest.raises(SourceError, match="'load' holds nothing in the last 10 steps"):
        latest_window(series(list(range(90, 100))), ("load", "oil"), scaler, 10)
