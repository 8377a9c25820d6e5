"""The pipelines beside the root's, on generated data, by real ``dvc repro``."""

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import stage_code
import yaml
from projects import DVC, ROOT, copy, fails, set_params

from rnnpipe.__main__ import main
from rnnpipe.commands.project_copy import ProjectCopy
from rnnpipe.config.load import load_params
from rnnpipe.errors import TrainingError
from rnnpipe.networks.saving import load_network
from rnnpipe.problems import problem_of
from rnnpipe.storage.files import read_json, sha256_directory, sha256_file
from rnnpipe.storage.paths import paths_of, problem_names

PROBLEMS = ("language_model", "forecasting")
SERIES = "data/mirror/generated_series.csv"
BEFORE_LEARNING = ("download", "prepare", "validate")
STAGES = [
    (problem, stage)
    for problem in PROBLEMS
    for stage in yaml.safe_load((ROOT / paths_of(problem).pipeline / "dvc.yaml").read_text())[
        "stages"
    ]
]


@pytest.fixture
def project(finished: ProjectCopy, tmp_path: Path) -> ProjectCopy:
    """A copy of the finished project with all pipelines, free to change."""
    return copy(finished, tmp_path / "project")


@pytest.fixture
def quick_project(quick_pipelines: ProjectCopy, tmp_path: Path) -> ProjectCopy:
    """The same with stages that take a moment."""
    return copy(quick_pipelines, tmp_path / "project")


def pipeline(problem: str) -> str:
    return (paths_of(problem).pipeline / "dvc.yaml").as_posix()


def change(sandbox: ProjectCopy, problem: str, section: str, **values: object) -> None:
    folder = sandbox.folder / paths_of(problem).pipeline
    set_params(folder, {f"{section}.{name}": value for name, value in values.items()})


def run(sandbox: ProjectCopy, *arguments: str) -> str:
    return sandbox.run(sys.executable, "-m", "rnnpipe", *arguments)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_model_better_than_knowing_nothing_came_out(finished, problem):
    paths = paths_of(problem)
    decision = read_json(finished.folder / paths.decision)
    assert decision["verdict"] == "approved"
    assert decision["model"] == sha256_directory(finished.folder / paths.model)
    metrics = read_json(finished.folder / paths.metrics)
    assert {"validation", "baseline", "n"} <= set(metrics)
    assert (finished.folder / paths.reports / "index.html").is_file()


def test_the_language_model_is_better_than_its_n_grams_and_falls_over_training(finished):
    metrics = read_json(finished.folder / "reports/language_model/metrics.json")
    assert metrics["perplexity_low"] < metrics["perplexity"] < metrics["perplexity_high"]
    assert metrics["perplexity"] < metrics["baseline"]["perplexity"]
    held_out = metrics["validation"]
    assert held_out["perplexity_mixed"] <= held_out["perplexity"]
    parts = [held_out["mixture"][f"{part}_weight"] for part in ("network", "ngrams", "cache")]
    assert sum(parts) == pytest.approx(1, abs=2e-4)
    assert metrics["perplexity_mixed_low"] < metrics["perplexity_mixed_high"]
    history = read_json(finished.folder / "models/language_model_network/history.json")
    fallen = [epoch["validation_perplexity"] for epoch in history["epochs"]]
    assert fallen == sorted(fallen, reverse=True)


def test_the_forecaster_is_better_than_the_last_season(finished):
    metrics = read_json(finished.folder / "reports/forecasting/metrics.json")
    for key in ("mse_24", "mse_48", "mae_24", "mae_48"):
        assert metrics[key] < metrics["seasonal_naive"][key]
    assert metrics["mse_24_low"] < metrics["mse_24"] < metrics["mse_24_high"]
    assert metrics["windows_24"] == metrics["windows_48"] + 24


def test_a_second_run_runs_nothing(project):
    assert project.reproduce("--all-pipelines") == {}
    assert not project.run("git", "status", "--porcelain")


@pytest.mark.parametrize(("problem", "stage"), STAGES)
def test_a_stage_names_all_the_code_it_executes(finished_and_executed, problem, stage):
    sandbox, executed = finished_and_executed
    files = executed[stage, "--params", paths_of(problem).params.as_posix()]
    stage_code.check_named(sandbox, problem, stage, files)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_training_again_gives_the_same_bytes(project, problem):
    lock = project.folder / paths_of(problem).pipeline / "dvc.lock"
    before = lock.read_text()
    project.run(*DVC, "repro", "--force", "--single-item", f"{pipeline(problem)}:train")
    assert lock.read_text() == before


