"""Tables of series as people have them: read as a person would, or refused with what to do."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_init_series import PARAMS, project, seasonal

from rnnpipe.__main__ import main
from rnnpipe.config.load import load_params
from rnnpipe.problems.forecasting.data import prepare
from rnnpipe.series.panel import Panel
from rnnpipe.series.prepared import load_panel

__all__ = ["project"]  # a fixture


def days(steps: int = 300, frequency: str = "D") -> pd.DataFrame:
    times = pd.date_range("2021-03-01", periods=steps, freq=frequency)
    return pd.DataFrame({"date": times, "sales": seasonal(steps, 7).round(2)})


def shops(*names: Any, steps: int = 120) -> pd.DataFrame:
    parts = [days(steps).assign(shop=name) for name in names]
    return pd.concat(parts, ignore_index=True)[["date", "shop", "sales"]]


def hours() -> pd.DataFrame:
    times = pd.date_range("2022-01-01", periods=480, freq="h")
    frame = pd.DataFrame({"Date": times.date, "Hour": times.hour, "load": seasonal(480, 24)})
    return frame.round(2)


def read(frame: pd.DataFrame | str, *options: str, suffix: str = ".csv", **how: Any) -> Panel:
    path = Path("own").with_suffix(suffix)
    if isinstance(frame, str):
        path.write_text(frame, encoding="utf-8")
    elif suffix == ".parquet":
        frame.to_parquet(path, **how)
    else:
        frame.to_csv(path, **{"index": False} | how)
    assert main(["init", str(path), "--yes", *options]) == 0
    params = load_params(PARAMS)
    prepare(path, Path("series.parquet"), params)  # type: ignore[arg-type]
    return load_panel(Path("series.parquet"))


def lines(frame: pd.DataFrame, **how: Any) -> str:
    file = io.StringIO()
    frame.to_csv(file, index=False, **how)
    return file.getvalue()


# By name: how to read it, then columns, ids, step and length that are right.
RIGHT: dict[str, tuple[Callable[[], Panel], tuple[str, ...], tuple[str, ...], str, int]] = {
    "two digits of a year first": (
        lambda: read(days().assign(date=lambda f: f["date"].dt.strftime("%y-%m-%d"))),
        ("sales",), ("",), "1 day", 300,
    ),
    "money": (
        lambda: read(days().assign(sales=lambda f: "$" + f["sales"].map("{:.2f}".format))),
        ("sales",), ("",), "1 day", 300,
    ),
    "percent and euro": (
        lambda: read(
            days().assign(
                share=lambda f: f["sales"].map("{:.1f}%".format),
                price=lambda f: f["sales"].map("{:.2f} €".format),
            )
        ),
        ("sales", "share", "price"), ("",), "1 day", 300,
    ),
    "a minus of typesetters": (
        lambda: read(days().assign(sales=lambda f: (f["sales"] - 50).map("{:.2f}".format).str.replace("-", "\u2212"))),
        ("sales",), ("",), "1 day", 300,
    ),
    "row numbers": (
        lambda: read(days().assign(id=range(1, 301))[["id", "date", "sales"]]),
        ("sales",), ("",), "1 day", 300,
    ),
    "an index that falls": (
        lambda: read(days()[::-1], index=True), ("sales",), ("",), "1 day", 300,
    ),
    "an index that begins anew": (
        lambda: read(pd.concat([days(90).assign(shop=s) for s in "ab"]), index=True),
        ("sales",), ("a", "b"), "1 day", 180,
    ),
    "a filtered frame": (
        lambda: read(days(310).drop(index=range(20, 30)), suffix=".parquet"),
        ("sales",), ("",), "1 day", 310,
    ),
    "row number, then ids": (
        lambda: read(shops("n", "s").assign(id=range(240))[["id", "date", "shop", "sales"]]),
        ("sales",), ("n", "s"), "1 day", 240,
    ),
    "ids, some of letters": (
        lambda: read(shops(1, 2, 10, "N5").rename(columns={"shop": "route"})),
        ("sales",), ("1", "10", "2", "N5"), "1 day", 480,
    ),
    "ids of floats": (
        lambda: read(shops(1.0, 2.0).rename(columns={"shop": "unique_id"}), suffix=".parquet"),
        ("sales",), ("1", "2"), "1 day", 240,
    ),
    "an optional column beside the ids": (
        lambda: read(shops("n", "s").assign(note=["", "sale"] * 120)[["date", "note", "shop", "sales"]]),
        ("sales",), ("n", "s"), "1 day", 240,
    ),
    "a stray series": (
        lambda: read(pd.concat([shops("n", "s"), shops("stray", steps=3)])),
        ("sales",), ("n", "s", "stray"), "1 day", 243,
    ),
    "dashes where nothing is": (
        lambda: read(days().astype({"sales": object}).assign(sales=lambda f: f["sales"].where(f.index % 9 > 0, "-"))),
        ("sales",), ("",), "1 day", 300,
    ),
    "empty rows of a spreadsheet": (
        lambda: read(lines(days()) + ",\n,\n,\n"), ("sales",), ("",), "1 day", 300,
    ),
    "columns that say nothing": (
        lambda: read(days().assign(station=4711, height=12.5, seldom=[1.0] + [np.nan] * 299)),
        ("sales",), ("",), "1 day", 300,
    ),
    "a second column of times": (
        lambda: read(days().assign(close_time=lambda f: f["date"].astype("datetime64[s]").astype(int))),
        ("sales",), ("",), "1 day", 300,
    ),
    "few remarks": (
        lambda: read(shops("n", "s").assign(remark=[""] * 220 + ["stock was taken on this day"] * 20)),
        ("sales",), ("n", "s"), "1 day", 240,
    ),
    "spaces within thousands": (
        lambda: read(
            pd.DataFrame({"Year": range(1900, 2000), "People": [f"{n:,}".replace(",", " ") for n in range(5_000_100, 5_010_100, 100)]}),
            "--season", "1",
        ),
        ("People",), ("",), "1 year on day 1", 100,
    ),
    "milliseconds by any name": (
        lambda: read(days(300, "h").assign(at=lambda f: f["date"].astype("datetime64[ms]").astype(int))[["at", "sales"]]),
        ("sales",), ("",), "1 hour", 300,
    ),
    "closed on Sundays, a zero": (
        lambda: read(days().assign(sales=lambda f: f["sales"].where(f["date"].dt.dayofweek < 6, 0))),
        ("sales",), ("",), "1 day", 300,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_it_is_read_as_a_person_would(project: Path, name: str) -> None:
    action, columns, ids, step, rows = RIGHT[name]
    panel = action()
    assert (panel.names, panel.ids) == (columns, ids)
    assert (str(panel.step), len(panel)) == (step, rows)


AUTUMN = pd.date_range("2023-10-20", periods=480, freq="h", tz="UTC").tz_convert("Europe/Berlin")
# By name: the table, and what the sentence says.
REFUSED: dict[str, tuple[pd.DataFrame | str, str]] = {
    "date and hour": (hours(), "'Date' and 'Hour' look like two parts of the time"),
    "date and clock": (
        hours().assign(Time=lambda f: f["Hour"].map("{:02}:00".format))[["Date", "Time", "load"]],
        "'Date' and 'Time' look like two parts",
    ),
    "year and month": (
        pd.DataFrame({"Year": np.repeat(range(1950, 2000), 12), "Month": list(range(1, 13)) * 50, "t": seasonal(600, 12)}),
        "'Year' and 'Month' look like two parts",
    ),
    "thousands of Germany": (
        "Datum;Umsatz\n" + "".join(f"{d:%d.%m.%Y};{10 + n % 80}.{561 + n % 400}\n" for n, d in enumerate(days()["date"])),
        "prepare.decimal and prepare.thousands",
    ),
    "one day of many places": (
        pd.DataFrame({"country": [f"c{n}" for n in range(99)], "date": "2024-01-01", "gdp": seasonal(99, 1)}),
        "times come more than once, 2024-01-01 first",
    ),
    "an hour twice": (
        pd.DataFrame({"time": AUTUMN.strftime("%Y-%m-%d %H:%M"), "load": seasonal(480, 24)}),
        "an hour of autumn comes twice in local time",
    ),
    "summer and winter time": (
        pd.DataFrame({"time": AUTUMN.strftime("%Y-%m-%d %H:%M"), "tz": AUTUMN.strftime("%Z"), "load": seasonal(480, 24)}),
        "look like two parts of the time",
    ),
    "a day twice": (
        pd.concat([days(), days()[40:41]]).assign(units=range(100, 401)),
        "times come more than once, 2021-04-10 first",
    ),
    "two keys": (
        pd.concat([shops("n", "s").assign(item=item) for item in "ab"]),
        "(not 'shop', 'item')",
    ),
    "no line of names": ("2021-02-28,99.0\n" + lines(days()).partition("\n")[2], "no line of names"),
    "weeks of the year": (
        pd.DataFrame({"week": [f"2021-W{n:02}" for n in range(1, 53)], "sold": seasonal(52, 1)}),
        "no column holds times",
    ),
    "an id is missing": (
        shops("n", "s", None).rename(columns={"shop": "unique_id"}),
        "found nothing, expected what tells the series apart",
    ),
    "too short": (days(30), "own.csv: the series has 30 steps"),
    "always the same": (days().assign(sales=5.0), "there is nothing to learn from: 'sales' (always the same)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_what_to_do(
    project: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    frame, expected = REFUSED[name]
    Path("own.csv").write_text(frame if isinstance(frame, str) else lines(frame))
    before = PARAMS.read_text()
    assert main(["init", "own.csv", "--yes"]) == 1
    told = capsys.readouterr().err
    assert expected in told
    assert "own.csv" in told
    assert told.count("\n") == 1
    assert PARAMS.read_text() == before
