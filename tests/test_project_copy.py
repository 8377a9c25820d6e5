import subprocess
from pathlib import Path

import pytest

from rnnpipe.commands.project_copy import (
    _independent,
    attempt,
    copy_project,
    make_attempt,
    named_problem,
)
from rnnpipe.config.load import load_params
from rnnpipe.errors import ParameterError, RnnpipeError
from rnnpipe.storage.paths import problem_names


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A small git project with an earlier try in it."""
    root = tmp_path / "project"
    (root / ".try" / "small").mkdir(parents=True)
    (root / ".try" / "small" / "result").write_text("earlier")
    (root / "params.yaml").write_text("problem: sentiment\n")
    (root / ".gitignore").write_text("/.try/\n")
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    monkeypatch.chdir(root)
    return root


@pytest.mark.parametrize("name", ["..", ".", "params/small.yaml"])
def test_a_file_that_is_not_there_costs_nothing(project, name):
    with pytest.raises((ParameterError, RnnpipeError, IsADirectoryError)):
        attempt(Path(name))
    assert (project / ".try" / "small" / "result").read_text() == "earlier"
    assert (project / "params.yaml").exists()


def test_a_misspelt_override_costs_nothing(project):
    (project / "small.yaml").write_text("train: {hiden_size: 3}\n")
    with pytest.raises(ParameterError, match="did you mean hidden_size"):
        attempt(Path("small.yaml"))
    assert (project / ".try" / "small" / "result").read_text() == "earlier"


def test_a_copy_with_other_parameters_leaves_the_projects_alone(project):
    (project / ".dvc").mkdir()
    (project / ".dvc" / "config").touch()
    sandbox = make_attempt(project, project / ".try" / "small", {"train": {"seed": 7}})
    assert load_params(sandbox.folder / "params.yaml").train.seed == 7
    assert load_params(project / "params.yaml").train.seed != 7
    assert not (sandbox.folder / "result").exists()


def test_a_file_that_names_a_problem_is_of_its_parameters(project):
    (project / ".dvc").mkdir()
    (project / ".dvc" / "config").touch()
    params = project / "pipelines" / "forecasting" / "params.yaml"
    params.parent.mkdir(parents=True)
    params.write_text("problem: forecasting\n")
    own = project / "data" / "mirror" / "own.csv"
    own.parent.mkdir(parents=True)
    own.write_text("date,a\n")
    (project / ".gitignore").write_text("/.try/\n/data/mirror/\n")
    values = {"problem": "forecasting", "download": {"source": "data/mirror/own.csv"}}
    assert named_problem(values) == "forecasting"
    folder = project / ".try" / "small"
    sandbox = make_attempt(project, folder, values, "own.yaml", "forecasting")
    merged = load_params(sandbox.folder / "pipelines" / "forecasting" / "params.yaml")
    assert merged.download.source == "data/mirror/own.csv"
    assert (sandbox.folder / "data" / "mirror" / "own.csv").read_text() == "date,a\n"
    assert (sandbox.folder / "params.yaml").read_text() == (project / "params.yaml").read_text()


def test_a_file_of_another_problem_costs_nothing(project):
    with pytest.raises(ParameterError, match="is about 'forecasting', expected classification"):
        make_attempt(project, project / ".try" / "small", {"problem": "forecasting"}, "own.yaml")
    assert (project / ".try" / "small" / "result").read_text() == "earlier"


@pytest.mark.parametrize("folder", [".", "..", ".try/..", "/"])
def test_the_project_itself_is_never_replaced(project, folder):
    with pytest.raises(RnnpipeError, match="holds the project itself"):
        copy_project(project, Path(folder), share_cache=False)
    assert (project / "params.yaml").exists()


def test_a_users_own_git_settings_do_not_reach_a_copy(project, tmp_path, monkeypatch):
    (tmp_path / "gitconfig").write_text(
        "[commit]\n\tgpgsign = true\n[gpg]\n\tprogram = /bin/false\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    sandbox = copy_project(project, project / ".try" / "copy", share_cache=False)
    sandbox.commit("Begin")
    assert "Begin" in sandbox.run("git", "log", "--oneline")
    assert not list((project / ".git" / "refs" / "heads").iterdir())


def test_outside_git_it_says_so(tmp_path):
    with pytest.raises(RnnpipeError, match="no git clone"):
        copy_project(tmp_path, tmp_path / "copy", share_cache=False)


def test_pipelines_that_share_no_file_run_side_by_side():
    root = Path(__file__).parents[1]
    assert _independent(root, problem_names()) == [
        ["classification", "language_model"],
        ["forecasting"],
    ]
    assert _independent(root, ["language_model", "forecasting"]) == [
        ["language_model"],
        ["forecasting"],
    ]
