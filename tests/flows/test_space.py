"""What a search may try: the file and its check, and which stages the trials share."""

from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

import pytest
import yaml

from flows.dag import read_dag as read_dag_anew
from flows.search.command import _parser
from flows.search.space import Space, check_space, divide_stages, read_space, training_stage
from rnnpipe.errors import ParameterError
from rnnpipe.storage.paths import paths_of, problem_names

ROOT = Path(__file__).parents[2]
read_dag = cache(read_dag_anew)
TRIED = {"train.hidden_size": {"low": 8, "high": 16}, "train.cell": ["gru", "lstm"]}


def stages_after(stage: str, dag: Mapping[str, Collection[str]]) -> list[str]:
    """All stages that need a stage, directly or not."""
    after: set[str] = set()
    for name, needs in dag.items():
        if stage in needs or not after.isdisjoint(needs):
            after.add(name)
    return [name for name in dag if name in after]


def space(**values: object) -> Space:
    return Space.model_validate({"minimize": "validation_loss", "space": TRIED} | values)


def checked(problem: str = "classification", **values: object) -> None:
    text = (ROOT / paths_of(problem).params).read_text()
    check_space(space(problem=problem, **values), text, "search.yaml")


def test_the_search_of_the_project_is_allowed():
    found = read_space(ROOT / "params/search.yaml")
    params = check_space(found, (ROOT / "params.yaml").read_text(), "search.yaml")
    assert params.train.fraction == 0.1
    assert found.trials >= 20


def test_a_range_is_whole_where_its_bounds_are():
    tried = space(
        space={
            "train.hidden_size": {"low": 8, "high": 64, "step": 8},
            "train.learning_rate": {"low": 1e-4, "high": 1, "log": True},
        }
    ).space
    assert tried["train.hidden_size"].whole
    assert not tried["train.learning_rate"].whole


def test_a_number_with_an_exponent_is_one(tmp_path):
    path = tmp_path / "search.yaml"
    path.write_text(
        "minimize: validation_loss\n"
        "space:\n"
        "  train.learning_rate: {low: 1e-4, high: 1e-1, log: true}\n"
        "  train.adversarial_norm: [0, 1e-1, 5e0]\n"
    )
    tried = read_space(path).space
    assert tried["train.learning_rate"].low == 1e-4
    assert tried["train.adversarial_norm"] == [0, 0.1, 5.0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"space": {"train.hiden_size": [1, 2]}}, ["hiden_size", "hidden_size"]),
        ({"space": {"train.hidden_size": {"low": 0, "high": 8}}}, ["hidden_size", "0"]),
        ({"space": {"train.hidden_size": {"low": 8.0, "high": 9.5}}}, ["hidden_size", "8.0"]),
        ({"space": {"train.cell": ["lstm", "elman"]}}, ["train.cell", "elman"]),
        ({"space": {"hidden_size": [1, 2]}}, ["hidden_size"]),
        ({"space": {"train.hidden_size": {"low": 8, "high": 24, "step": 8.0}}}, ["16.0"]),
        ({"space": {"train.dropout_rate": {"low": 0, "high": 1}}}, ["dropout_rate", "1"]),
        ({"space": {"train.adversarial_norm": {"low": 0, "high": 5}}}, ["low: 0.0", "step: 1"]),
        ({"set": {"train.fraction": 2}}, ["fraction", "2"]),
        ({"set": {"model.layers": 2}}, ["model"]),
    ],
)
def test_every_bound_and_choice_is_held_against_the_parameters(values, words):
    with pytest.raises(ParameterError) as caught:
        checked(**values)
    for word in ["search.yaml", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"space": TRIED}, ["minimize", "maximize"]),
        ({"minimize": "validation_loss", "maximize": "validation_accuracy"}, ["one of"]),
        ({"minimize": "accuracy"}, ["validation"]),
        ({"minimize": "validation_loss", "space": {}}, ["space"]),
        ({"minimize": "validation_loss", "trails": 3}, ["trails", "trials"]),
        ({"minimize": "validation_loss", "trials": 0}, ["trials", "0"]),
        ({"minimize": "validation_loss", "problem": "chess"}, ["chess", "classification"]),
        ({"minimize": "validation_loss", "set": {"train.cell": "gru"}}, ["train.cell", "both"]),
        ({"space": {"train.dropout_rate": {"low": 0.5, "high": 0.1}}}, ["low", "high"]),
        ({"space": {"train.dropout_rate": {"low": 0.0, "high": 0.1, "log": True}}}, ["above 0"]),
        ({"space": {"train.dropout_rate": {"low": 0.1, "high": 0.2, "stepp": 1}}}, ["stepp"]),
        ({"space": {"train.hidden_size": {"low": 1, "high": 9, "step": 2, "log": True}}}, ["step"]),
        ({"space": {"train.hidden_size": {"low": 16, "high": 100, "step": 16}}}, ["step is 16"]),
        ({"space": {"train.hidden_size": {"low": 16, "high": 100, "step": 300}}}, ["step is 300"]),
        ({"space": {"train.cell": ["gru"]}}, ["train.cell", "two"]),
        ({"space": {"train.cell": ["gru", "gru"]}}, ["train.cell", "two"]),
        ({"space": {"train.cell": [["gru"], ["lstm"]]}}, ["train.cell"]),
        ({"space": {"train.cell": "gru"}}, ["train.cell"]),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path, content, words):
    path = tmp_path / "search.yaml"
    if "space" in content and content["space"] is not TRIED:
        content = {"minimize": "validation_loss", **content}
    path.write_text(yaml.safe_dump({"space": TRIED, **content}))
    with pytest.raises(ParameterError) as caught:
        read_space(path)
    for word in ["search.yaml", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("content", ["", "[1, 2]", "a: [", None])
def test_what_is_no_search_is_refused(tmp_path, content):
    path = tmp_path / "search.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ParameterError, match=r"search\.yaml"):
        read_space(path)


@pytest.mark.parametrize("problem", problem_names())
def test_trials_share_what_their_parameters_do_not_touch(problem):
    dag = read_dag(ROOT, paths_of(problem).pipeline / "dvc.yaml")
    train = training_stage(problem, dag)
    shared, own = divide_stages(space(problem=problem), dag, ROOT)
    assert own == [train]
    assert not set(shared) & set(stages_after(train, dag))
    assert "evaluate" in {stage.rpartition(":")[2] for stage in stages_after(train, dag)}


def test_what_comes_before_the_training_is_run_by_each_trial():
    dag = read_dag(ROOT, paths_of("classification").pipeline / "dvc.yaml")
    shared, own = divide_stages(space(space={"sequences.vocabulary_size": [1000, 2000]}), dag, ROOT)
    assert own[0] == "sequences"
    assert own[-1] == "train"
    assert {"download", "prepare", "validate"} <= set(shared)


def test_what_the_training_does_not_see_cannot_be_searched():
    dag = read_dag(ROOT, paths_of("classification").pipeline / "dvc.yaml")
    with pytest.raises(ParameterError, match="evaluate"):
        divide_stages(space(space={"evaluate.seed": [1, 2]}), dag, ROOT)


def test_a_space_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _parser().parse_args(["run", "--space=~/mine"]).space == str(tmp_path / "mine")