@pytest.mark.parametrize("problem", problem_names())
def test_an_exported_network_that_answers_otherwise_is_refused(
    finished, tmp_path, monkeypatch, problem
):
    monkeypatch.chdir(finished.folder)
    for module in (
        "rnnpipe.problems.forecasting.network",
        "rnnpipe.problems.language_model.network",
    ):
        import_module(module)  # Keras finds their classes once they are there
    params = load_params(paths_of(problem).params)
    folder = paths_of(problem).network
    network = load_network(folder / "network.keras")
    check_export = problem_of(params).check_export
    check_export(params, network, folder / "network.onnx")
    exported = onnx.load(folder / "network.onnx")
    for constant in exported.graph.initializer:
        values = onnx.numpy_helper.to_array(constant)
        if values.dtype.kind == "f":
            moved = values + values.dtype.type(1e-2)
            constant.CopyFrom(onnx.numpy_helper.from_array(moved, constant.name))
    onnx.save(exported, tmp_path / "network.onnx")
    with pytest.raises(TrainingError, match="differs from the trained one"):
        check_export(params, network, tmp_path / "network.onnx")


def test_a_text_is_continued_the_same_for_the_same_seed(project):
    first, again, other = (
        run(project, "generate", "The film", "--seed", seed) for seed in ("3", "3", "4")
    )
    assert first == again != other
    assert first.startswith("The film ")
    likeliest = {
        run(project, "generate", "", "--temperature", "0", "--words", "5", "--seed", seed)
        for seed in ("1", "2")
    }
    assert len(likeliest) == 1
    told = json.loads(run(project, "generate", "The film", "--mixed", "--json"))
    assert told["text"] == " ".join(["The film", *told["words"]])
    assert told["perplexity"] > 1


def test_a_language_model_and_a_foreign_vocabulary_are_refused(project):
    model = project.folder / "models/language_model"
    shutil.copytree(model, project.folder / "foreign", symlinks=False)
    vocabulary = read_json(project.folder / "foreign/vocabulary.json")
    vocabulary["words"][0], vocabulary["words"][1] = vocabulary["words"][1], vocabulary["words"][0]
    path = project.folder / "foreign/vocabulary.json"
    path.unlink()
    path.write_text(json.dumps(vocabulary))
    (project.folder / "foreign/manifest.json").unlink()  # a folder from before there were some
    shown = fails(project, sys.executable, "-m", "rnnpipe", "generate", "a", "--model", "foreign")
    assert "do not belong together" in shown
    assert "Traceback" not in shown


def test_a_series_is_forecast_as_it_was_judged(project):
    lines = run(project, "forecast", SERIES, "--steps", "3", "--json").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 3
    table = pd.read_csv(project.folder / SERIES)
    last = pd.Timestamp(table["date"].iloc[-1])
    assert [pd.Timestamp(row["date"]) - last for row in rows] == [
        pd.Timedelta(hours=hour) for hour in (1, 2, 3)
    ]
    plain = run(project, "forecast", SERIES, "--steps", "3").splitlines()
    assert plain[0] == "date,load_1,load_2,weather,oil"
    assert float(plain[1].split(",")[1]) == rows[0]["load_1"]


def broken(name: str, table: pd.DataFrame) -> pd.DataFrame:
    match name:
        case "a gap":
            return table.drop(index=range(100, 2500))  # more than half: no hole
        case "a time twice":
            return table.iloc[[*range(100), 99, *range(100, len(table))]]
        case "text among numbers":
            return table.astype({"oil": object}).assign(
                oil=table["oil"].astype(object).where(table.index != 7, "hot")
            )
        case "a third empty":
            return table.assign(oil=table["oil"].where(table.index % 3 != 0, np.nan))
        case "a constant column":
            return table.assign(oil=5.0)
        case "an error value":
            return table.assign(oil=table["oil"].where(table.index != 7, -9999.0))
        case "too short":
            return table.head(300)
    raise AssertionError(name)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a gap", "no step is longer"),
        ("a time twice", "no time comes twice"),
        ("text among numbers", "line 9, column 'oil': found 'hot'"),
        ("a third empty", "column oil: 33.3% missing"),
        ("a constant column", "column oil"),
        ("an error value", "column oil: -9999 in line 9"),
        ("too short", "at least"),
    ],
)
def test_a_broken_series_is_named_before_anything_is_learnt(
    finished, tmp_path, monkeypatch, capfd, name, told
):
    params = tmp_path / paths_of("forecasting").params
    params.parent.mkdir(parents=True)
    shutil.copy(finished.folder / paths_of("forecasting").params, params)
    set_params(params.parent, {"download.source": "own.csv"})
    broken(name, pd.read_csv(finished.folder / SERIES)).to_csv(tmp_path / "own.csv", index=False)
    monkeypatch.chdir(tmp_path)
    command_lines = ([stage, "--params", str(params)] for stage in BEFORE_LEARNING)
    assert any(main(command_line) for command_line in command_lines)
    shown = capfd.readouterr().err
    assert told in shown
    assert "Traceback" not in shown


