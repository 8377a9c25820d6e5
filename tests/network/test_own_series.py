"""A person's own series from `rnnpipe init` to the forecast, each stage as it is."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rnnpipe.__main__ import main
from rnnpipe.problems.forecasting.forecast import load_forecaster
from rnnpipe.storage.files import read_json

ROOT = Path(__file__).parents[2]
STAGES = ("download", "prepare", "validate", "windows", "baseline", "train", "evaluate", "register")
DAYS, SHOPS = 170, ("north", "south", "west")


def sales(shops: tuple[str, ...], days: int = DAYS) -> pd.DataFrame:
    """Sales by shop and day: a week's shape times the shop's own size, some days missing."""
    week = np.array([1.0, 1.1, 1.2, 1.3, 1.8, 2.0, 0.6])
    parts = []
    for number, shop in enumerate(shops):
        random = np.random.default_rng(number)
        frame = pd.DataFrame(
            {
                "day": pd.date_range("2021-03-01", periods=days),
                "shop": shop,
                "sold": 10.0 ** (number + 1)
                * week[np.arange(days) % 7]
                * random.normal(1, 0.05, days),
            }
        )
        parts.append(frame.drop(index=random.choice(np.arange(1, days - 20), 4, replace=False)))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which a panel has been learnt."""
    folder = tmp_path_factory.mktemp("own")
    for name in ("dvc.yaml", "params.yaml", "pipelines"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    params = "pipelines/forecasting/params.yaml"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        sales(SHOPS).to_csv("sales.csv", index=False)
        assert main(["init", "sales.csv", "--yes", "--steps", "7"]) == 0
        text = Path(params).read_text()
        Path(params).write_text(text.replace("epochs: null", "epochs: 2"))
        for stage in STAGES:
            assert main([stage, "--params", params]) == 0, stage
    return folder


def told(project: Path, monkeypatch, capsys, *arguments: str) -> tuple[list[list[str]], str]:
    monkeypatch.chdir(project)
    code = main(["forecast", *arguments])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return ([] if code else list(csv.reader(io.StringIO(shown.out)))), shown.err


def test_a_panel_is_learnt_judged_and_registered(project: Path) -> None:
    metrics = read_json(project / "reports/forecasting/metrics.json")
    validation = metrics["validation"]
    assert validation["mse"] < metrics["seasonal_naive"]["validation"]["mse"]
    assert metrics["mse_low"] < metrics["mse"] < metrics["mse_high"]
    assert read_json(project / "reports/forecasting/windows.json")["series"] == 3
    assert read_json(project / "reports/forecasting/windows.json")["missing"] == {"sold": 12}
    worst = pd.read_csv(project / "reports/forecasting/plots/error_by_series.csv")
    assert set(worst["series"]) == set(SHOPS)
    assert worst["mse"].is_monotonic_decreasing
    assert (worst["mse"] * worst["windows"]).sum() / worst["windows"].sum() == pytest.approx(
        metrics["mse"],
        rel=0.05,  # a window with holes weighs as much as one without
    )
    decision = read_json(project / "models/forecasting.json")
    assert decision["verdict"] == "approved", decision["reasons"]
    saved = read_json(project / "models/forecasting/params.json")
    assert (saved["series_column"], saved["scaling"]) == ("shop", {})


def test_each_series_goes_on_from_its_own_past(project: Path, monkeypatch, capsys) -> None:
    rows, _ = told(project, monkeypatch, capsys, "sales.csv")
    assert rows[0] == ["shop", "day", "sold"]
    assert [row[0] for row in rows[1:]] == [shop for shop in SHOPS for _ in range(7)]
    assert rows[1][1] == "2021-08-18"
    for number in range(3):
        found = np.array([float(row[2]) for row in rows[1 + 7 * number : 8 + 7 * number]])
        assert 10 ** (number + 1) * 0.4 < found.min() < found.max() < 10 ** (number + 1) * 2.5


def test_a_series_alone_or_among_others_seen_or_never_seen_gives_the_same(
    project: Path, monkeypatch, capsys
) -> None:
    together, _ = told(project, monkeypatch, capsys, "sales.csv", "--steps", "3")
    table = sales(SHOPS)
    for shop in SHOPS:
        table[table["shop"] == shop].to_csv(project / "alone.csv", index=False)
        alone, _ = told(project, monkeypatch, capsys, "alone.csv", "--steps", "3")
        for mine, its in zip(alone[1:], [row for row in together if row[0] == shop], strict=True):
            assert mine[:2] == its[:2]
            assert float(mine[2]) == pytest.approx(float(its[2]), rel=1e-5)
    new = sales(("east", *SHOPS))
    new[new["shop"] == "east"].to_csv(project / "new.csv", index=False)
    rows, _ = told(project, monkeypatch, capsys, "new.csv")
    assert [row[0] for row in rows[1:]] == ["east"] * 7


def test_what_cannot_be_forecast_is_named_and_the_others_are(
    project: Path, monkeypatch, capsys
) -> None:
    table = pd.concat([sales(SHOPS), sales(("new",), 26)])
    table.to_csv(project / "more.csv", index=False)
    rows, log = told(project, monkeypatch, capsys, "more.csv")
    assert {row[0] for row in rows[1:]} == set(SHOPS)
    assert "'new'" in log or not log  # where nothing is logged, nothing is
    sales(("new",), 26).to_csv(project / "short.csv", index=False)
    rows, log = told(project, monkeypatch, capsys, "short.csv")
    assert rows == []
    assert "none can be forecast" in log
    rows, log = told(project, monkeypatch, capsys, "sales.csv", "--baseline")
    assert len(rows) == 22
    sales(("north",)).drop(columns="shop").to_csv(project / "nameless.csv", index=False)
    rows, log = told(project, monkeypatch, capsys, "nameless.csv")
    assert rows == []
    assert "no column 'shop'" in log


def test_bands_stand_beside_the_forecast(project: Path, monkeypatch, capsys) -> None:
    rows, log = told(project, monkeypatch, capsys, "sales.csv", "--levels", "80,95")
    assert rows, log
    ends = ["sold_low_80", "sold_high_80", "sold_low_95", "sold_high_95"]
    assert rows[0] == ["shop", "day", "sold", *ends]
    numbers = np.array([[float(cell) for cell in row[2:]] for row in rows[1:]])
    assert (numbers[:, 3] <= numbers[:, 1]).all()
    assert (numbers[:, 1] < numbers[:, 2]).all()
    assert (numbers[:, 2] <= numbers[:, 4]).all()
    # As wide as each series is large.
    width = (numbers[:, 2] - numbers[:, 1]).reshape(3, 7).mean(axis=1)
    assert 3 < width[1] / width[0] < 30
    metrics = read_json(project / "reports/forecasting/metrics.json")
    assert 0.5 < metrics["coverage_80"] < metrics["coverage_95"] <= 1
    baseline, _ = told(project, monkeypatch, capsys, "sales.csv", "--levels", "80", "--baseline")
    assert baseline[0] == ["shop", "day", "sold", *ends[:2]]
    rows, log = told(project, monkeypatch, capsys, "sales.csv", "--levels", "100")
    assert rows == []
    assert "expected 1 to 99 percent" in log


def test_python_gives_the_same(project: Path, monkeypatch, capsys) -> None:
    rows, _ = told(project, monkeypatch, capsys, "sales.csv", "--json")
    lines = [json.loads(",".join(row)) for row in rows]
    found = load_forecaster("models/forecasting").forecast("sales.csv")
    assert found.ids == tuple(line["shop"] for line in lines)
    assert found.values[:, 0].tolist() == [line["sold"] for line in lines]
