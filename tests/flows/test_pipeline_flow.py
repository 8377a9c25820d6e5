"""The flow itself, on a real server, through the real ``dvc``, on a finished small project."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import Artifact, FlowRun, State, TaskRun
from projects import DVC, is_stage, processes, trains
from s3_server import KEY_ID, SECRET, credentials, serving

import flows.pipeline
from flows.dag import read_dag
from flows.pipeline import PipelineFailedError, Story, pipeline
from flows.run import main
from flows.serving.environment import REFUSED_EVENT
from flows.workspace import RUNS, clean_workspaces, make_workspace
from rnnpipe.commands.project_copy import ProjectCopy
from rnnpipe.errors import NetworkError, ParameterError
from rnnpipe.pipeline.locks import LockError
from rnnpipe.storage.files import read_json, write_json

pytestmark = pytest.mark.usefixtures("prefect_server")


def run(project: ProjectCopy, *arguments: object, **parameters: object) -> State:
    return pipeline(*arguments, repository=str(project.folder), **parameters, return_state=True)


def story_of(state: State) -> Story:
    result = state.result(raise_on_failure=False)
    return result.story if isinstance(result, PipelineFailedError) else result


def states(story: Story) -> dict[str, str]:
    return {name: outcome.state for name, outcome in story.outcomes.items()}


def task_runs(state: State) -> dict[str, TaskRun]:
    """The task runs of a flow run by name, once the server has caught up with all."""
    only = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        for _ in range(50):
            found = client.read_task_runs(flow_run_filter=only)
            if all(run.state.is_final() or run.state_name == "NotReady" for run in found):
                break
            time.sleep(0.2)
    return {run.name: run for run in found}


def flow_run(state: State) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(state.state_details.flow_run_id)


def artifacts_of(state: State) -> list[Artifact]:
    run_id = ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id])
    with get_client(sync_client=True) as client:
        return client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=run_id))


def logs_of(state: State) -> list[str]:
    """The lines of a flow run's log, its last one among them."""
    only = {"flow_run_id": {"any_": [str(state.state_details.flow_run_id)]}}
    with get_client(sync_client=True) as client:
        for _ in range(50):
            query = {"logs": only, "sort": "TIMESTAMP_DESC"}
            found = [
                log["message"] for log in client._client.post("/logs/filter", json=query).json()
            ]
            if any("Finished in state" in line for line in found[:5]):
                break
            time.sleep(0.2)
    return found


def refusals(state: State) -> list[str]:
    """Runs that told of a refused model, as an automation hears it, this one's events only."""
    resource = f"prefect.flow-run.{state.state_details.flow_run_id}"
    only = {"event": {"name": [REFUSED_EVENT]}, "resource": {"id": [resource]}}
    with get_client(sync_client=True) as client:
        for _ in range(50):
            found = client._client.post("/events/filter", json={"filter": only}).json()["events"]
            if found:
                break
            time.sleep(0.2)
    return [event["payload"]["run"] for event in found]


def experiments(project: ProjectCopy) -> list[str]:
    refs = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    return [ref.rsplit("/", 1)[1] for ref in refs]


def standing(project: ProjectCopy) -> tuple[str, ...]:
    """All of a project that a run must leave alone."""
    return (
        project.run("git", "status", "--porcelain"),
        project.run("git", "rev-parse", "--symbolic-full-name", "HEAD"),
        project.run("git", "for-each-ref", "refs/heads"),
        (project.folder / "params.yaml").read_text(),
        (project.folder / "dvc.lock").read_text(),
    )


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """Stages for which a flow of this process starts DVC, as they come."""
    found: list[str] = []
    real = flows.pipeline.run_stage

    def run_stage(stage, *arguments, **more):
        found.append(stage)
        return real(stage, *arguments, **more)

    monkeypatch.setattr(flows.pipeline, "run_stage", run_stage)
    return found


