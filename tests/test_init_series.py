"""`rnnpipe init` of a series: what it proposes is allowed, fits the series, and reads it."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rnnpipe.__main__ import main
from rnnpipe.config.load import load_params
from rnnpipe.errors import SourceError
from rnnpipe.problems.forecasting.data import prepare
from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.problems.forecasting.plan import (
    TEST,
    TRAIN,
    VALIDATION,
    clear_seasons,
    plan,
    seasons_of,
)
from rnnpipe.series.calendar import DAY, Step
from rnnpipe.series.prepared import load_panel
from rnnpipe.series.table import Series
from rnnpipe.series.windows import WindowedSeries

ROOT = Path(__file__).parents[1]
PARAMS = Path("pipelines/forecasting/params.yaml")
STEPS = {
    "10min": Step("clock", DAY // 144),
    "h": Step("clock", DAY // 24),
    "D": Step("clock", DAY),
    "B": Step("business", 1),
    "W": Step("clock", 7 * DAY),
    "MS": Step("month", 1),
    "QS": Step("month", 3),
    "YS": Step("month", 12),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder of which only the parameters and the definitions are there."""
    for name in ("dvc.yaml", "params.yaml", "pipelines"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def seasonal(steps: int, season: int, seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    turn = np.sin(2 * np.pi * np.arange(steps) / season) if season > 1 else np.zeros(steps)
    return 50 + 10 * turn + random.normal(0, 1, steps)


def table(steps: int = 400, frequency: str = "D", season: int = 7, **columns: Any) -> pd.DataFrame:
    times = pd.date_range("2021-03-01", periods=steps, freq=frequency)
    return pd.DataFrame({"day": times, "sales": seasonal(steps, season).round(2)} | columns)


def written() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(PARAMS.read_text())
    return values


@given(
    steps=st.integers(40, 3000),
    step=st.sampled_from(list(STEPS)),
    season=st.integers(1, 200),
    columns=st.integers(1, 3),
    horizon=st.none() | st.integers(1, 20),
)
def test_what_is_planned_is_allowed_and_fits(
    steps: int, step: str, season: int, columns: int, horizon: int | None
) -> None:
    values = np.stack([seasonal(steps, season, seed) for seed in range(columns)], axis=1)
    if horizon is not None and horizon > int(VALIDATION * steps) // 2:
        with pytest.raises(SourceError, match="at most"):
            plan([values], STEPS[step], horizon)
        return
    found = plan([values], STEPS[step], horizon)
    windows = {
        "train": TRAIN,
        "validation": VALIDATION,
        "test": TEST,
        "look_back": found.look_back,
        "horizons": [found.horizon],
        "season": found.season,
    }
    params = ForecastingParams.model_validate(
        {"problem": "forecasting", "windows": windows, "train": {"segment": found.segment}}
    )
    times = pd.date_range("2000-01-01", periods=steps, freq="h").to_numpy("datetime64[us]")
    names = tuple(f"c{number}" for number in range(columns))
    series = WindowedSeries.of(Series(times, values, names, "date"), params.windows)
    for split in series.splits:
        assert len(series.starts(split))
    assert horizon in (None, found.horizon)
    assert found.look_back % found.season == 0


@pytest.mark.parametrize("step", ["h", "D", "B", "W", "MS", "QS"])
def test_the_season_of_the_calendar_is_found_where_there_is_one(step: str) -> None:
    season = seasons_of(STEPS[step])[0]
    assert plan([seasonal(60 * season, season)[:, None]], STEPS[step]).season == season
    assert plan([seasonal(60 * season, 1)[:, None]], STEPS[step]).season == 1


def test_a_week_is_taken_before_a_day_where_it_says_more() -> None:
    hours = np.arange(24 * 7 * 20)
    weekday = hours // 24 % 7 < 5
    values = np.where(weekday, 10 * np.sin(2 * np.pi * hours / 24), 3.0)[:, None]
    assert list(clear_seasons(values, (24, 168))) == [24, 168]
    assert plan([values], STEPS["h"]).season == 168


@pytest.mark.parametrize(
    ("name", "frequency", "season", "expected"),
    [
        ("hours", "h", 24, (24, 24)),
        ("days", "D", 7, (7, 14)),
        ("business days", "B", 5, (5, 10)),
        ("months", "MS", 12, (12, 12)),
        ("no season", "D", 1, (1, 14)),
    ],
)
def test_init_writes_what_reads_the_file(
    project: Path, name: str, frequency: str, season: int, expected: tuple[int, int]
) -> None:
    table(400, frequency, season).to_csv("own.csv", index=False)
    before = Path("params.yaml").read_text()
    assert main(["init", "own.csv", "--yes"]) == 0
    assert Path("params.yaml").read_text() == before
    params = load_params(PARAMS)
    assert isinstance(params, ForecastingParams)
    assert (params.windows.season, params.windows.horizons[0]) == expected
    prepare(Path("own.csv"), Path("series.parquet"), params)
    series = load_panel(Path("series.parquet")).parts[0]
    assert series.names == ("sales",)
    assert len(series) == 400
    assert main(["init", "own.csv", "--yes"]) == 0
    assert load_params(PARAMS) == params


def test_it_tells_what_it_found_and_what_comes_next(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = table(note="promotion", updated=pd.Timestamp("2024-01-01"))
    frame.to_csv("own shop.csv", sep=";", decimal=",", index=False)
    assert main(["init", "own shop.csv", "--yes"]) == 0
    told = capsys.readouterr().out
    assert "400 steps of 1 day, 2021-03-01 to 2022-04-04" in told
    assert "'sales'" in told
    assert "'note' (no numbers)" in told
    assert "--time-column updated" in told
    assert "numbers are read with ',' before the fraction" in told
    assert "season  7 steps" in told
    assert "dvc repro pipelines/forecasting/dvc.yaml" in told
    assert "python -m rnnpipe forecast 'own shop.csv'" in told


def test_a_person_may_know_better(project: Path) -> None:
    table(other=1.5 * np.arange(400), updated=pd.Timestamp("2024-01-01")).to_parquet("own.parquet")
    asked = ["--time-column", "day", "--target", "other", "--steps", "5", "--season", "10"]
    assert main(["init", "own.parquet", "--yes", *asked]) == 0
    values = written()
    assert values["prepare"]["targets"] == ["other"]
    assert values["windows"]["horizons"] == [5]
    assert values["windows"]["season"] == 10


def test_what_a_person_said_of_the_file_stays(project: Path) -> None:
    frame = table()
    frame["sales"] = [f"{value:.3f}".replace(".", ",") for value in frame["sales"]]
    frame.to_csv("own.csv", index=False)
    assert main(["init", "own.csv", "--yes"]) == 1  # 49,123: a fraction, or thousands
    text = PARAMS.read_text().replace("source: data/etth1.json", "source: own.csv")
    PARAMS.write_text(text.replace("decimal: auto", 'decimal: ","'))
    assert main(["init", "own.csv", "--yes"]) == 0
    assert written()["prepare"]["decimal"] == ","


REFUSED: dict[str, tuple[pd.DataFrame, list[str], str]] = {
    "no times": (table().rename(columns={"day": "place"}).assign(place="x"), [], "no column holds"),
    "too short": (table(30), [], "30 steps, expected 40 or more"),
    "no step ahead": (table(100), ["--steps", "0"], "found 0 for steps ahead"),
    "no season": (table(100), ["--season", "0"], "found 0 for a season"),
    "too far ahead": (table(100), ["--steps", "50"], "at most 7"),
    "too long a season": (table(100), ["--season", "90"], "at most 17"),
    "two series": (pd.concat([table(50), table(50)]), [], "no column tells the series apart"),
    "told apart by two": (
        pd.concat([table(50, shop=s, item=i) for s in "ab" for i in "xy"]),
        [],
        "(not 'shop', 'item')",
    ),
    "no numbers": (table()[["day"]].assign(note="a"), [], "'a', expected a finite number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_learnt_is_refused_and_nothing_written(
    project: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    frame, options, expected = REFUSED[name]
    frame.to_csv("own.csv", index=False)
    before = PARAMS.read_text()
    assert main(["init", "own.csv", "--yes", "--problem", "forecasting", *options]) == 1
    told = capsys.readouterr().err
    assert expected in told
    assert told.count("\n") == 1
    assert PARAMS.read_text() == before


NO_SERIES: dict[str, pd.DataFrame] = {
    "reviews": pd.DataFrame({"review": ["good it was", "it was bad"] * 30, "stars": [5, 1] * 30}),
    "dated reviews": table(60, review="it was a good day for us", label="pos"),
    "news": table(60, headline=[f"prices rise by {n} percent again" for n in range(60)]),
    "no numbers": table(60)[["day"]].assign(kind="a"),
}


@pytest.mark.parametrize("name", NO_SERIES)
def test_texts_are_no_series(project: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    NO_SERIES[name].to_csv("own.csv", index=False)
    before = PARAMS.read_text()
    main(["init", "own.csv", "--yes"])
    assert PARAMS.read_text() == before


def test_years_and_counts_are_no_times_unless_they_are_called_so(project: Path) -> None:
    years = np.arange(1900, 2000)
    frame = pd.DataFrame({"sold": years + 7, "Year": years, "price": seasonal(100, 1).round(2)})
    frame.to_csv("own.csv", index=False)
    assert main(["init", "own.csv", "--yes"]) == 0
    assert written()["prepare"]["time_column"] == "Year"
    pq.write_table(pa.Table.from_pandas(frame), "own.parquet")
    assert main(["init", "own.parquet", "--yes"]) == 0
    assert written()["prepare"]["time_column"] == "Year"
