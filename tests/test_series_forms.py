"""Times, numbers and columns as people write them: what has one reading is read, else both are named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpipe.config.series import Windows
from rnnpipe.errors import SourceError
from rnnpipe.problems.forecasting.data import prepare
from rnnpipe.problems.forecasting.facts import series_facts
from rnnpipe.problems.forecasting.files import REPORTS, SERIES
from rnnpipe.problems.forecasting.params import ForecastingParams, SeriesValidate
from rnnpipe.problems.forecasting.stages import windows as stage_windows
from rnnpipe.series.form import Form
from rnnpipe.series.prepared import load_panel, write_panel
from rnnpipe.series.reading import Choices, read_series
from rnnpipe.series.table import require_regular
from rnnpipe.series.windows import WindowedSeries
from rnnpipe.storage.files import read_json

# Formats with the shortest step that they can tell.
FORMATS = [
    ("%Y-%m-%d %H:%M:%S", "h"),
    ("%Y-%m-%dT%H:%M", "h"),
    ("%Y/%m/%d %H:%M", "15min"),
    ("%d.%m.%Y %H:%M:%S", "10min"),
    ("%d.%m.%y %H:%M", "h"),
    ("%m/%d/%Y %I:%M %p", "h"),
    ("%-m/%-d/%Y %-H:%M", "h"),
    ("%d/%m/%Y", "D"),
    ("%d-%b-%Y", "D"),
    ("%b %d, %Y", "D"),
    ("%Y%m%d", "B"),
    ("%Y%m%d%H", "h"),
    ("%Y-%m", "MS"),
    ("%Y%m", "MS"),
    ("%m/%Y", "MS"),
    ("%b %Y", "MS"),
    ("%Y", "YS"),
]
MARKS = [(".", ""), (",", ""), (".", ","), (",", "."), (".", "'"), (",", " "), (",", "\u202f")]


def written(times: pd.DatetimeIndex, time_format: str) -> list[str]:
    return [time.strftime(time_format) for time in times]


def save(folder: Path, frame: pd.DataFrame, sep: str = ",", **options: object) -> Path:
    frame.to_csv(folder / "series.csv", index=False, sep=sep, **options)
    return folder / "series.csv"


@settings(max_examples=25)
@given(st.sampled_from(FORMATS), st.datetimes(pd.Timestamp(1971, 1, 1), pd.Timestamp(2030, 1, 1)))
def test_times_in_any_form_are_read_and_told_in_it(tmp_path_factory, form, start):
    time_format, freq = form
    every = pd.date_range(pd.Timestamp(start).floor("D"), periods=60, freq=freq)
    if "%y" in time_format and not 1971 <= every[-1].year <= 2060:
        return
    path = tmp_path_factory.mktemp("series") / "series.csv"
    texts = written(every, time_format)
    pd.DataFrame({"date": texts[:50], "load": range(50)}).to_csv(path, index=False)
    try:
        series = read_series(path, "date")
    except SourceError as error:  # all days up to the twelfth, and regular so too
        if "prepare.time_order" not in str(error):
            raise
        return
    assert list(series.times) == list(every[:50].to_numpy("datetime64[us]"))
    ahead = series.step.after(np.repeat(series.times[-1:], 10), np.arange(1, 11))
    assert series.form.shown(ahead) == texts[50:]


@pytest.mark.parametrize(
    ("unit", "size"),
    [("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9)],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_times_may_be_counted_since_1970(tmp_path, unit, size, suffix):
    frame = pd.DataFrame({"date": (1_614_556_800 + 3600 * np.arange(30)) * size, "load": range(30)})
    path = tmp_path / f"series.{suffix}"
    match suffix:
        case "csv":
            frame.to_csv(path, index=False)
        case "parquet":
            frame.to_parquet(path, index=False)
        case "jsonl":
            frame.to_json(path, orient="records", lines=True)
    series = read_series(path, "date")
    assert str(series.times[0]) == "2021-03-01T00:00:00.000000"
    assert series.form.notes == (f"times are read as {unit} since 1970, in UTC",)
    assert series.form.shown(series.step.after(series.times[-1:])) == [str(1_614_664_800 * size)]


def test_a_date_with_two_readings_is_read_by_the_regular_one_or_named(tmp_path):
    days = pd.DataFrame({"date": [f"0{day}.03.2021" for day in range(1, 9)], "load": range(8)})
    with pytest.raises(SourceError) as refused:
        read_series(save(tmp_path, days), "date")
    for told in ("line 2", "'01.03.2021'", "2021-03-01", "2021-01-03", "prepare.time_order"):
        assert told in str(refused.value)
    for order, first in (("day_first", "2021-03-01"), ("month_first", "2021-01-03")):
        series = read_series(save(tmp_path, days), "date", choices=Choices(time_order=order))
        assert str(series.times[0]).startswith(first)
    known = Choices(likely=Form(time_format="%d.%m.%Y"))
    assert (
        str(read_series(save(tmp_path, days), "date", choices=known).times[1])[:10] == "2021-03-02"
    )
    hours = written(pd.date_range("2021-03-01", periods=100, freq="h"), "%d.%m.%Y %H:%M")
    frame = pd.DataFrame({"date": hours, "load": range(100)})
    for table, why in (
        (frame, "only so are steps regular"),
        (frame.drop(index=30), "read otherwise, more steps are odd"),
    ):
        series = read_series(save(tmp_path, table), "date")
        assert series.form.notes[0] == f"times are read day first: {why}"


@given(row=st.integers(0, 19), junk=st.text(min_size=1).filter(lambda text: text.strip(" \t\r\n")))
def test_a_time_with_something_behind_it_is_named_or_is_a_time(tmp_path_factory, row, junk):
    times = [str(time) for time in pd.date_range("2021-03-01", periods=20, freq="h")]
    times[row] += junk
    path = tmp_path_factory.mktemp("series") / "series.parquet"
    pd.DataFrame({"date": times, "load": range(20)}).to_parquet(path, index=False)
    try:
        series = read_series(path, "date")
    except SourceError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:  # a part of a second, or a zone
        assert len(series) == 20


def test_some_times_with_a_zone_and_some_without_are_refused(tmp_path):
    times = ["2021-03-01T00:00Z", "2021-03-01T01:00", "2021-03-01T02:00Z"]
    path = save(tmp_path, pd.DataFrame({"date": times, "load": range(3)}))
    with pytest.raises(SourceError, match="line 3, .*in all rows or in none"):
        read_series(path, "date")


def number(value: float, marks: tuple[str, str], digits: int) -> str:
    text = f"{value:,.{digits}f}" if marks[1] else f"{value:.{digits}f}"
    return text.translate(str.maketrans({".": marks[0], ",": marks[1]}))


@settings(max_examples=25)
@given(
    st.sampled_from(MARKS),
    st.lists(st.floats(-1e7, 1e7), min_size=4, max_size=20),
    st.sampled_from((0, 1, 2, 4)),
    st.sampled_from(",;"),
)
def test_numbers_with_any_marks_are_read_or_both_readings_named(
    tmp_path_factory, marks, values, digits, sep
):
    folder = tmp_path_factory.mktemp("series")
    dates = pd.date_range("2021-03-01", periods=len(values), freq="D").strftime("%Y-%m-%d")
    texts = [number(value, marks, digits) for value in values]
    path = save(folder, pd.DataFrame({"date": dates, "load": texts}), sep)
    choices = Choices(decimal=marks[0], thousands=marks[1] or "none")
    wanted = [round(value, digits) for value in values]
    said = read_series(path, "date", choices=choices).values[:, 0]
    np.testing.assert_allclose(said, wanted, rtol=1e-12, atol=1e-12)
    try:
        found = read_series(path, "date").values[:, 0]
    except SourceError as error:
        if "prepare.decimal and prepare.thousands" not in str(error):
            raise
        return
    alike = np.allclose(found, wanted, rtol=1e-12, atol=1e-12)
    assert alike or np.allclose(1000 * found, wanted)  # all of them alike


@pytest.mark.parametrize(
    ("cells", "sep", "found"),
    [
        (["988", "1.049", "777"], ",", None),
        (["988", "1,049", "777"], ";", None),
        (["1,049", "2,311", "1,777"], ",", None),
        (["1.049", "2.311", "1.777"], ",", [1.049, 2.311, 1.777]),
        (["1,049", "2,311", "1,777"], ";", [1.049, 2.311, 1.777]),
        (["988", "1.049", "20.5"], ",", [988, 1.049, 20.5]),
        (["988", "1.049", "0.125"], ",", [988, 1.049, 0.125]),
        (["988", "1.049.000", "1.049"], ",", [988, 1_049_000, 1049]),
        (["988", "1,049.5", "1,049"], ",", [988, 1049.5, 1049]),
        (["1 049", "988", "2 311,5"], ",", [1049, 988, 2311.5]),
        (["1e3", "2E-1", "+.5"], ",", [1000, 0.2, 0.5]),
    ],
)
def test_marks_with_two_readings_are_named_unless_all_numbers_have_them(
    tmp_path, cells, sep, found
):
    dates = ["2021-03-01", "2021-03-02", "2021-03-03"]
    path = save(tmp_path, pd.DataFrame({"date": dates, "load": cells}), sep)
    if found is None:
        with pytest.raises(SourceError, match=r"'load': found '1.049'.* or 1049 \(.*prepare.thous"):
            read_series(path, "date")
    else:
        assert read_series(path, "date").values[:, 0].tolist() == found


def test_what_a_model_learnt_from_decides_between_two_readings(tmp_path):
    days = ["2021-03-01", "2021-03-02"]
    path = save(tmp_path, pd.DataFrame({"date": days, "load": ["988", "1.049"]}))
    for form, wanted in ((Form(), 1.049), (Form(decimal=",", thousands="."), 1049)):
        series = read_series(path, "date", choices=Choices(likely=form))
        assert series.values[:, 0].tolist() == [988, wanted]


def test_targets_are_the_columns_of_numbers_less_an_index(tmp_path):
    frame = pd.DataFrame(
        {
            "date": pd.date_range("2021-03-01", periods=5, freq="h"),
            "note": ["ok", "ok", "", "bad", "ok"],
            "load": range(5),
            "nothing": [None] * 5,
            "price": [1.5, 2.5, 3.5, 2, 1],
        }
    )
    frame.to_csv(tmp_path / "series.csv")
    series = read_series(tmp_path / "series.csv", "date")
    assert series.names == ("load", "price")
    for name in ("the first, nameless one (an index)", "'note' (no numbers)", "'nothing'"):
        assert name in series.form.notes[0]
    chosen = read_series(tmp_path / "series.csv", "date", choices=Choices(["price"]))
    assert (chosen.names, chosen.form.notes) == (("price",), ())
    with pytest.raises(SourceError, match="line 2, column 'note': found 'ok', expected a finite"):
        read_series(tmp_path / "series.csv", "date", choices=Choices(["note"]))
    with pytest.raises(SourceError, match=r"no column 'prise'; did you mean 'price'.*targets"):
        read_series(tmp_path / "series.csv", "date", choices=Choices(["prise"]))
    for column in ([[1]] * 5, frame["date"]):
        frame.assign(more=column).to_parquet(tmp_path / "series.parquet")
        assert read_series(tmp_path / "series.parquet", "date").names == ("load", "price")


def test_a_nameless_index_of_times_is_named_by_nothing(tmp_path):
    times = pd.date_range("2021-03-01", periods=9, freq="h")
    pd.DataFrame({"load": range(9)}, index=times).to_csv(tmp_path / "series.csv")
    series = read_series(tmp_path / "series.csv", "")
    assert (series.names, str(series.step)) == (("load",), "1 hour")


@settings(max_examples=20)
@given(st.permutations(range(12)))
def test_the_order_of_rows_changes_nothing_but_a_note(tmp_path_factory, order):
    folder = tmp_path_factory.mktemp("series")
    frame = pd.DataFrame(
        {"date": pd.date_range("2021-03-01", periods=12, freq="MS"), "load": range(12)}
    )
    series = read_series(save(folder, frame.iloc[list(order)]), "date")
    assert series.values[:, 0].tolist() == list(range(12))
    assert bool(series.form.notes) == (list(order) != list(range(12)))
    assert ("newest" in "".join(series.form.notes)) == (list(order) == list(range(12))[::-1])


def test_what_was_found_goes_along_with_the_series_and_its_windows(tmp_path):
    months = written(pd.date_range("2010-01-01", periods=60, freq="MS"), "%Y-%m")
    path = save(tmp_path, pd.DataFrame({"date": months[::-1], "load": np.arange(60.0)}))
    series = read_series(path, "date")
    write_panel(series, tmp_path / "series.parquet")
    loaded = load_panel(tmp_path / "series.parquet").parts[0]
    assert (loaded.form, loaded.step) == (series.form, series.step)
    require_regular(loaded, "it")
    windows = Windows(train=0.6, validation=0.2, test=0.2, look_back=6, horizons=[3], season=3)
    WindowedSeries.of(loaded, windows).save(tmp_path / "windows")
    assert WindowedSeries.load(tmp_path / "windows").form == series.form
    assert series.form.kept() == {
        "time_format": "%Y-%m",
        "step": "1 month on day 1",
        "moved": True,
        "notes": ["rows came newest first: they are sorted"],
    }


def test_months_are_regular_to_validation_and_a_step_that_was_said_decides_what_is_a_gap(tmp_path):
    months = pd.date_range("2010-01-31", periods=60, freq="ME").strftime("%Y-%m-%d")
    frame = pd.DataFrame({"date": months, "load": np.arange(60.0)})

    def gaps(table: pd.DataFrame, step: str = "auto") -> int:
        series = read_series(save(tmp_path, table), "date", choices=Choices(step=step))
        write_panel(series, tmp_path / "series.parquet")
        facts = series_facts(tmp_path / "series.parquet", SeriesValidate())
        assert not facts[["is_backward", "is_repeated"]].to_numpy().any()
        return int((facts["is_gap"] | facts["is_short"]).sum())

    assert gaps(frame) == 0
    assert gaps(frame.drop(index=20)) == 0  # a hole
    assert gaps(frame[::3]) == 0
    assert gaps(frame[::3], "monthly") == 19


def test_the_windows_report_says_step_zone_and_targets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hours = pd.date_range("2022-10-29", periods=60, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"date": hours, "load": np.arange(60.0), "note": "ok"})
    windows = {"train": 0.6, "validation": 0.2, "test": 0.2, "look_back": 6, "season": 3}
    params = ForecastingParams.model_validate(
        {"windows": windows | {"horizons": [3]}, "train": {"segment": 3}}
    )
    prepare(save(tmp_path, frame), SERIES, params)
    stage_windows.run(params)
    report = read_json(REPORTS / "windows.json")
    assert (report["step"], report["zone"], report["targets"]) == ("1 hour", "+01:00", ["load"])
    assert report["test"]["last"] == "2022-10-31 10:00:00+01:00"
    assert [note.split(":")[0] for note in report["notes"]] == [
        "columns left out",
        "the offset from UTC changes; forecasts carry the last one, +01",
    ]


def test_a_series_in_the_standard_form_keeps_nothing(tmp_path):
    frame = pd.DataFrame(
        {"date": pd.date_range("2021-03-01", periods=99, freq="h"), "load": range(99)}
    )
    assert read_series(save(tmp_path, frame), "date").form == Form()