def test_an_unchanged_project_is_a_few_skipped_tasks_and_no_process(project, asked):
    before = standing(project)
    state = run(project)
    dag = read_dag(project.folder)
    assert state.is_completed()
    assert state.message == "nothing new"
    assert states(story_of(state)) == dict.fromkeys(dag, "Skipped")
    assert standing(project) == before
    assert experiments(project) == []
    assert flow_run(state).name.startswith("defaults ")

    tasks = task_runs(state)
    assert tasks.keys() == dag.keys()
    assert {task.state_name for task in tasks.values()} == {"Skipped"}
    ids = {task.id: name for name, task in tasks.items()}
    for name, task in tasks.items():
        assert {ids[need.id] for need in task.task_inputs.get("wait_for", ())} == set(dag[name])
    assert asked == []

    state = run(project, force=["gradient_flow"])
    # It wrote what was there before; but it wrote, so those that read it are looked at.
    assert states(story_of(state))["gradient_flow"] == "Ran"
    assert {"gradient_flow", "report"} <= set(asked)
    assert states(story_of(state))["report"] == "Skipped"


def test_a_stage_whose_input_changes_while_the_run_is_under_way_is_not_skipped(
    project, asked, monkeypatch
):
    def plan_and_touch(*arguments, **more):
        workspace = make_workspace(*arguments, **more)
        code = workspace.folder / "rnnpipe/reporting/page.py"
        code.write_text(code.read_text() + "# changed\n")
        return workspace

    monkeypatch.setattr(flows.pipeline, "make_workspace", plan_and_touch)
    state = run(project)
    assert asked == ["report"]
    assert states(story_of(state))["report"] == "Ran"
    assert states(story_of(state))["evaluate"] == "Skipped"


def test_stages_added_to_dvc_yaml_are_tasks_retried_for_the_network_alone(project, tmp_path):
    path = project.folder / "dvc.yaml"
    content = yaml.safe_load(path.read_text())
    # As a network that fails once: tests/pipeline/test_pipeline.py shows that download ends with this code.
    once = (
        f"test -e {tmp_path}/tried || {{ touch {tmp_path}/tried; exit {NetworkError.exit_code}; }}"
    )
    content["stages"] |= {
        "flaky": {"cmd": f"{once}; touch zero", "outs": ["zero"]},
        "broken": {
            "cmd": "echo 'rnnpipe: no luck; try tomorrow' >&2; exit 1",
            "deps": ["data/raw"],
            "outs": ["one"],
        },
        "after": {"cmd": "touch two", "deps": ["one"], "outs": ["two"]},
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    project.commit("Add stages")
    state = run(project)
    assert state.is_failed()
    assert "broken failed: no luck; try tomorrow" in state.message
    story = story_of(state)
    assert states(story)["broken"] == "Failed"
    assert states(story)["train"] == "Skipped"
    assert "after" not in story.outcomes
    tasks = task_runs(state)
    assert (tasks["flaky"].state_name, tasks["flaky"].run_count) == ("Ran", 2)
    assert tasks["after"].state_name == "NotReady"
    assert tasks["broken"].state_name == "Failed"
    assert "try tomorrow" in tasks["broken"].state.message
    assert tasks["broken"].run_count == 1
    assert experiments(project) == []


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"train.hiden_size": 4}, "train.hiden_size is no parameter; did you mean hidden_size?"),
        ({"trian.hidden_size": 4}, "trian is no parameter; did you mean train?"),
        ({"train.hidden_size": 0}, "train.hidden_size is 0"),
        ({"problem.x.y": 1}, "problem.x.y is no parameter"),
    ],
)
def test_a_bad_override_is_refused_before_anything_is_made(finished, overrides, sentence):
    with pytest.raises(ParameterError, match=sentence.replace("?", r"\?")):
        make_workspace(finished.folder, "refused", overrides)
    assert not (finished.folder / RUNS / "refused").exists()


@pytest.mark.parametrize("content", ["", "<<<<<<< HEAD\n=======\n>>>>>>> theirs\n"])
def test_a_damaged_lock_is_named_with_what_mends_it(project, content):
    (project.folder / "dvc.lock").write_text(content)
    with pytest.raises(LockError, match="`git checkout HEAD -- dvc.lock`"):
        read_dag(project.folder)
    make_workspace(project.folder, "committed", {}).close()  # the last commit's is whole
    project.commit("Damage the lock")
    with pytest.raises(LockError, match="`git log -- dvc.lock` tells which commit has another"):
        make_workspace(project.folder, "damaged", {})


