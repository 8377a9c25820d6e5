"""The whole DAG on a generated corpus, through the real ``dvc``."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import stage_code
import yaml
from projects import (
    DVC,
    ROOT,
    fails,
    is_stage,
    keep_root,
    make_quick,
    make_small,
    processes,
    set_params,
)

import rnnpipe.stages.download
from rnnpipe.__main__ import main
from rnnpipe.commands.project_copy import ProjectCopy
from rnnpipe.storage.download import fetch
from rnnpipe.storage.files import read_json, sha256_directory, sha256_file, write_json
from rnnpipe.storage.paths import stage_files

# What needs neither data nor another stage: a change to the data does not run it again.
APART = {"pretrained"}
STAGES = tuple(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])


def change(sandbox: ProjectCopy, section: str, **values: object) -> None:
    set_params(sandbox.folder, {f"{section}.{name}": value for name, value in values.items()})


def lock(sandbox: ProjectCopy) -> str:
    return (sandbox.folder / "dvc.lock").read_text()


def test_every_stage_ran_and_a_model_came_out(finished):
    assert set(yaml.safe_load(lock(finished))["stages"]) == set(STAGES)
    metrics = read_json(finished.folder / "reports/metrics.json")
    assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]
    assert metrics["accuracy"] > 0.9
    assert metrics["accuracy"] > metrics["baseline"]["accuracy"]
    for baseline in (metrics["baseline"], metrics["baseline"]["validation"]):
        test = baseline["mcnemar"]
        ahead = test["model_only_correct"] - test["baseline_only_correct"]
        ours = metrics if baseline is metrics["baseline"] else metrics["validation"]
        difference = ours["accuracy"] - baseline["accuracy"]
        assert ahead == round(difference * baseline["n"])
        assert 0 < test["p_value"] <= 1
    decision = read_json(finished.folder / "models/registration.json")
    assert decision["verdict"] == "approved"
    assert "better_than_baseline" in {gate["name"] for gate in decision["reasons"]}
    assert decision["model"] == sha256_directory(finished.folder / "models/sentiment")


def test_dvc_and_the_command_line_name_the_same_stages():
    found = set()
    for path in [ROOT / "dvc.yaml", *ROOT.glob("pipelines/*/dvc.yaml")]:
        stages = yaml.safe_load(path.read_text())["stages"]
        found |= set(stages)
        given = "" if path.parent == ROOT else f" --params pipelines/{path.parent.name}/params.yaml"
        for name, stage in stages.items():
            assert stage["cmd"] == f"python -m rnnpipe {name}{given}"
    assert found == set(stage_files())


def test_a_second_run_runs_nothing(project):
    before = lock(project)
    assert project.reproduce() == {}
    assert lock(project) == before
    assert "up to date" in project.run(*DVC, "status", "dvc.yaml")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_all_the_code_it_executes(finished_and_executed, stage):
    sandbox, executed = finished_and_executed
    stage_code.check_named(sandbox, "classification", stage, executed[stage,])


def stale(sandbox: ProjectCopy) -> set[str]:
    """Stages that would run."""
    return set(json.loads(sandbox.run(*DVC, "status", "--json", "dvc.yaml")))


def test_a_change_runs_what_it_reaches_and_no_other_stage(project):
    # That an old parameter comes back from the run cache: flows/test_stage.py.
    change(project, "train", hidden_size=8, epochs=1)
    # The report reads what these write, and nothing else of it.
    assert stale(project) == {"train", "gradient_flow", "evaluate", "register"}
    project.run("git", "checkout", "--", "params.yaml")
    assert stale(project) == set()
    path = project.folder / "rnnpipe/reporting/plots.py"
    path.write_text(path.read_text() + "\n# changed\n")
    found = stale(project)
    assert {"gradient_flow", "evaluate"} <= found
    assert not {"train", "baseline", "sequences"} & found


def test_dvcs_own_commands_serve_a_dvc_user(quick_project):
    quick_project.run(
        *DVC,
        "exp",
        "run",
        "--quiet",
        "-n",
        "small",
        "-S",
        "train.hidden_size=8",
        "-S",
        "train.epochs=1",
    )
    shown = json.loads(quick_project.run(*DVC, "params", "diff", "--json"))
    assert shown["params.yaml"]["train.hidden_size"]["new"] == 8
    changed = json.loads(quick_project.run(*DVC, "metrics", "diff", "--json"))
    assert (
        "accuracy" in changed["diff"]["reports/metrics.json"]
        if "diff" in changed
        else changed["reports/metrics.json"]
    )
    quick_project.run(*DVC, "plots", "diff", "HEAD", "--out", "page")
    page = (quick_project.folder / "page/index.html").read_text()
    for title in ("Confusion matrix", "ROC", "Loss"):
        assert title in page
    assert 'src="http' not in page
    assert "vegaEmbed" in page


def test_the_model_serves_predictions(project):
    texts = ["", "zzz qqq", "word " * 1_000_000, "It was wonderful."]
    pq.write_table(pa.table({"text": texts}), project.folder / "new.parquet")
    lines = project.run(
        sys.executable, "-m", "rnnpipe", "predict", "--file", "new.parquet", "--json"
    ).splitlines()
    answers = [json.loads(line) for line in lines]
    assert len(answers) == len(texts)
    for answer in answers:
        assert list(answer) == ["row", "label", "probability", "probabilities", "known_words"]
        assert 0 <= answer["probability"] <= 1
        assert answer["label"] == ("pos" if answer["probability"] > 0.5 else "neg")


def test_predictions_of_the_model_are_those_of_the_evaluation(project):
    judged = pq.read_table(project.folder / "data/predictions/test.parquet").to_pandas().head(200)
    reviews = pq.read_table(project.folder / "data/reviews.parquet").to_pandas().set_index("id")
    texts = reviews["text"].loc[judged["id"]].tolist()
    pa.csv.write_csv(pa.table({"text": texts}), project.folder / "new.csv")
    lines = project.run(
        sys.executable, "-m", "rnnpipe", "predict", "--file", "new.csv", "--json"
    ).splitlines()
    for line, expected in zip(lines, judged["probability"], strict=True):
        assert json.loads(line)["probability"] == pytest.approx(expected, abs=1e-3)


def test_no_review_text_enters_a_committed_file(project):
    reviews = pq.read_table(project.folder / "data/reviews.parquet")["text"].to_pylist()
    sentences = {text[:60].encode() for text in reviews if len(text) >= 60}
    for name in project.run("git", "ls-files", "reports", "models").split():
        content = (project.folder / name).read_bytes()  # pictures are among them
        assert not [sentence for sentence in sentences if sentence in content]


def test_own_reviews_take_a_path_and_appended_rows_run_it_again(finished_root, tmp_path):
    project = make_quick(finished_root, tmp_path / "project", real=["prepare"])
    reviews = pq.read_table(project.folder / "data/reviews.parquet").to_pandas()
    labelled = reviews[reviews["split"] != "unlabelled"]
    own = labelled.assign(
        review=labelled["text"], stars=labelled["label"].astype(int).map({0: "bad", 1: "good"})
    )
    own[["review", "stars", "film"]].iloc[:-200].to_csv(tmp_path / "own.csv", index=False)
    change(project, "download", source=str(tmp_path / "own.csv"))
    change(
        project,
        "prepare",
        text_column="review",
        label_column="stars",
        group_column="film",
        labels={"good": "pos", "bad": "neg"},
    )
    assert set(project.reproduce("sequences")) == {"download", "prepare", "validate", "sequences"}
    assert stale(project) == set(STAGES) - APART - {"download", "prepare", "validate", "sequences"}
    before = read_json(project.folder / "reports/sequences.json")
    own[["review", "stars", "film"]].to_csv(tmp_path / "own.csv", index=False)
    assert set(project.reproduce("sequences")) == {"download", "prepare", "validate", "sequences"}
    after = read_json(project.folder / "reports/sequences.json")
    assert after["train"] > before["train"]
    # A film never moves to another split when the file grows.
    index = pq.read_table(project.folder / "data/sequences/index.parquet").to_pandas()
    assert index.groupby("film")["split"].nunique().max() == 1


@pytest.fixture
def web(tmp_path):
    """A folder that is served on loopback: (folder, address)."""
    folder = tmp_path / "www"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_own_reviews_take_an_address_and_outlast_its_absence(project, web):
    folder, address = web
    (folder / "own.csv").write_text("text,label\nfine,pos\npoor,neg\n")
    change(project, "download", source=f"{address}/own.csv")
    download = (*DVC, "repro", "--single-item", "download")
    project.run(*download)
    raw = project.folder / "data/raw/reviews.csv"
    assert raw.read_text().count("\n") == 3
    assert "didn't change" in project.run(*download)
    (folder / "own.csv").write_text("text,label\nfine,pos\npoor,neg\ngood,pos\n")
    project.run(*download)
    assert raw.read_text().count("\n") == 4
    (folder / "own.csv").unlink()
    assert "own.csv" in fails(project, *download)
    assert raw.read_text().count("\n") == 4


def test_raw_data_that_lie_elsewhere_behind_a_link_are_replaced_there_each_time(
    quick_project, tmp_path
):
    raw, elsewhere = quick_project.folder / "data/raw", tmp_path / "elsewhere"
    before = sha256_directory(raw)
    raw.rename(elsewhere)
    raw.symlink_to(elsewhere)
    for _ in range(2):
        quick_project.run(*DVC, "repro", "--force", "--single-item", "download")
        assert raw.is_symlink()
        assert sha256_directory(elsewhere) == before
    assert [path.name for path in raw.parent.glob(".raw*")] == []
    assert quick_project.reproduce() == {}


def test_no_network_ends_with_the_code_for_later_and_says_what_to_do(project, monkeypatch, capsys):
    card = read_json(project.folder / "data/imdb.json")
    card["address"] = "http://127.0.0.1:9/aclImdb_v1.tar.gz"  # the discard port: nobody listens
    write_json(project.folder / "data/imdb.json", card)
    change(project, "download", source="data/imdb.json")
    before = sha256_directory(project.folder / "data/raw")
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("RNNPIPE_MIRROR", "")
    monkeypatch.setattr(rnnpipe.stages.download, "fetch", partial(fetch, wait_seconds=0.001))
    assert main(["download"]) == 75
    told = capsys.readouterr().err
    for word in (card["address"], "RNNPIPE_MIRROR", "make demo"):
        assert word in told
    assert sha256_directory(project.folder / "data/raw") == before


def test_a_failed_validation_stops_the_pipeline_and_leaves_its_report(project):
    change(project, "validate", min_labelled=100_000)
    shown = fails(project, *DVC, "repro")
    assert "100000" in shown.replace(",", "").replace("_", "")
    assert "Traceback" not in shown
    assert not read_json(project.folder / "reports/validation.json")["passed"]


@pytest.mark.parametrize(
    ("stage", "kibibytes"),
    [("download", 8), ("prepare", 8), ("sequences", 8), ("word_vectors", 8), ("train", 100)],
)
def test_a_full_disk_leaves_nothing_half_written(project, stage, kibibytes):
    folders = [project.folder / name for name in ("data", "models")]
    before = [sha256_directory(folder) for folder in folders]
    shown = fails(project, "bash", "-c", f"ulimit -f {kibibytes}; exec python -m rnnpipe {stage}")
    assert "free some space" in shown
    assert "Traceback" not in shown
    assert [sha256_directory(folder) for folder in folders] == before


# Death in every stage -----------------------------------------------------------------------


def start(sandbox: ProjectCopy) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*DVC, "repro"],
        cwd=sandbox.folder,
        env=sandbox.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def stage_process(
    child: "subprocess.Popen[bytes]", sandbox: ProjectCopy, stages: Collection[str]
) -> tuple[int, str] | None:
    """Wait for one of these stages' own process; None when the run ended before any came."""
    while child.poll() is None:
        for pid, command in processes(sandbox.folder):
            if found := next((stage for stage in stages if is_stage(command, stage)), None):
                return pid, found
        time.sleep(0.1)  # to look through all processes costs a fifth of that
    return None


