"""The contract that every problem keeps, and a fourth one, tiny, that the stages carry unchanged."""

import dataclasses
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import Field

from rnnpipe import problems
from rnnpipe.backend import keras, tf
from rnnpipe.errors import ParameterError, TrainingError
from rnnpipe.exporting.comparison import require_equal
from rnnpipe.files import read_json
from rnnpipe.params import PARAMS, Params, Training, check_params, describe_params, load_params
from rnnpipe.places import places_of
from rnnpipe.problems.problem import Problem
from rnnpipe.report import read_dag
from rnnpipe.selection import Selection, Wording
from rnnpipe.training import Learner, Taken, tensorflow_variables

pytestmark = pytest.mark.network

ROOT = Path(__file__).parents[1]
FUNCTIONS = (
    "prepare",
    "baseline",
    "learn",
    "export",
    "check_export",
    "evaluate",
    "assemble",
)
NAMES = sorted(problems.PROBLEMS)


def problem(name: str) -> Problem:
    found: Problem = importlib.import_module(problems.PROBLEMS[name]).PROBLEM
    return found


@pytest.fixture(params=NAMES)
def each(request) -> Problem:
    return problem(request.param)


def test_a_problem_is_known_under_its_own_name(each):
    assert set(PARAMS) == set(problems.PROBLEMS)
    assert problems.PROBLEMS[each.name].endswith(each.name)
    params = load_params(ROOT / each.places.params)
    assert problems.problem_of(params) is each
    assert params.problem == each.name


def test_its_parameter_file_holds_every_parameter_and_the_defaults_are_allowed(each):
    params = load_params(ROOT / each.places.params)
    held = {
        f"{section}.{key}"
        for section, values in params.model_dump(by_alias=True).items()
        if isinstance(values, dict)
        for key in values
    }
    described = {knob.name for knob in describe_params(type(params)) if "." in knob.name}
    import yaml

    written = yaml.safe_load((ROOT / each.places.params).read_text())
    named = {
        f"{section}.{key}"
        for section, values in written.items()
        if isinstance(values, dict)
        for key in values
    }
    assert named == described <= held
    assert check_params({"problem": each.name}) is not None


def test_each_of_its_functions_can_be_found(each):
    functions = [getattr(each, name) for name in FUNCTIONS] + list(each.checks.values())
    for function in functions:
        module, _, name = function.names.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_it_is_compared_by_a_figure_that_a_parameter_bounds(each):
    params = load_params(ROOT / each.places.params)
    assert isinstance(getattr(params.register_, each.selection.bound), float)
    assert isinstance(params.register_.require_better_than_baseline, bool)
    assert each.selection.better in ("higher", "lower")
    least = "min" if each.selection.better == "higher" else "max"
    assert each.selection.bound == f"{least}_validation_{each.selection.metric}"


def test_its_pipeline_writes_what_the_registry_and_the_flow_read(each):
    dag = read_dag(ROOT / each.places.pipeline / "dvc.yaml")
    assert {"baseline", "train", "evaluate", "register", "report"} <= set(dag)
    text = (ROOT / each.places.pipeline / "dvc.yaml").read_text()
    for path in (each.places.metrics, each.places.decision, each.places.model, each.places.network):
        assert f"- {path.as_posix()}" in text
    root = (ROOT / "dvc.yaml").read_text()
    assert (
        f"  {each.places.model_name}:\n    path: {each.places.model.as_posix()}\n" in root
    )  # artifacts


def test_no_two_problems_share_a_place():
    places = [places_of(name) for name in NAMES]
    for part in ("reports", "network", "model", "decision", "params"):
        assert len({getattr(place, part) for place in places}) == len(NAMES)


def test_no_branch_on_a_problems_name_stands_anywhere():
    for path in [*(ROOT / "rnnpipe").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]:
        for name in NAMES:
            for line in path.read_text().splitlines():
                assert f'== "{name}"' not in line or "run_name" in path.read_text(), (path, line)


@pytest.mark.parametrize("value", ["sentimnet", None, 3, ["sentiment"]])
def test_an_unknown_problem_is_named(value):
    with pytest.raises(ParameterError, match="expected one of: .*forecasting"):
        check_params({"problem": value})


# --- A fourth problem --------------------------------------------------------------------


class SlopeRegister(Training):
    max_validation_mse: float = 0.5
    require_better_than_baseline: bool = True


class SlopeParams(Params):
    """What is the slope of a line through the origin?"""

    problem: Literal["slope"] = "slope"
    train: Training = Training()
    evaluate: Training = Field(Training())
    register_: SlopeRegister = Field(SlopeRegister(), alias="register")


PLACES = places_of("slope")
TABLE = PLACES.data / "points.parquet"


def points(split: str) -> tuple[np.ndarray, np.ndarray]:
    table = pq.read_table(TABLE).to_pandas()
    rows = table[table["split"] == split]
    return rows["x"].to_numpy(np.float32)[:, None], rows["y"].to_numpy(np.float32)


def prepare(raw: Path, table: Path, params: SlopeParams) -> None:
    rows = pd.read_csv(raw)
    rows["split"] = np.resize(["train", "train", "validation", "test"], len(rows))
    table.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), table)


def error(predicted: np.ndarray, split: str) -> float:
    return float(np.mean((predicted - points(split)[1]) ** 2))


def baseline(params: SlopeParams) -> dict[str, float]:
    return {"mean": float(points("train")[1].mean())}


