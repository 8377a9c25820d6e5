"""What ``rnnpipe forecast`` reads and writes, by a registered linear forecaster: no TensorFlow."""

import contextlib
import csv
import io
import json
import logging
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnpipe.__main__ import main
from rnnpipe.errors import RegistryError, SourceError
from rnnpipe.problems.forecasting.data import prepare
from rnnpipe.problems.forecasting.forecast import load_forecaster
from rnnpipe.problems.forecasting.linear_forecaster import LinearForecaster
from rnnpipe.problems.forecasting.metrics import Example
from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.problems.forecasting.plots import draw_forecasts
from rnnpipe.registry.decision import Decision, Gate, Lineage
from rnnpipe.registry.find import find
from rnnpipe.registry.folder import MODEL_FILES
from rnnpipe.registry.manifest import MANIFEST, write_manifest
from rnnpipe.storage.files import sha256_directory, write_json

LOOK_BACK, HORIZON = 4, 3
# A table's first sign may be a byte order mark, and a null is none of a text's.
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), min_size=1, max_size=12
)
NAMES = st.lists(
    TEXTS | st.sampled_from(["a,b", 'say "a"', "two\nlines", "two\r\nlines", "=1+1", "'", " a ", "$_$"]),
    min_size=2,
    max_size=4,
    unique=True,
)  # fmt: skip


def model(folder: Path, names: list[str], mean: float = 0.0, deviation: float = 1.0) -> Path:
    """A registered folder whose network is none, for the linear forecaster alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODEL_FILES:
        (folder / name).write_bytes(b"")
    time, *columns = names
    write_json(
        folder / "params.json",
        {
            "problem": "forecasting",
            "time_column": time,
            "columns": columns,
            "look_back": LOOK_BACK,
            "horizons": [HORIZON],
            "step_seconds": 3600.0,
            "scaling": {name: {"mean": mean, "deviation": deviation} for name in columns},
        },
    )
    random = np.random.default_rng(1)
    weights = random.normal(size=(LOOK_BACK, HORIZON))
    LinearForecaster(weights, random.normal(size=HORIZON)).save(folder / "baseline.npz")
    write_manifest(folder)
    return folder


def series(path: Path, names: list[str], rows: int = 6) -> Path:
    times = pd.date_range("2026-01-01", periods=rows, freq="h")
    numbers = np.random.default_rng(2).normal(size=(rows, len(names) - 1))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([time, *row] for time, row in zip(times, numbers.tolist(), strict=True))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("forecast")


def printed(*options: object) -> str:
    """What the command writes where no terminal is."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["forecast", *map(str, options)]) == 0
    return out.getvalue()


@given(NAMES, st.sampled_from([0.0, 1e9, 101325.0, -1e-9]), st.sampled_from([1.0, 0.03, 1e-12]))
def test_what_is_written_reads_back_alike(place, names, mean, deviation):
    folder, table = model(place / "model", names, mean, deviation), series(place / "s.csv", names)
    found = load_forecaster(folder, baseline=True).forecast(str(table))
    options = (table, "--model", folder, "--baseline")
    text = printed(*options)
    read = pd.read_csv(io.StringIO(text, newline=""), float_precision="round_trip")
    assert list(read.columns) == names
    np.testing.assert_array_equal(read[names[1:]].to_numpy(), found.values)
    assert pd.to_datetime(read[names[0]]).to_list() == pd.to_datetime(found.times).to_list()
    rows = [json.loads(line) for line in printed(*options, "--json").splitlines()]
    assert [list(row) for row in rows] == [names] * HORIZON
    np.testing.assert_array_equal([[row[name] for name in names[1:]] for row in rows], found.values)


def test_a_large_level_keeps_its_digits(tmp_path):
    names = ["date", "load"]
    folder, table = model(tmp_path / "model", names, 1e9, 1.5), series(tmp_path / "s.csv", names)
    values = pd.read_csv(io.StringIO(printed(table, "--model", folder, "--baseline")))
    assert values["load"].nunique() == HORIZON


