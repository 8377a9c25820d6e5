"""What ``make deps`` writes: every stage names the code that it executes, and no other problem's."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from maintenance.dependencies import Code, generated
from rnnpipe.storage.paths import paths_of, problem_names

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def code() -> Code:
    return Code(ROOT)


def stages(problem: str) -> list[str]:
    return list(
        yaml.safe_load((ROOT / paths_of(problem).pipeline / "dvc.yaml").read_text())["stages"]
    )


def test_every_pipeline_names_the_code_that_its_stages_execute():
    for path, text in generated(ROOT).items():
        assert text == path.read_text(), f"{path}: run `make deps`"


@pytest.mark.parametrize("problem", problem_names())
def test_a_stage_depends_on_no_other_problem(code, problem):
    others = tuple(f"rnnpipe/problems/{name}/" for name in problem_names() if name != problem)
    for stage in stages(problem):
        assert not [path for path in code.of_stage(problem, stage) if path.startswith(others)]


@pytest.mark.parametrize("problem", problem_names())
def test_only_the_report_depends_on_how_a_problem_speaks(code, problem):
    wording = f"rnnpipe/problems/{problem}/wording.py"
    for stage in stages(problem):
        assert (wording in code.of_stage(problem, stage)) == (stage == "report")


@pytest.mark.parametrize("problem", problem_names())
def test_a_training_depends_on_no_picture_no_figure_and_no_gate(code, problem):
    found = code.of_stage(problem, "train")
    for other in ("reporting", "registry/decision", "registry/card", "validation"):
        assert not [path for path in found if path.startswith(f"rnnpipe/{other}")]
    assert f"rnnpipe/problems/{problem}/evaluate.py" not in found
    assert "rnnpipe/networks/recurrent" in found  # a folder: its C sources count, too
    assert f"rnnpipe/problems/{problem}/learning.py" in found


def test_a_further_problem_or_a_file_that_nobody_imports_changes_no_stage(tmp_path):
    for name in ("rnnpipe", "maintenance", "pipelines"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "dvc.yaml", tmp_path / "dvc.yaml")
    another = tmp_path / "rnnpipe/problems/another"
    shutil.copytree(tmp_path / "rnnpipe/problems/forecasting", another)
    for path in another.rglob("*.py"):
        path.write_text(path.read_text().replace("problems.forecasting", "problems.another"))
    (tmp_path / "rnnpipe/metrics/another.py").write_text("VALUE = 1\n")
    command = [sys.executable, "-m", "maintenance.dependencies", "--check"]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout
    # A new import of a stage's is found.
    stage = tmp_path / "rnnpipe/problems/forecasting/evaluate.py"
    stage.write_text(stage.read_text() + "\nimport rnnpipe.metrics.another\n")
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True)
    assert done.returncode == 1
    added = [line for line in done.stdout.splitlines() if line.startswith("+ ")]
    assert added == ["+      - rnnpipe/metrics/another.py"]