# Seconds after which a long stage is in the middle of its work; the short ones die at once.
INTO_THE_WORK = {"validate": 1.0, "train": 4.0, "evaluate": 2.0}
# Who is killed, in turn: along the chain, each of them in stages of every kind.
VICTIMS = ("stage", "dvc", "group")


@contextmanager
def all_gone(sandbox: ProjectCopy, seconds: float) -> Iterator[None]:
    yield
    end = time.monotonic() + seconds
    while list(processes(sandbox.folder)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not list(processes(sandbox.folder)), "an orphan goes on working"


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc")
def test_killed_in_every_stage_a_plain_repro_ends_the_same(finished, tmp_path):
    sandbox = make_small(tmp_path / "project")
    keep_root(sandbox)
    left = [(stage, VICTIMS[number % 3]) for number, stage in enumerate(STAGES)]
    while left:
        child = start(sandbox)
        found = stage_process(child, sandbox, {stage for stage, _ in left})
        assert found is not None, f"{left} did not start"
        pid, stage = found
        victim = next(victim for name, victim in left if name == stage)
        left.remove((stage, victim))
        time.sleep(INTO_THE_WORK.get(stage, 0.05))
        with all_gone(sandbox, 30):  # one that still imports TensorFlow looks up late
            match victim:
                case "stage":
                    os.kill(pid, signal.SIGKILL)
                case "dvc":
                    child.kill()
                case "group":
                    os.killpg(child.pid, signal.SIGKILL)
            child.wait(30)
    sandbox.reproduce()
    # Stages that do not need each other stand in the order in which they ran.
    assert yaml.safe_load(lock(sandbox)) == yaml.safe_load(lock(finished))
    assert sha256_file(sandbox.folder / "models/registration.json") == sha256_file(
        finished.folder / "models/registration.json"
    )
