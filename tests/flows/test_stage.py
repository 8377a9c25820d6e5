"""One stage as a child process, through the real ``dvc``."""

import json
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import yaml

from flows.dag import DagError, read_dag, read_plan
from flows.stage import (
    Outcome,
    StageFailedError,
    StageNetworkError,
    following,
    run_stage,
    stop_stages,
)
from rnnpipe.errors import ParameterError
from rnnpipe.storage.files import read_json, write_json
from rnnpipe.storage.paths import paths_of, problem_names


class Seen:
    """What a stage's child told."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []
        self.epochs: list[dict] = []

    def run(self, stage, folder, force=False):
        return run_stage(
            stage,
            folder,
            force=force,
            on_line=lambda level, text: self.lines.append((level, text)),
            on_epoch=self.epochs.append,
        )


@pytest.fixture
def seen():
    return Seen()


@pytest.mark.parametrize("kind", [StageFailedError, StageNetworkError])
def test_a_failure_comes_back_whole_from_the_worker_of_a_cluster(kind):
    outcome = Outcome("train", "Failed", 1.5, "no memory", ("first line", "last line"))
    error = kind(outcome, Path("clone"))
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is kind
    assert (found.outcome, found.folder, str(found)) == (outcome, error.folder, str(error))


def needs_in(path: Path) -> dict[str, set[str]]:
    """The stages of a dvc.yaml and what each needs, worked out from deps and outs alone."""
    stages = yaml.safe_load(path.read_text())["stages"]
    made = {}
    for name, stage in stages.items():
        for entry in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
            made[entry if isinstance(entry, str) else next(iter(entry))] = name
    return {
        name: {
            maker
            for dep in stage["deps"]
            for out, maker in made.items()
            if dep == out or dep.startswith(f"{out}/") or out.startswith(f"{dep}/")
        }
        for name, stage in stages.items()
    }


def test_the_dag_is_that_of_dvc_yaml(finished):
    dag = read_dag(finished.folder)
    assert {name: set(needs) for name, needs in dag.items()} == needs_in(
        finished.folder / "dvc.yaml"
    )
    before: set[str] = set()
    for name, needs in dag.items():
        assert before.issuperset(needs)
        before.add(name)


@pytest.mark.parametrize("problem", problem_names())
def test_a_finished_pipeline_has_nothing_to_do(project_of_all, problem):
    plan = read_plan(project_of_all.folder, paths_of(problem).pipeline / "dvc.yaml")
    assert plan.unchanged.keys() == plan.needs.keys()
    assert all(plan.nothing_to_do(stage, project_of_all.folder) for stage in plan.needs)


def test_whatever_a_stage_depends_on_is_noticed_when_it_is_touched(project):
    folder, stage = project.folder, "evaluate"
    plan = read_plan(folder)
    stamps = plan.unchanged[stage]
    assert {"dvc.yaml", "dvc.lock", "params.yaml", "reports/metrics.json"} <= stamps.keys()
    assert {"models/network", "data/predictions", "rnnpipe/reporting/plots.py"} <= stamps.keys()
    for path in map(folder.joinpath, stamps):
        file = next(f for f in sorted(path.rglob("*")) if f.is_file()) if path.is_dir() else path
        content, times = file.read_bytes(), file.stat()
        longer = partial(Path.write_bytes, data=content + b" ")
        for change in (longer, Path.unlink, os.utime):
            change(file)
            assert not plan.nothing_to_do(stage, folder), file
            file.write_bytes(content)
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
            assert plan.nothing_to_do(stage, folder)
    assert not plan.nothing_to_do("no stage of it", folder)


def test_a_stage_with_something_to_do_is_none_of_the_unchanged(project, set_params):
    set_params(project.folder, {"evaluate.bootstrap_samples": 101})
    plan = read_plan(project.folder)
    assert plan.needs.keys() - plan.unchanged.keys() == {"evaluate"}


@pytest.mark.parametrize("wdir", [".", "../.."])
def test_what_a_stage_depends_on_is_found_from_the_folder_it_works_in(tmp_path, wdir):
    pipeline = tmp_path / "pipelines/other"
    pipeline.mkdir(parents=True)
    source = pipeline / wdir / "in"
    source.write_text("1")
    stage = {"cmd": "cp in out", "wdir": wdir, "deps": ["in"], "outs": ["out"]}
    (pipeline / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"own": stage}}))
    for command in (["init", "--quiet", "--no-scm"], ["repro", "--quiet", "--all-pipelines"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=tmp_path, check=True)
    plan = read_plan(tmp_path, Path("pipelines/other/dvc.yaml"))
    (name,) = plan.unchanged
    assert plan.nothing_to_do(name, tmp_path)
    source.write_text("another")
    assert not plan.nothing_to_do(name, tmp_path)


def test_a_dvc_yaml_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DagError, match=str(tmp_path)):
        read_dag(tmp_path)


def test_an_unchanged_stage_is_skipped(project, seen):
    outcome = seen.run("sequences", project.folder)
    assert outcome.state == "Skipped"
    assert outcome.message == "unchanged"


def test_a_forced_stage_runs_and_its_lines_keep_their_level(project, seen):
    outcome = seen.run("sequences", project.folder, force=True)
    assert outcome.state == "Ran"
    (line,) = [(level, text) for level, text in seen.lines if text.startswith("rnnpipe.problems")]
    assert line[0] == logging.INFO
    assert "token ids" in line[1]
    # What DVC advises holds for a work tree of one's own.
    assert all(level == logging.DEBUG for level, text in seen.lines if "git add" in text)


def test_an_old_parameter_is_restored_from_the_cache(project, seen, set_params):
    set_params(project.folder, {"word_vectors.seed": 2})
    assert seen.run("word_vectors", project.folder).state == "Ran"
    set_params(project.folder, {"word_vectors.seed": 1})
    assert seen.run("word_vectors", project.folder).state == "Cached"


def test_each_epoch_is_handed_on_as_it_ends(real_project, seen, set_params):
    set_params(real_project.folder, {"train.epochs": 2, "train.patience": 2})
    assert seen.run("train", real_project.folder).state == "Ran"
    assert [epoch["epoch"] for epoch in seen.epochs] == [1, 2]
    assert {"loss", "validation_loss", "validation_accuracy"} <= seen.epochs[0].keys()


def test_a_failed_stage_says_why_and_what_to_do(real_project, seen, set_params):
    set_params(real_project.folder, {"validate.min_labelled": 100_000})
    with pytest.raises(StageFailedError) as caught:
        seen.run("validate", real_project.folder)
    assert not isinstance(caught.value, StageNetworkError)
    outcome = caught.value.outcome
    assert outcome.state == "Failed"
    assert "100000" in outcome.message.replace(",", "")
    assert outcome.last_lines
    assert f"cd {real_project.folder} && dvc repro --single-item validate" in str(caught.value)
    assert any(level == logging.ERROR for level, _ in seen.lines)


def use_card(folder: Path, **changes: object) -> None:
    """Have the stage download fetch from a card that differs from the generated one."""
    card = read_json(folder / "data/generated.json")
    write_json(folder / "data/generated.json", card | changes)


def test_the_exit_code_for_later_is_told_from_all_others(project, seen):
    for code, kind in ((75, StageNetworkError), (74, StageFailedError)):
        stage = {"cmd": f"echo 'rnnpipe: no luck' >&2; exit {code}", "outs": ["out"]}
        (project.folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"one": stage}}))
        with pytest.raises(StageFailedError, match="one failed: no luck") as caught:
            seen.run("one", project.folder)
        assert type(caught.value) is kind


def test_a_wrong_hash_is_no_matter_of_the_network(project, seen):
    use_card(project.folder, md5="0" * 32)
    with pytest.raises(StageFailedError) as caught:
        seen.run("download", project.folder)
    assert not isinstance(caught.value, StageNetworkError)


def test_files_that_another_process_works_on_are_named_with_its_pid(project, seen):
    (project.folder / "dvc.yaml").write_text(
        yaml.safe_dump({"stages": {"slow": {"cmd": "touch began; sleep 30", "outs": ["out"]}}})
    )
    other = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "slow"],
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not (project.folder / "began").exists():
            assert other.poll() is None
            time.sleep(0.1)
        with pytest.raises(StageFailedError, match=f"another process, pid {other.pid}, works"):
            seen.run("slow", project.folder)
    finally:
        subprocess.run(["pkill", "--parent", str(other.pid)], check=False)
        other.kill()
        other.wait()


def test_no_stage_begins_in_a_folder_that_was_stopped(project, seen):
    stop_stages(project.folder)
    assert seen.run("download", project.folder).state == "Cancelled"
    assert not seen.lines


def followed(path, write):
    """What is handed on while a file is written, by kind; and how often it failed."""
    told, failures = {"epoch": [], "steps": []}, []
    with following(
        path,
        {kind: rows.append for kind, rows in told.items()},
        lambda: failures.append(1),
        every=0.01,
    ):
        write(path)
    return told, failures


def line(kind, **values):
    return json.dumps({"kind": kind, **values}) + "\n"


def test_a_trainings_file_is_followed_line_by_line_however_it_comes(tmp_path):
    def write(path):
        whole = (
            line("steps", step=1) + line("epoch", epoch=1) + line("other") + line("steps", step=2)
        )
        for place in range(0, len(whole), 7):
            with path.open("a") as file:
                file.write(whole[place : place + 7])
            time.sleep(0.02)

    told, failures = followed(tmp_path / "progress.jsonl", write)
    assert told == {"epoch": [{"epoch": 1}], "steps": [{"step": 1}, {"step": 2}]}
    assert failures == []


def test_a_file_that_is_begun_anew_is_read_from_its_begin(tmp_path):
    def write(path):
        path.write_text(line("epoch", epoch=1) + line("epoch", epoch=2) + '{"kind": "ep')
        time.sleep(0.1)
        path.write_text(line("epoch", epoch=1))

    told, _ = followed(tmp_path / "progress.jsonl", write)
    assert [row["epoch"] for row in told["epoch"]] == [1, 2, 1]


def test_a_stage_that_tells_nothing_is_no_matter(tmp_path):
    assert followed(tmp_path / "never.jsonl", lambda path: None) == ({"epoch": [], "steps": []}, [])


def test_what_fails_on_the_way_is_heard_where_the_stage_is_waited_for(tmp_path):
    def refuse(row):
        raise ParameterError("no such figure")

    ended = threading.Event()
    path = tmp_path / "progress.jsonl"
    path.write_text(line("epoch", epoch=1))
    with (
        pytest.raises(ParameterError, match="no such figure"),
        following(path, {"epoch": refuse}, ended.set, every=0.01),
    ):
        assert ended.wait(5)
