"""Whole searches on a generated corpus: threads and Dask, killed and taken up again."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from optuna.trial import TrialState
from projects import DVC, copy, processes, set_params
from running import wait_for

import flows.search.command
import flows.search.flow
from flows.search.command import _shown
from flows.search.flow import SearchError
from flows.search.study import StudyError, load_study
from flows.serving.environment import STATE
from rnnpipe.commands.project_copy import ProjectCopy
from rnnpipe.storage.files import read_json, sha256_directory

TRIALS = 3
EPOCHS = 15  # of a twentieth of a second each: a trial can be met at its work
SEARCH = (sys.executable, "-m", "flows.search")
# No part of the lock, so only where somebody has installed it.
RAY = pytest.param(
    "ray", marks=pytest.mark.skipif(find_spec("prefect_ray") is None, reason="needs prefect-ray")
)
pytestmark = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc")


def searched(sandbox: ProjectCopy) -> ProjectCopy:
    """A project with a network that is easy to better and a small space."""
    set_params(sandbox.folder, {"train.hidden_size": 4, "train.learning_rate": 0.0005})
    path = sandbox.folder / "params.yaml"
    path.write_text("# As the project wants it.\n" + path.read_text())
    space = {
        "minimize": "validation_loss",
        "trials": TRIALS,
        "prune": False,
        "set": {"train.epochs": EPOCHS, "train.patience": EPOCHS},
        "space": {
            "train.hidden_size": {"low": 8, "high": 16},
            "train.learning_rate": {"low": 0.005, "high": 0.02, "log": True},
        },
    }
    (sandbox.folder / "params/search.yaml").write_text(yaml.safe_dump(space))
    sandbox.commit("Begin")
    return sandbox


@pytest.fixture(scope="module")
def sandbox(
    quick: ProjectCopy, empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> ProjectCopy:
    """Trainings of a moment, whose loss follows from their parameters."""
    made = searched(copy(quick, tmp_path_factory.mktemp("search") / "project"))
    (made.folder / STATE).mkdir(parents=True)
    shutil.copy(empty_database, made.folder / STATE)  # for servers of a search's own
    return made


def start(sandbox: ProjectCopy, *arguments: str, server: str = "") -> "subprocess.Popen[str]":
    """Begin a search, on a server of its own where none is named."""
    known = {"PREFECT_API_URL": server} if server else {}
    return subprocess.Popen(
        [*SEARCH, "run", *arguments],
        cwd=sandbox.folder,
        env={**sandbox.environment, "DO_NOT_TRACK": "1", **known},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def kill_half_way(sandbox: ProjectCopy, name: str, *arguments: str) -> None:
    """Kill a search, and nothing but its own process, when a trial has ended and another trains."""

    def half_way() -> bool:
        assert child.poll() is None, child.communicate()[0]
        try:
            states = [t.state for t in load_study(sandbox.folder, name).trials]
        except StudyError:  # not yet
            return False
        return TrialState.COMPLETE in states and TrialState.RUNNING in states

    child = start(sandbox, "--name", name, *arguments)
    wait_for("a trial to end while another runs", 600, half_way)
    child.kill()
    child.communicate()
    # Agents of Ray itself stay for a minute after all else.
    wait_for("all to be gone", 180, lambda: not list(processes(sandbox.folder)))


def assert_whole(sandbox: ProjectCopy, name: str, printed: str) -> None:
    """A search has ended well: all trials, their experiments, the report, and nothing else."""
    study = load_study(sandbox.folder, name)
    assert [t.number for t in study.trials] == list(range(TRIALS))
    assert {t.state for t in study.trials} == {TrialState.COMPLETE}
    listed = sandbox.run(*DVC, "exp", "list", "--name-only").split()
    assert {f"{name}-{n:03d}" for n in range(TRIALS)} | {f"{name}-default"} <= set(listed)
    report = sandbox.folder / "reports/search" / name
    found = read_json(report / "search.json")
    assert {trial["number"]: trial["value"] for trial in found["trials"]} == {
        t.number: t.value for t in study.trials
    }
    assert found["best"] == study.best_trial.number
    assert found["default"]["value"] > study.best_value
    assert {path.suffix for path in report.iterdir()} == {".json", ".csv", ".png"}
    assert f"{name}-{study.best_trial.number:03d}" in printed
    # Nothing of it lies in the way: clones of trials that ended well are gone.
    assert not list((sandbox.folder / ".rnnpipe/runs").glob(f"{name}-0*"))
    assert not list(processes(sandbox.folder))


@pytest.mark.parametrize("runner", ["dask", RAY])
def test_a_search_that_is_killed_goes_on_elsewhere_with_more_trials_and_loses_nothing(
    sandbox, prefect_server, runner
):
    """It begins on threads, and ends well on the runner that spreads it over processes."""
    # Else DVC would bring back what the other runner's search has trained.
    shutil.rmtree(sandbox.folder / ".dvc/cache/runs", ignore_errors=True)
    kill_half_way(sandbox, runner, "--trials", str(TRIALS - 1))
    before = {
        t.number: (t.value, t.datetime_complete)
        for t in load_study(sandbox.folder, runner).trials
        if t.state is TrialState.COMPLETE
    }
    assert 0 < len(before) < TRIALS
    child = start(
        sandbox, "--name", runner, "--runner", runner, "--at-once", "2", server=prefect_server
    )
    printed, _ = child.communicate(timeout=800)
    assert child.returncode == 0, printed
    assert_whole(sandbox, runner, printed)
    study = load_study(sandbox.folder, runner)
    for number, known in before.items():  # their times among it: none has run again
        trial = study.trials[number]
        assert (trial.value, trial.datetime_complete) == known


def test_the_best_is_written_as_a_change_to_review(sandbox, tmp_path, monkeypatch, capsys):
    project = copy(sandbox, tmp_path / "project")
    monkeypatch.setattr(flows.search.command, "ROOT", project.folder)
    path = project.folder / "params.yaml"
    before = yaml.safe_load(path.read_text())
    assert flows.search.command.main(["apply", "dask"]) == 0
    after = yaml.safe_load(path.read_text())
    best = load_study(project.folder, "dask").best_trial
    assert path.read_text().startswith("# As the project wants it.\n")
    for key, value in best.params.items():
        section, name = key.split(".")
        assert after[section].pop(name) == value
        before[section].pop(name)
    assert after == before  # what was set for all trials is no part of the best
    capsys.readouterr()
    assert flows.search.command.main(["show", "dask"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + TRIALS  # head and default
    assert flows.search.command.main(["apply", "nosuch"]) == 1
    told = capsys.readouterr().err
    assert "known: " in told
    assert "Traceback" not in told


def test_a_trial_comes_back_as_it_was_and_is_judged_then(sandbox, tmp_path):
    project = copy(sandbox, tmp_path / "project")
    before = project.run(*DVC, "exp", "show", "--json")
    project.run(*DVC, "exp", "apply", "dask-001")
    trial = load_study(project.folder, "dask").trials[1]
    params = yaml.safe_load((project.folder / "params.yaml").read_text())["train"]
    assert params["hidden_size"] == trial.params["train.hidden_size"]
    assert params["epochs"] == EPOCHS
    seconds = project.reproduce()
    assert "evaluate" in seconds
    assert "train" not in seconds
    # Trained here and now it is the same: where a trial runs changes nothing of what it finds.
    found = sha256_directory(project.folder / "models/network")
    project.run(*DVC, "repro", "--force", "--single-item", "train")
    assert sha256_directory(project.folder / "models/network") == found
    history = read_json(project.folder / "models/network/history.json")
    losses = {row["epoch"]: row["validation_loss"] for row in history["epochs"]}
    assert losses[history["best_epoch"]] == trial.value
    assert "dask-001" in before
    # No trial is judged on test, and none shows what another network came to there.
    listed = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    (ref,) = (name for name in listed if name.endswith("/dask-001"))
    kept = project.run("git", "ls-tree", "-r", "--name-only", ref, "reports").split()
    assert "reports/train/metrics.json" in kept
    assert "reports/metrics.json" not in kept


def test_a_trial_that_cannot_be_is_a_result_and_not_the_end(real_project, prefect_server):
    (real_project.folder / "params/pairs.yaml").write_text(
        yaml.safe_dump(
            {
                "minimize": "validation_loss",
                "trials": 2,
                "seed": 1,  # proposes both what cannot be and what can
                "set": {"train.epochs": 2},
                # Each value is allowed; vectors wider than those learnt are not.
                "space": {
                    "train.embedding": ["uniform", "word_vectors"],
                    "train.embedding_size": [32, 64],
                },
            }
        )
    )
    real_project.commit("Begin")
    child = start(real_project, "--space", "params/pairs.yaml", server=prefect_server)
    printed, _ = child.communicate(timeout=600)
    assert child.returncode == 0, printed
    study = load_study(real_project.folder, "pairs")
    states = {
        (t.params["train.embedding"], t.params["train.embedding_size"]): t.state
        for t in study.trials
    }
    impossible = ("word_vectors", 64)
    assert states[impossible] is TrialState.FAIL
    assert {state for pair, state in states.items() if pair != impossible} == {TrialState.COMPLETE}
    report = read_json(real_project.folder / "reports/search/pairs/search.json")
    assert report["best"] == study.best_trial.number
    # The default was trained for real, too, and as the trials were: on what they share it agrees.
    values = {pair: t.value for pair, t in zip(states, study.trials, strict=True)}
    assert values.get(("uniform", 32), report["default"]["value"]) == report["default"]["value"]
    (failed,) = (t for t in study.trials if t.state is TrialState.FAIL)
    assert "word_vectors.size" in failed.user_attrs["reason"]


@pytest.mark.usefixtures("prefect_server")
def test_what_cannot_be_searched_ends_at_once_and_says_why(sandbox):
    def refused(**parameters: str) -> str:
        state = flows.search.flow.search(
            **parameters, repository=str(sandbox.folder), return_state=True
        )
        assert state.is_failed()
        return state.message

    (sandbox.folder / "params/broken.yaml").write_text(
        yaml.safe_dump({"minimize": "validation_loss", "space": {"train.hidden_size": [0, 8]}})
    )
    assert "train.hidden_size" in refused(space="params/broken.yaml")
    assert not (sandbox.folder / "reports/search/broken").exists()
    # Trials are clones of a commit: they would not have a stage that is in the work tree alone.
    path = sandbox.folder / "dvc.yaml"
    before = path.read_text()
    path.write_text(before + "  later:\n    cmd: 'true'\n")
    told = refused(name="uncommitted")
    path.write_text(before)
    assert "dvc.yaml is not committed" in told


def test_a_search_without_a_report_is_named(tmp_path):
    with pytest.raises(SearchError, match="run --name gone"):
        _shown(tmp_path / "gone")


@pytest.mark.usefixtures("prefect_server")
def test_one_search_of_a_name_at_a_time(sandbox):
    # The kernel's lock bars this process, too; that it dies with its holder, the killed ones show.
    with flows.search.flow._alone(sandbox.folder, "alone"):
        state = flows.search.flow.search(
            name="alone", repository=str(sandbox.folder), return_state=True
        )
    assert state.is_failed()
    assert "is at work" in state.message