def test_a_broken_series_stops_the_pipeline_and_leaves_the_model(project):
    broken("an error value", pd.read_csv(project.folder / SERIES)).to_csv(
        project.folder / "own.csv", index=False
    )
    change(project, "forecasting", "download", source="own.csv")
    model = sha256_directory(project.folder / "models/forecasting")
    shown = fails(project, *DVC, "repro", pipeline("forecasting"))
    assert "column oil: -9999 in line 9" in shown
    assert "Traceback" not in shown
    assert sha256_directory(project.folder / "models/forecasting") == model


def test_sentiment_starts_from_the_language_model(project):
    start = sha256_file(project.folder / "models/language_model/start.npz")
    # As the language model has them.
    change(project, "classification", "train", hidden_size=32, bidirectional=False)
    change(project, "classification", "pretrained", model="models/language_model")
    for foreign in (None, "0" * 64):  # what a folder holds may change: it must be pinned
        change(project, "classification", "pretrained", sha256=foreign)
        shown = fails(project, sys.executable, "-m", "rnnpipe", "pretrained")
        assert start in shown
        assert "Traceback" not in shown
    change(project, "classification", "pretrained", sha256=start)
    seconds = project.reproduce("train")
    assert {"pretrained", "train"} <= set(seconds)
    assert "validate" not in seconds
    change(project, "classification", "train", hidden_size=16)
    shown = fails(project, sys.executable, "-m", "rnnpipe", "train")
    assert "hidden_size is 16 in the classifier, 32 in the language model" in shown
    assert "Traceback" not in shown


def test_models_are_published_found_promoted_and_fetched_by_their_names(
    quick_project, tmp_path, monkeypatch, capfd
):
    def rnnpipe(*command: str, where: ProjectCopy = quick_project, code: int = 0) -> str:
        monkeypatch.chdir(where.folder)
        assert main(command) == code
        said = capfd.readouterr()
        return said.out + said.err

    for name, value in quick_project.environment.items():
        monkeypatch.setenv(name, value)
    origin = str(tmp_path / "origin")
    quick_project.run("git", "init", "--quiet", "--bare", "--initial-branch=main", origin)
    quick_project.run("git", "remote", "add", "origin", origin)
    quick_project.run(*DVC, "remote", "add", "--default", "store", str(tmp_path / "store"))
    quick_project.commit("Add the remotes")
    for problem in problem_names():
        known = ("--problem", problem)
        assert "no version yet" in rnnpipe("models", *known)
        assert f"{paths_of(problem).model_name} v0.1.0" in rnnpipe("publish", *known)
        assert "baseline" in rnnpipe("models", *known)
        rnnpipe("promote", "v0.1.0", *known)
        assert "nothing new" in rnnpipe("publish", *known, code=1)

    quick_project.run("git", "clone", "--quiet", origin, str(tmp_path / "clone"))
    clone = ProjectCopy(tmp_path / "clone", quick_project.environment)
    for problem in problem_names():
        name = paths_of(problem).model_name
        get = (*DVC, "artifacts", "get", ".", name, "--stage", "prod", "--out", f"got/{name}")
        clone.run(*get)
        assert sha256_directory(clone.folder / "got" / name) == sha256_directory(
            quick_project.folder / paths_of(problem).model
        )
    for version in ("v0.1.0", "prod"):
        assert rnnpipe("predict", "--model", version, "A superb film.", where=clone) == rnnpipe(
            "predict", "A superb film."
        )


@pytest.fixture
def refused(finished, monkeypatch, capfd):
    """Return a command of the command line, in the finished project, that must fail; what it says."""
    monkeypatch.chdir(finished.folder)

    def refused(*command: str) -> str:
        assert main(command) > 0
        shown = capfd.readouterr().err
        assert "Traceback" not in shown
        return shown

    return refused


def test_a_stage_asked_with_another_problems_parameters_is_told_where_it_belongs(refused):
    for command in (
        ("windows",),
        ("gradient_flow", "--params", "pipelines/forecasting/params.yaml"),
        ("download", "--params", "pipelines/language_model/params.yaml"),
    ):
        assert f"has no stage {command[0]}; expected --params" in refused(*command)


def test_another_problems_model_is_refused_by_its_name(refused):
    for command, model, expected in (
        (("predict", "fine"), "models/language_model", "classification"),
        (("generate", "fine"), "models/forecasting", "language_model"),
        (("forecast", SERIES), "models/sentiment", "forecasting"),
    ):
        shown = refused(*command, "--model", model)
        assert f"expected one of {expected}" in shown or "no whole model" in shown


def test_a_series_of_another_step_or_other_columns_is_refused(refused, tmp_path):
    table = pd.read_csv(SERIES)
    half_hours = pd.date_range("2020-01-01", periods=len(table), freq="30min")
    fine, lacking = tmp_path / "fine.csv", tmp_path / "lacking.csv"
    table.assign(date=half_hours).to_csv(fine, index=False)
    assert "step of 30 minutes" in refused("forecast", str(fine))
    table.drop(columns="oil").to_csv(lacking, index=False)
    assert "no column 'oil'" in refused("forecast", str(lacking))
    assert "expected 1 to 48" in refused("forecast", SERIES, "--steps", "999")
