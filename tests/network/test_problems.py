"""The contract that every problem keeps, and a fourth one, tiny, that is picked up by its folder."""

import importlib
import json
from pathlib import Path

import pytest
import yaml

from rnnpipe import problems
from rnnpipe.__main__ import main
from rnnpipe.config.describe import describe_params
from rnnpipe.config.load import check_params, load_params
from rnnpipe.errors import ParameterError, TrainingError
from rnnpipe.problems import problem_by, problem_of
from rnnpipe.problems.problem import Problem
from rnnpipe.reporting.dag import read_dag
from rnnpipe.reporting.wording import Wording
from rnnpipe.storage.files import read_json
from rnnpipe.storage.paths import command_modules, paths_of, problem_names

ROOT = Path(__file__).parents[2]
NAMES = problem_names()


@pytest.fixture(params=NAMES)
def each(request) -> Problem:
    return problem_by(request.param)


def test_a_problem_is_known_under_its_own_name(each):
    params = load_params(ROOT / each.paths.params)
    assert problem_of(params) is each
    assert params.problem == each.name


def test_its_parameter_file_holds_every_parameter_and_the_defaults_are_allowed(each):
    params = load_params(ROOT / each.paths.params)
    described = {knob.name for knob in describe_params(type(params)) if "." in knob.name}
    written = yaml.safe_load((ROOT / each.paths.params).read_text())
    named = {
        f"{section}.{key}"
        for section, values in written.items()
        if isinstance(values, dict)
        for key in values
    }
    assert named == described
    assert check_params({"problem": each.name}) is not None


def test_its_reports_know_what_they_speak_of(each):
    wording = each.wording()
    assert isinstance(wording, Wording)
    assert wording.metric(each.selection.metric)
    assert wording.gate(f"validation_{each.selection.metric}")
    assert all(wording.step(name) for name in each.lineage)


def test_it_brings_a_command_and_a_demo_that_tries_it(each):
    demo = importlib.import_module(f"rnnpipe.problems.{each.name}.demo")
    assert command_modules()[demo.COMMAND[0]].startswith(f"rnnpipe.problems.{each.name}.")
    assert (ROOT / "params" / f"demo_{each.name}.yaml").is_file()


def test_what_it_lacks_another_pipeline_prepares():
    with pytest.raises(ParameterError, match="language_model has no stage prepare"):
        problem_by("language_model").prepare(Path("raw"), Path("table"), None)


def test_it_is_compared_by_a_figure_that_a_parameter_bounds(each):
    params = load_params(ROOT / each.paths.params)
    assert isinstance(getattr(params.register_, each.selection.bound), float | None)
    assert isinstance(params.register_.require_better_than_baseline, bool)
    assert each.selection.better in ("higher", "lower")
    least = "min" if each.selection.better == "higher" else "max"
    assert each.selection.bound == f"{least}_validation_{each.selection.metric}"


def test_its_pipeline_writes_what_the_registry_and_the_flow_read(each):
    dag = read_dag(ROOT / each.paths.pipeline / "dvc.yaml")
    assert {"baseline", "train", "evaluate", "register", "report"} <= set(dag)
    text = (ROOT / each.paths.pipeline / "dvc.yaml").read_text()
    for path in (each.paths.metrics, each.paths.decision, each.paths.model, each.paths.network):
        assert f"- {path.as_posix()}" in text
    root = (ROOT / "dvc.yaml").read_text()
    assert (
        f"  {each.paths.model_name}:\n    path: {each.paths.model.as_posix()}\n" in root
    )  # artifacts


def test_no_two_problems_share_a_place():
    paths = [paths_of(name) for name in NAMES]
    for part in ("reports", "network", "model", "decision", "params"):
        assert len({getattr(place, part) for place in paths}) == len(NAMES)


def test_no_branch_on_a_problems_name_stands_anywhere():
    for path in [*(ROOT / "rnnpipe").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]:
        for name in NAMES:
            for line in path.read_text().splitlines():
                assert f'== "{name}"' not in line or "run_name" in path.read_text(), (path, line)


@pytest.mark.parametrize("value", ["sentimnet", None, 3, ["sentiment"]])
def test_an_unknown_problem_is_named(value):
    with pytest.raises(ParameterError, match="expected one of: .*forecasting"):
        check_params({"problem": value})


# --- A fourth problem: tests/problems/slope, through the stages as they are -----------------------

SLOPE = Path(__file__).parents[1] / "problems"
PATHS = paths_of("slope")


@pytest.fixture
def slope(tmp_path, monkeypatch):
    """Parameters of the fourth problem, whose folder stands among the others, and its data."""
    folders = [*problems.__path__, str(SLOPE)]
    monkeypatch.setattr(problems, "__path__", folders)
    monkeypatch.setattr(problems.__spec__, "submodule_search_locations", folders)
    monkeypatch.chdir(tmp_path)
    importlib.import_module("rnnpipe.problems.slope.demo").write_data(tmp_path, 0)
    PATHS.pipeline.mkdir(parents=True)
    # Under its own name DVC would take it for a pipeline of the project.
    (PATHS.pipeline / "dvc.yaml").write_text((SLOPE / "pipeline.yaml").read_text())
    PATHS.params.write_text((SLOPE / "params.yaml").read_text())
    return PATHS.params


def run(params: Path, *stages: str) -> None:
    for stage in stages:
        assert main([stage, "--params", str(params)]) == 0, stage


STAGES = ("download", "prepare", "baseline", "train", "evaluate", "register", "report")


def test_a_fourth_problem_is_picked_up_and_goes_through_the_same_stages(slope, capsys):
    assert "slope" in problem_names()
    run(slope, *STAGES)
    decision = read_json(PATHS.decision)
    assert decision["verdict"] == "approved"
    assert [gate["name"] for gate in decision["reasons"]] == [
        "validation_mse",
        "better_than_baseline",
    ]
    assert json.loads((PATHS.network / "network.onnx").read_text()) == pytest.approx(3, abs=0.1)
    assert "| mse |" in (PATHS.model / "README.md").read_text()
    page = (PATHS.reports / "index.html").read_text()
    assert "Squared error of the slope" in page
    capsys.readouterr()
    assert main(["slope", "--digits", "0"]) == 0
    assert capsys.readouterr().out == "3\n"


def test_a_network_whose_export_answers_otherwise_is_not_kept(slope, monkeypatch):
    run(slope, "download", "prepare", "baseline")
    found = problem_by("slope")
    stage = importlib.import_module("rnnpipe.stages.train")
    with monkeypatch.context() as patch:
        patch.setattr(type(found), "export", lambda self, network, path: path.write_text("2.5"))
        with pytest.raises(TrainingError, match="differs from the trained one by up to 0.5"):
            stage.run(load_params(slope))
        assert not PATHS.network.exists()
    run(slope, "train")  # goes on from its checkpoint
    assert (PATHS.network / "network.onnx").is_file()
