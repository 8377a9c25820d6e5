"""The gate before a series: each broken fact fails its own expectation, and only that one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnpipe.config.series import Windows
from rnnpipe.errors import DataValidationError, SourceError
from rnnpipe.problems.forecasting.expectations import series_suite
from rnnpipe.problems.forecasting.facts import series_facts
from rnnpipe.problems.forecasting.far_off import far_off
from rnnpipe.problems.forecasting.params import SeriesValidate
from rnnpipe.validation.verdict import Verdict, check, require

LIMITS = SeriesValidate(max_deviations=8.0, ranges={"load": [-50, 50]})
MARKED = "column oil: -9999 in line 52 (2016-07-03 02:00:00), a usual mark of a missing value"
WINDOWS = Windows(train=60, validation=20, test=20, look_back=10, horizons=[2, 8], season=5)


def frame(steps: int = 100) -> pd.DataFrame:
    random = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "date": pd.date_range("2016-07-01", periods=steps, freq="h"),
            "load": random.normal(0, 3, steps),
            "oil": random.normal(20, 1, steps),
        }
    )


def judge(folder: Path, table: pd.DataFrame, windows: Windows = WINDOWS) -> Verdict:
    table.to_parquet(folder / "series.parquet", index=False)
    facts = series_facts(folder / "series.parquet", LIMITS)
    return check(facts, series_suite(LIMITS, windows), "series", folder / "docs")


def failed(verdict: Verdict) -> dict[str, tuple[str, ...]]:
    return {each.name: each.unexpected_ids for each in verdict.expectations if not each.passed}


def test_a_good_series_passes(tmp_path: Path) -> None:
    table = frame()
    table.loc[3:22, "oil"] = np.nan
    verdict = judge(tmp_path, table)
    assert (verdict.passed, failed(verdict)) == (True, {})
    require(verdict, tmp_path / "index.html")


@pytest.mark.parametrize(
    ("row", "column", "value", "expected"),
    [
        (
            50,
            "date",
            pd.Timestamp("2016-07-03 01:00"),
            {"times_unique": ("2016-07-03 01:00:00",), "no_gaps": ("2016-07-03 03:00:00",)},
        ),
        (
            50,
            "date",
            pd.Timestamp("2016-07-03 00:30"),
            {"times_rise": ("2016-07-03 00:30:00",), "no_gaps": ("2016-07-03 03:00:00",)},
        ),
        (
            50,
            "date",
            pd.Timestamp("2016-07-03 02:20"),
            {"no_gaps": ("2016-07-03 02:20:00",), "regular_steps": ("2016-07-03 03:00:00",)},
        ),
        (99, "date", pd.Timestamp("2016-08-01"), {"no_gaps": ("2016-08-01 00:00:00",)}),
        (
            50,
            "load",
            51.0,
            {
                "values_in_range": ("2016-07-03 02:00:00",),
                "values_not_far_off": ("2016-07-03 02:00:00",),
                "columns_in_range": ("column load: 51 in line 52 (2016-07-03 02:00:00)",),
                "columns_not_far_off": ("column load: 51 in line 52 (2016-07-03 02:00:00)",),
            },
        ),
        (
            50,
            "oil",
            -9999.0,
            {
                "values_not_far_off": ("2016-07-03 02:00:00",),
                "columns_not_far_off": (MARKED,),
                "no_usual_marks": (MARKED,),
            },
        ),
        (
            slice(50, 59),
            "oil",
            -9999.0,
            {
                "values_not_far_off": tuple(f"2016-07-03 {hour:02}:00:00" for hour in range(2, 12)),
                "columns_not_far_off": (f"{MARKED}; 10 such",),
                "no_usual_marks": (f"{MARKED}; 10 such",),
            },
        ),
        (
            50,
            "load",
            1e200,
            {
                "values_finite": ("2016-07-03 02:00:00",),
                "columns_finite": ("column load",),
                "values_in_range": ("2016-07-03 02:00:00",),
                "columns_in_range": ("column load",),
            },
        ),
        (slice(0, 30), "oil", np.nan, {"few_missing": ("column oil: 31.0% missing",)}),
        (
            slice(None),
            "oil",
            7.0,
            {"no_constant_column": ("column oil",)},
        ),
        (
            slice(None),
            "oil",
            np.nan,
            None,
        ),
    ],
)
def test_a_broken_row_or_column_fails_its_expectation_and_is_named(
    tmp_path: Path,
    row: int | slice,
    column: str,
    value: object,
    expected: dict[str, tuple[str, ...]] | None,
) -> None:
    table = frame()
    table.loc[row, column] = value
    verdict = judge(tmp_path, table)
    if expected is None:
        assert {"few_missing", "no_constant_column"} == set(failed(verdict))
    else:
        assert failed(verdict) == expected
    with pytest.raises(DataValidationError, match="the series do not meet"):
        require(verdict, tmp_path / "index.html")


@pytest.mark.parametrize(
    ("windows", "least"),
    [
        (WINDOWS, 100),
        (WINDOWS.model_copy(update={"train": 0.6, "validation": 0.2, "test": 0.2}), 40),
        (WINDOWS.model_copy(update={"train": 0.8, "validation": 0.1, "test": 0.1}), 80),
    ],
)
def test_too_short_a_series_is_told_how_long_it_must_be(
    tmp_path: Path, windows: Windows, least: int
) -> None:
    verdict = judge(tmp_path, frame(least - 1), windows)
    assert failed(verdict) == {"long_enough": ()}
    with pytest.raises(DataValidationError, match=f"at least {least} steps"):
        require(verdict, tmp_path / "index.html")
    assert judge(tmp_path, frame(least), windows).passed


def test_a_series_of_no_rows_fails_instead_of_crashing(tmp_path: Path) -> None:
    assert "long_enough" in failed(judge(tmp_path, frame(0)))


def test_a_range_for_a_column_that_is_not_there_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"each column of validate\.ranges \('load'\)"):
        judge(tmp_path, frame().drop(columns="load"))


def test_a_column_of_text_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="column oil"):
        judge(tmp_path, frame().assign(oil="much"))


SEEDS = st.integers(0, 2**31)


@given(SEEDS, st.integers(60, 900), st.floats(1e-3, 1e9), st.floats(0.01, 0.4), st.booleans())
def test_no_error_value_hides_itself_however_many_there_are(
    seed: int, rows: int, level: float, share: float, alone: bool
) -> None:
    random = np.random.default_rng(seed)
    values = level * random.normal(3, 0.1, rows)
    wrong = np.arange(rows) == rows // 2 if alone else random.random(rows) < share
    values[wrong] = random.choice([-1e3, 1e3]) * level  # no usual mark, but for its distance
    found = far_off(values, 20.0)
    np.testing.assert_array_equal(found.far, wrong)
    shuffled = random.permutation(rows)
    np.testing.assert_array_equal(far_off(values[shuffled], 20.0).far, wrong[shuffled])
    rescaled = far_off(values / 7 + 2 * level, 20.0)
    np.testing.assert_array_equal(rescaled.far, wrong)


@given(SEEDS, st.sampled_from([0.5, 0.9, 0.99, 0.999]), st.sampled_from(["gamma", "ones", "moves"]))
def test_a_column_that_is_mostly_one_value_may_be_another_one_at_times(
    seed: int, share: float, kind: str
) -> None:
    random = np.random.default_rng(seed)
    rows = 2000
    match kind:
        case "gamma":  # rain
            other = random.gamma(0.7, 3, rows)
        case "ones":  # a holiday
            other = np.ones(rows)
        case _:  # stands still, and then does not
            share, other = min(share, 0.9), 1e3 + random.normal(0, 100, rows)
    values = np.where(np.arange(rows) < share * rows, 5.0, 5.0 + other)
    assert not far_off(values, 20.0).far.any()
    values[rows // 3] = -9999.0
    assert np.flatnonzero(far_off(values, 20.0).far).tolist() == [rows // 3]


@pytest.mark.parametrize(
    ("values", "mark", "far"),
    [
        ([1.0, 4.0, 9.0, 2.0], -99.0, True),
        ([400.0, 10.0, 300.0, 250.0, 0.0], -999.0, True),
        ([499.0, 549.0, 599.0, 649.0, 449.0], 999.0, False),  # a price
        ([1.0, 4.0, 9.0, 2.0], 1e20, True),
        ([0.0, 1.0, 0.0, 0.0], 9999.0, True),
        ([5.0, 5.2, 5.0, 5.0], 30.0, None),  # no mark, and too few values to say what is far
        ([0.0, 1.0, 2.0, 3.0, 0.0, 4.0], -7777.0, "unmarked"),
        ([-500.0, 4.0, 400.0, 20.0], -99.0, None),  # within what the column spans
    ],
)
def test_a_usual_mark_of_a_missing_value_is_suspected_where_it_stands_apart(
    values: list[float], mark: float, far: bool | str | None
) -> None:
    found = far_off(np.array([*values, mark]), 20.0)
    assert (found.marked[-1], found.far[-1]) == (isinstance(far, bool), bool(far))
    assert not found.far[:-1].any()
    assert not found.marked[:-1].any()
    assert not far_off(np.array([*values, mark]), 20.0, ranged=True).marked.any()