def learn(params: SlopeParams) -> Learner:
    keras.utils.set_random_seed(params.train.seed)
    value = keras.Input((1,))
    network = keras.Model(value, keras.layers.Dense(1, use_bias=False)(value))
    x, y = points("train")

    def start(optimizer):
        def take(rows):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((network(x[rows])[:, 0] - y[rows]) ** 2)
            norm = optimizer.step(tape.gradient(loss, tensorflow_variables(network)), None)
            return Taken(float(loss), len(rows), float(norm))

        return take

    return Learner(
        network,
        lambda epoch: np.array_split(np.random.default_rng(epoch).permutation(len(x)), 8),
        start,
        lambda loss, hits: {},
        lambda: {"loss": error(network(points("validation")[0]).numpy()[:, 0], "validation")},
    )


def export(network: keras.Model, path: Path) -> None:
    path.write_text(json.dumps(float(network.weights[0].numpy()[0, 0])))


def check_export(params: SlopeParams, network: keras.Model, path: Path) -> None:
    exported = np.array(json.loads(path.read_text()))
    require_equal(exported, network.weights[0].numpy()[0, 0], "the slope")


def evaluate(params: SlopeParams) -> dict[str, object]:
    slope = json.loads((PLACES.network / "network.onnx").read_text())
    mean = read_json(PLACES.reports / "baseline.json")["mean"]
    ours, theirs = (
        {
            split: {"mse": error(line(points(split)[0][:, 0]), split)}
            for split in ("validation", "test")
        }
        for line in (lambda x: slope * x, lambda x: np.full(len(x), mean))
    )
    return ours["test"] | {
        "n": len(points("test")[0]),
        "validation": ours["validation"],
        "baseline": theirs["test"] | {"validation": theirs["validation"]},
    }


def assemble(params: SlopeParams, lineage) -> str:
    from rnnpipe.registry import assemble as build
    from rnnpipe.registry import card

    metrics = PLACES.reports / "metrics.json"
    return build(
        PLACES.model,
        files={"network.onnx": PLACES.network / "network.onnx", "metrics.json": metrics},
        params={"problem": "slope"},
        card=card(
            "slope",
            "A line.",
            "the mean",
            ["mse"],
            read_json(metrics),
            lineage,
            use="Lines.",
            limits=["Lines."],
            loading="Read it.",
        ),
        scores=lambda path: pq.write_table(
            pa.table({"id": ["all"], "truth_sha256": ["0"], "loss": [0.0]}), path
        ),
    )


@pytest.fixture
def slope(tmp_path, monkeypatch) -> SlopeParams:
    """Parameters of the fourth problem, made known, in a folder with its data."""
    module = ModuleType("rnnpipe_slope")
    module.PROBLEM = Problem(
        name="slope",
        table=TABLE,
        selection=Selection("mse", "lower", "max_validation_mse"),
        wording=Wording("points", "mean", "the mean of all"),
        shaping=frozenset({"problem", "train"}),
        prepare=prepare,
        checks={},
        baseline=baseline,
        inputs=(TABLE,),
        learn=learn,
        export=export,
        check_export=check_export,
        evaluate=evaluate,
        steps={"points": TABLE, "network": PLACES.network},
        suites=(),
        assemble=assemble,
    )
    monkeypatch.setitem(sys.modules, "rnnpipe_slope", module)
    monkeypatch.setitem(problems.PROBLEMS, "slope", "rnnpipe_slope")
    monkeypatch.setitem(PARAMS, "slope", SlopeParams)
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(1).normal(size=200)
    raw = PLACES.data / "raw"
    raw.mkdir(parents=True)
    pd.DataFrame({"x": x, "y": 3 * x}).to_csv(raw / "points.csv", index=False)
    PLACES.pipeline.mkdir(parents=True)
    (PLACES.pipeline / "dvc.yaml").write_text("stages: {train: {cmd: x, outs: [models/slope]}}")
    values = {"problem": "slope", "train": {"epochs": 30, "patience": 30, "learning_rate": 0.1}}
    return check_params(values)


def run(params: SlopeParams, *stages: str) -> None:
    for stage in stages:
        importlib.import_module(f"rnnpipe.stages.{stage}").run(params)


def test_a_fourth_problem_goes_through_the_same_stages(slope):
    run(slope, "prepare", "baseline", "train", "evaluate", "register")
    decision = read_json(PLACES.decision)
    assert decision["verdict"] == "approved"
    assert [gate["name"] for gate in decision["reasons"]] == [
        "validation_mse",
        "better_than_baseline",
    ]
    assert json.loads((PLACES.network / "network.onnx").read_text()) == pytest.approx(3, abs=0.1)
    text = (PLACES.model / "README.md").read_text()
    assert "| mse |" in text


def test_a_network_whose_export_answers_otherwise_is_not_kept(slope, monkeypatch):
    run(slope, "prepare", "baseline")
    found = problems.problem_of(slope)
    wrong = dataclasses.replace(found, export=lambda network, path: path.write_text("2.5"))
    monkeypatch.setattr(sys.modules["rnnpipe_slope"], "PROBLEM", wrong)
    with pytest.raises(TrainingError, match="differs from the trained one by up to 0.5"):
        run(slope, "train")
    assert not PLACES.network.exists()
    monkeypatch.setattr(sys.modules["rnnpipe_slope"], "PROBLEM", found)
    run(slope, "train")  # goes on from its checkpoint
    assert (PLACES.network / "network.onnx").is_file()
