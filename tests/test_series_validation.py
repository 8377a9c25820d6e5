"""The gate before a series: each broken fact fails its own expectation, and only that one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rnnpipe.config.series import Windows
from rnnpipe.errors import DataValidationError, SourceError
from rnnpipe.problems.forecasting.expectations import series_suite
from rnnpipe.problems.forecasting.facts import series_facts
from rnnpipe.problems.forecasting.params import SeriesValidate
from rnnpipe.validation.verdict import Verdict, check, require

LIMITS = SeriesValidate(max_deviations=8.0, ranges={"load": [-50, 50]})
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
    verdict = judge(tmp_path, frame())
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
                "columns_in_range": ("column load",),
                "values_not_far_off": ("2016-07-03 02:00:00",),
                "columns_not_far_off": ("column load",),
            },
        ),
        (
            50,
            "oil",
            -9999.0,
            {
                "values_not_far_off": ("2016-07-03 02:00:00",),
                "columns_not_far_off": ("column oil",),
            },
        ),
        (
            50,
            "oil",
            np.nan,
            {"values_finite": ("2016-07-03 02:00:00",), "columns_finite": ("column oil",)},
        ),
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
        assert {"values_finite", "columns_finite", "no_constant_column"} == set(failed(verdict))
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