def test_the_flow_refuses_a_bad_override_and_a_bad_stage_before_any_task(project):
    for parameters, sentence in (
        ({"overrides": {"train.hiden_size": 4}}, "did you mean hidden_size?"),
        ({"force": ["trian"]}, "did you mean train?"),
        ({"address": "tcp://127.0.0.1:8786"}, "threads need none"),
    ):
        state = run(project, **parameters)
        assert state.is_failed()
        assert sentence in state.message
        assert task_runs(state) == {}


def test_a_value_that_is_no_yaml_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["--set", "train.cell=[gru"])
    assert "found 'train.cell=[gru': its value is not valid YAML" in capsys.readouterr().err


def test_a_server_that_does_not_answer_is_named(project):
    done = subprocess.run(
        [sys.executable, "-m", "flows.run"],
        cwd=project.folder,
        env={**project.environment, "PREFECT_API_URL": "http://127.0.0.1:1/api"},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 1
    assert "no Prefect server answers at http://127.0.0.1:1/api" in done.stderr
    assert "Traceback" not in done.stderr


def test_another_problems_pipeline_runs_in_a_clone_too(project_of_all):
    before = standing(project_of_all)
    state = run(project_of_all, {"train.epochs": 2}, problem="forecasting")
    assert state.is_completed(), state.message
    story = story_of(state)
    assert {name.rpartition(":")[0] for name in story.dag} == {"pipelines/forecasting/dvc.yaml"}
    ran = {name.rpartition(":")[2]: state for name, state in states(story).items()}
    assert ran["download"] == "Skipped"
    assert ran["train"] == ran["register"] == "Ran"
    assert flow_run(state).name.startswith("forecasting, train.epochs=2 ")
    assert standing(project_of_all) == before
    assert experiments(project_of_all) == [story.experiment]
    keys = {artifact.key for artifact in artifacts_of(state)}
    assert {"training", "metrics", "pictures", "verdict", "lineage", "report"} <= keys
    listed = project_of_all.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    (ref,) = (name for name in listed if name.endswith(f"/{story.experiment}"))
    saved = project_of_all.run("git", "show", f"{ref}:pipelines/forecasting/params.yaml")
    assert project_of_all.run("git", "show", f"{ref}:pipelines/forecasting/dvc.lock")
    assert yaml.safe_load(saved)["train"]["epochs"] == 2


def test_a_language_model_needs_stages_of_the_root(project_of_all):
    dag = read_dag(project_of_all.folder, Path("pipelines/language_model/dvc.yaml"))
    assert "sequences" in dag["pipelines/language_model/dvc.yaml:train"]
    assert "train" not in dag


def test_an_unknown_problem_is_refused_before_any_task(project):
    state = run(project, problem="translation")
    assert state.is_failed()
    assert "expected one of: classification, forecasting, language_model" in state.message


def test_a_wrong_hash_is_not_tried_again(project):
    card = read_json(project.folder / "data/generated.json")
    write_json(project.folder / "data/wrong.json", card | {"md5": "0" * 32})
    project.commit("Add a card")
    state = run(project, {"download.source": "data/wrong.json"})
    assert state.is_failed()
    assert "download failed" in state.message
    tasks = task_runs(state)
    assert tasks["download"].run_count == 1
    assert tasks["train"].state_name == "NotReady"


def test_two_runs_at_once_leave_a_dirty_tree_alone_and_come_back_by_name(project, prefect_server):
    (project.folder / "params.yaml").write_text(
        (project.folder / "params.yaml").read_text().replace("seed: 1", "seed: 7")
    )
    (project.folder / "rnnpipe/reporting/plots.py").write_text("this is no Python (")
    (project.folder / "notes.txt").write_text("mine")
    before = standing(project)
    children = [
        start(project, prefect_server, "--set", f"register.min_validation_accuracy={least}")
        for least in (0.83, 0.84)
    ]
    shown = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0], shown
    assert standing(project) == before
    assert (project.folder / "rnnpipe/reporting/plots.py").read_text() == "this is no Python ("
    names = experiments(project)
    assert len(names) == 2
    project.run("git", "checkout", "--quiet", ".")
    comments = (project.folder / "params.yaml").read_text().count("\n")
    for least, output in zip((0.83, 0.84), shown, strict=True):
        begin = f"register-min-validation-accuracy-{least}-".replace(".", "-")
        (name,) = [name for name in names if name.startswith(begin)]
        assert f"dvc exp apply {name}" in output
        assert "register            Ran" in output
        assert "download            Skipped" in output
    project.run(*DVC, "exp", "apply", name)
    params = (project.folder / "params.yaml").read_text()
    assert yaml.safe_load(params)["register"]["min_validation_accuracy"] == least
    assert params.count("\n") == comments
    assert project.run(*DVC, "status", "dvc.yaml").strip().endswith("up to date.")
    decision = Path("models/registration.json")
    assert read_json(project.folder / decision) == read_json(
        project.folder / RUNS / name / decision
    )


