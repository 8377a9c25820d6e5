"""A model on a person's own tables: read as it remembers, and answered in their form."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rnnpipe.__main__ import main
from rnnpipe.config.series import Windows
from rnnpipe.problems.forecasting.export import save_forecaster
from rnnpipe.problems.forecasting.network import build_forecaster
from rnnpipe.problems.forecasting.params import ForecastTrain

STEPS = 40


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    windows = Windows(train=20, validation=9, test=9, look_back=6, horizons=[3], season=3)
    params = ForecastTrain(decoder="direct", hidden_size=2, seed=1)
    path = tmp_path_factory.mktemp("network") / "network.onnx"
    save_forecaster(build_forecaster(params, windows, 2), path)
    return path


def told(network: Path, folder: Path, table: Path, capsys, **known: object) -> list[list[str]]:
    """The lines of ``rnnpipe forecast``, by a model that remembers so much; a refusal as one cell."""
    model = folder / "model"
    model.mkdir(exist_ok=True)
    for name in ("network.keras", "metrics.json", "validation_predictions.parquet", "README.md"):
        (model / name).touch()  # are not read here
    (model / "network.onnx").write_bytes(network.read_bytes())
    scaling = {name: {"mean": 20.0, "deviation": 5.0} for name in ("load", "price")}
    params = {"problem": "forecasting", "columns": ["load", "price"], "step_seconds": 3600.0}
    (model / "params.json").write_text(json.dumps(params | {"scaling": scaling} | known))
    code = main(["forecast", str(table), "--model", str(model)])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return [[shown.err]] if code else list(csv.reader(io.StringIO(shown.out)))


def frame(times: list[str], name: str = "date") -> pd.DataFrame:
    values = np.random.default_rng(1).normal(20, 5, (len(times), 2)).round(2)
    return pd.DataFrame({name: times, "load": values[:, 0], "price": values[:, 1]})


def test_what_is_remembered_decides_and_the_answer_has_the_files_form(network, tmp_path, capsys):
    days = pd.date_range("2021-03-01", periods=12, freq="D").strftime("%d.%m.%Y")
    table = tmp_path / "t.csv"
    frame(list(days), "Tag").to_csv(table, index=False, sep=";", decimal=",")
    form = {"time_format": "%d.%m.%Y", "step": "1 day", "decimal": ","}
    rows = told(network, tmp_path, table, capsys, time_column="Tag", form=form)
    assert rows[0] == ["Tag", "load", "price"]
    assert [row[0] for row in rows[1:]] == ["13.03.2021", "14.03.2021", "15.03.2021"]
    # Without it the file has two readings.
    (refused,) = told(network, tmp_path, table, capsys, time_column="Tag")[0]
    assert "prepare.time_order" in refused


def test_months_and_zones_go_on_and_columns_that_the_model_does_not_know_are_not_read(
    network, tmp_path, capsys
):
    months = pd.date_range("2020-01-01", periods=STEPS, freq="MS").strftime("%Y-%m")
    hours = pd.date_range("2022-10-29", periods=STEPS, freq="h", tz="Europe/Berlin")
    for number, (times, form, after) in enumerate(
        (
            (list(months), {"time_format": "%Y-%m", "step": "1 month on day 1"}, "2023-05"),
            (hours.astype(str), {"zone": "Z", "step": "1 hour"}, "2022-10-30 15:00:00+01:00"),
            (hours.tz_convert("UTC").strftime("%Y-%m-%dT%H:%MZ"), {}, "2022-10-30T14:00Z"),
        )
    ):
        table = tmp_path / f"t{number}.csv"
        frame(times).assign(note="ok", more=[[1]] * STEPS)[::-1].to_csv(table)
        assert told(network, tmp_path, table, capsys, form=form)[1][0] == after


def test_a_table_of_another_step_or_without_a_column_is_refused_in_words(network, tmp_path, capsys):
    months = pd.date_range("2020-01-01", periods=STEPS, freq="MS").strftime("%Y-%m")
    table = tmp_path / "t.csv"
    frame(list(months)).to_csv(table, index=False)
    (refused,) = told(network, tmp_path, table, capsys)[0]
    assert "has a step of 1 month on day 1, the model was trained on steps of 1 hour" in refused
    frame(list(months)).drop(columns="price").to_csv(table, index=False)
    (refused,) = told(network, tmp_path, table, capsys)[0]
    assert (
        "no column 'price'; found: 'date', 'load'. The model forecasts 'load', 'price'." in refused
    )


@pytest.mark.parametrize(
    "form",
    [{"zone": "../etc"}, {"zone": "Nowhere/Land"}, {"step": "fortnightly"}, {"decimal": "x"}, 5],
)
def test_a_form_that_makes_no_sense_is_refused(network, tmp_path, capsys, form):
    hours = pd.date_range("2022-10-29", periods=STEPS, freq="h")
    frame(hours.astype(str)).to_csv(tmp_path / "t.csv", index=False)
    (refused,) = told(network, tmp_path, tmp_path / "t.csv", capsys, form=form)[0]
    assert "params.json is of no forecaster (form" in refused
