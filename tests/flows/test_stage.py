"""One stage as a child process, through the real ``dvc``."""

import logging
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from flows.stage import (
    DagError,
    Outcome,
    StageFailedError,
    StageNetworkError,
    read_dag,
    run_stage,
    stop_stages,
)
from rnnpipe.files import read_json, write_json


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
    (line,) = [(level, text) for level, text in seen.lines if text.startswith("rnnpipe.stages")]
    assert line[0] == logging.INFO
    assert "token ids" in line[1]
    # What DVC advises holds for a work tree of one's own.
    assert all(level == logging.DEBUG for level, text in seen.lines if "git add" in text)


def test_an_old_parameter_is_restored_from_the_cache(project, seen, set_params):
    set_params(project.folder, {"word_vectors.seed": 2})
    assert seen.run("word_vectors", project.folder).state == "Ran"
    set_params(project.folder, {"word_vectors.seed": 1})
    assert seen.run("word_vectors", project.folder).state == "Cached"


def test_each_epoch_is_handed_on_as_it_ends(project, seen, set_params):
    set_params(project.folder, {"train.epochs": 2, "train.patience": 2})
    assert seen.run("train", project.folder).state == "Ran"
    assert [epoch["epoch"] for epoch in seen.epochs] == [1, 2]
    assert {"loss", "validation_loss", "validation_accuracy"} <= seen.epochs[0].keys()


def test_a_failed_stage_says_why_and_what_to_do(project, seen, set_params):
    set_params(project.folder, {"validate.min_labelled": 100_000})
    with pytest.raises(StageFailedError) as caught:
        seen.run("validate", project.folder)
    assert not isinstance(caught.value, StageNetworkError)
    outcome = caught.value.outcome
    assert outcome.state == "Failed"
    assert "100000" in outcome.message.replace(",", "")
    assert outcome.last_lines
    assert f"cd {project.folder} && dvc repro --single-item validate" in str(caught.value)
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