def test_a_run_publishes_on_a_branch_of_its_own_or_not_at_all_and_tells_no_secret(
    project, tmp_path, monkeypatch
):
    (tmp_path / "home").mkdir()
    environment = {**project.environment}
    for name, value in credentials(tmp_path / "home").items():
        monkeypatch.delenv(name, raising=False)
        environment.pop(name, None)
        if value is not None:
            monkeypatch.setenv(name, value)
            environment[name] = value
    project = ProjectCopy(project.folder, environment)
    project.run("git", "init", "--quiet", "--bare", str(tmp_path / "origin"))
    project.run("git", "remote", "add", "origin", "../origin")
    with serving() as server:
        project.run(*DVC, "remote", "add", "--default", "store", "s3://nowhere/store")
        project.run(*DVC, "remote", "modify", "store", "endpointurl", server.address)
        project.commit("Add a remote whose bucket is not there")
        failed = run(project, publish=True)
    assert failed.is_failed()
    assert "publishing failed: " in failed.message
    assert "nothing was published, since the DVC remote store" in failed.message
    assert "bucket does not exist" in failed.message
    assert project.run("git", "ls-remote", "origin") == ""

    project.run(*DVC, "remote", "add", "--default", "--force", "store", "../store")
    project.commit("Name a folder by a relative path")
    before = standing(project)
    state = run(project, publish=True)
    assert state.is_completed(), state.message
    assert "published sentiment v0.1.0" in state.message
    assert standing(project) == before
    (branch,) = project.run("git", "ls-remote", "--heads", "origin").split()[1::2]
    assert branch == f"refs/heads/runs/{story_of(state).name}"
    assert "sentiment@v0.1.0" in project.run("git", "ls-remote", "--tags", "origin")
    assert list((tmp_path / "store").rglob("*.dir"))
    assert "publish" in flow_run(state).name
    for run_state in (failed, state):
        told = [flow_run(run_state), *task_runs(run_state).values(), *artifacts_of(run_state)]
        shown = [record.model_dump_json() for record in told] + logs_of(run_state)
        assert any("publish" in line for line in shown)
        for secret in (SECRET, KEY_ID):
            assert not [line for line in shown if secret in line]

    state = run(project, publish=True)
    assert state.is_completed()
    assert "nothing new: this very model is sentiment v0.1.0" in state.message

    state = run(project, {"register.min_validation_accuracy": 1.0}, publish=True)
    assert state.is_completed()
    assert "the model is refused: validation_accuracy" in state.message
    tasks = task_runs(state)
    assert tasks["publish"].state_name == "Refused"
    assert tasks["register"].state_name == "Ran"
    assert tasks["train"].state_name == "Skipped"
    assert refusals(state) == [story_of(state).name]


def test_data_of_ones_own_that_git_does_not_know_come_along(project):
    card = read_json(project.folder / "data/generated.json")
    (project.folder / ".git/info/exclude").write_text("/data/own.json\n")
    write_json(project.folder / "data/own.json", card)
    workspace = make_workspace(project.folder, "own", {"download.source": "data/own.json"})
    workspace.close()
    clone = ProjectCopy(workspace.folder, project.environment)
    assert read_json(workspace.folder / "data/own.json") == card
    assert (workspace.folder / card["address"]).is_file()
    assert clone.run("git", "status", "--porcelain").split() == ["M", "params.yaml"]