def test_a_terminal_is_shown_names_that_do_nothing(tmp_path, capsys, monkeypatch):
    names = ["date", "\x1b[31mred\nline"]
    folder, table = model(tmp_path / "model", names), series(tmp_path / "s.csv", names)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["forecast", str(table), "--model", str(folder), "--baseline"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == r"date,\x1b[31mred\nline"


def test_the_model_remembers_its_time_column(tmp_path):
    folder = model(tmp_path / "model", ["Date Time", "load"])
    table = series(tmp_path / "s.csv", ["Date Time", "load"])
    assert load_forecaster(folder, baseline=True).forecast(table).time_name == "Date Time"
    other = series(tmp_path / "o.csv", ["ds", "load"])
    found = load_forecaster(str(folder), baseline=True).forecast(other, "ds")
    assert found.time_name == "ds"


@pytest.mark.parametrize("verdict", ["refused", "approved"])
@pytest.mark.parametrize("baseline", [False, True])
def test_a_refused_model_says_so_wherever_it_was_copied_with_its_decision(
    tmp_path, caplog, verdict, baseline
):
    folder = model(tmp_path / "elsewhere" / "forecasting", ["date", "load"])
    gate = Gate("better_than_baseline", verdict == "approved", True, verdict == "approved")
    lineage = Lineage(None, {}, ())
    decision = Decision("forecasting", verdict, sha256_directory(folder), (gate,), 0.1, lineage)
    write_json(folder.with_suffix(".json"), asdict(decision))
    with caplog.at_level(logging.WARNING):
        if baseline:
            load_forecaster(folder, tmp_path, baseline=True)
        else:
            find(str(folder), tmp_path, "forecasting")
    said = "was refused (better_than_baseline: found false" in caplog.text
    assert said == (verdict == "refused" and not baseline)


@pytest.mark.parametrize("fault", ["absent", "no zip", "too wide", "unfolds", "infinite", "text"])
def test_a_baseline_that_is_none_is_refused(tmp_path, fault):
    folder = model(tmp_path / "model", ["date", "load"])
    path = folder / "baseline.npz"
    (folder / MANIFEST).unlink()  # else no altered file gets so far
    weights, bias = np.zeros((LOOK_BACK, HORIZON)), np.zeros(HORIZON)
    match fault:
        case "absent":
            path.unlink()
        case "no zip":
            np.save(path.with_suffix(".npy"), weights)
            path.with_suffix(".npy").replace(path)
        case "too wide":
            LinearForecaster(np.zeros((LOOK_BACK, 9)), bias).save(path)
        case "unfolds":
            np.savez_compressed(path, weights=np.zeros((999, 999)), bias=bias)
        case "infinite":
            LinearForecaster(weights, bias + np.inf).save(path)
        case "text":
            LinearForecaster(np.full((LOOK_BACK, HORIZON), "x"), bias).save(path)
    with pytest.raises(RegistryError, match=r"baseline\.npz"):
        load_forecaster(folder, baseline=True)


def test_no_model_names_the_pipeline_of_forecasting(tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    with pytest.raises(RegistryError, match=r"Run dvc repro pipelines/forecasting/dvc\.yaml to"):
        load_forecaster(root=tmp_path)


def test_too_large_a_number_is_named(tmp_path):
    folder = model(tmp_path / "model", ["date", "load"])
    table = series(tmp_path / "s.csv", ["date", "load"])
    rows = table.read_text().splitlines()
    rows[-1] = rows[-1].partition(",")[0] + ",1e200"
    table.write_text("\n".join(rows))
    with pytest.raises(SourceError, match="column 'load' holds 1e\\+200 at 2026-01-01T05"):
        load_forecaster(folder, baseline=True).forecast(table)


def test_preparing_names_the_users_own_file_and_line(tmp_path):
    raw = tmp_path / "raw" / "series.csv"
    raw.parent.mkdir()
    raw.write_text('date,"Load\n(MW)"\n2026-01-01,1\n2026-01-02,much\n')
    params = ForecastingParams.model_validate({"download": {"source": "mine/sales.csv"}})
    with pytest.raises(SourceError) as caught:
        prepare(raw, tmp_path / "series.parquet", params)
    assert str(caught.value).startswith("mine/sales.csv, line 4, column")


def test_a_picture_takes_any_name_and_draws_the_columns_that_it_names(tmp_path, monkeypatch):
    names = ["first", "$_of_$", "坏\n$x^$", "last"]
    drawn = []
    values = np.arange(4.0) * np.ones((6, 4))
    times = pd.date_range("2026-01-01", periods=6, freq="h").to_numpy("datetime64[us]")
    example = Example(times, times, values, values, {"network": values})
    from matplotlib.figure import Figure

    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, path: (drawn.append(figure), save(figure, path))
    )
    draw_forecasts([example], names, tmp_path / "x.png", shown_past=6, most_columns=3)
    axes = drawn[0].axes
    assert [each.get_title(loc="left") for each in axes] == ["$_of_$", "column 2", "last"]
    assert [each.lines[0].get_ydata()[0] for each in axes] == [1.0, 2.0, 3.0]