def test_old_clones_go_but_for_those_at_work(project):
    made = [make_workspace(project.folder, f"run{number}", {}) for number in range(3)]
    for number, workspace in enumerate(made):
        os.utime(workspace.folder.with_name(f"run{number}.lock"), (number, number))
        if number != 1:
            workspace.close()
    clean_workspaces(project.folder, keep=1)
    left = sorted(path.name for path in (project.folder / RUNS).iterdir() if path.is_dir())
    assert left == ["run1", "run2"]
    made[1].close()


def test_without_a_server_a_run_brings_its_own_and_takes_it_along(project, empty_database):
    home = project.folder / ".rnnpipe/prefect"
    home.mkdir(parents=True)
    shutil.copy(empty_database, home)
    environment = {k: v for k, v in project.environment.items() if not k.startswith("PREFECT_")}
    command = [sys.executable, "-m", "flows.run", "--force", "report"]
    done = subprocess.run(
        command, cwd=project.folder, env=environment, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert "report              Ran" in done.stdout
    assert "train               Skipped" in done.stdout
    assert "Error logging to API" not in done.stderr
    with sqlite3.connect(home / "prefect.db") as database:
        assert database.execute("select state_type from flow_run").fetchall() == [("COMPLETED",)]
    assert home.stat().st_mode & 0o777 == 0o700
    assert not list(processes(project.folder))


# Ended in the middle -------------------------------------------------------------------------


def start(project: ProjectCopy, server: str, *arguments: str) -> "subprocess.Popen[str]":
    """``python -m flows.run`` in a process group of its own, as a worker starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.run", *arguments],
        cwd=project.folder,
        env={**project.environment, "PREFECT_API_URL": server},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc")
# That one is cancelled, its whole group told to end: test_end_to_end.py.
@pytest.mark.parametrize("way", ["killed", "told"])
def test_a_run_that_is_ended_leaves_no_process_and_a_usable_dvc(project, prefect_server, way):
    longer = [f"train.{name}=1000" for name in ("epochs", "patience")]
    child = start(project, prefect_server, *(word for text in longer for word in ("--set", text)))
    while not any(
        is_stage(command, "train") and trains(pid) for pid, command in processes(project.folder)
    ):
        assert child.poll() is None, child.communicate()[0]
        time.sleep(0.3)
    began = time.monotonic()
    child.kill() if way == "killed" else child.terminate()
    while list(processes(project.folder)) and time.monotonic() < began + 30:
        time.sleep(0.1)
    assert not list(processes(project.folder)), "an orphan goes on working"
    child.communicate()
    assert child.returncode != 0
    (clone,) = [path for path in (project.folder / RUNS).iterdir() if path.is_dir()]
    # Its lock died with it: nothing bars the name, and what had run is not lost.
    make_workspace(project.folder, clone.name, {"train.hidden_size": 9}).close()
    status = json.loads(ProjectCopy(clone, project.environment).run(*DVC, "status", "--json"))
    assert "train" in status
    assert "download" not in status
    assert "up to date" in project.run(*DVC, "status", "dvc.yaml")
    assert experiments(project) == []


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc")
def test_a_stage_that_somebody_ends_is_not_kept_as_a_result(project, prefect_server):
    longer = [f"train.{name}=1000" for name in ("epochs", "patience")]
    child = start(project, prefect_server, *(word for text in longer for word in ("--set", text)))
    while not any(is_stage(command, "train") for _, command in processes(project.folder)):
        assert child.poll() is None, child.communicate()[0]
        time.sleep(0.3)
    (dvc,) = (pid for pid, command in processes(project.folder) if "--wait-for-lock" in command)
    os.kill(dvc, signal.SIGTERM)
    printed, _ = child.communicate(timeout=120)
    assert child.returncode == 1
    assert "train: ended by a signal to dvc" in printed
    assert experiments(project) == []
