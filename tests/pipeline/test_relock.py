"""Locks that are rewritten after code moved, in a small project with a real git and DVC."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from maintenance.relock import different_outputs, rewrite_locks

DVC = (sys.executable, "-m", "dvc")
FIRST = "import pathlib; pathlib.Path('first').write_text('1')\n"
SECOND = "import pathlib; pathlib.Path('second').write_text(pathlib.Path('first').read_text())\n"
STAGES = {
    "first": {
        "cmd": "python rnnpipe/first.py",
        "params": ["size"],
        "deps": ["rnnpipe/first.py"],
        "outs": ["first"],
    },
    "second": {
        "cmd": "python rnnpipe/second.py",
        "deps": ["first", "rnnpipe/second.py", "source.txt"],
        "outs": ["second"],
    },
}


def run(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, check=True).stdout


@pytest.fixture
def project(tmp_path: Path) -> tuple[Path, Path]:
    """A project that ran, and a work tree with the code that it ran with."""
    root, old = tmp_path / "project", tmp_path / "old"
    (root / "rnnpipe").mkdir(parents=True)
    (root / "rnnpipe/first.py").write_text(FIRST)
    (root / "rnnpipe/second.py").write_text(SECOND)
    (root / "source.txt").write_text("source")
    (root / "params.yaml").write_text("size: 1\n")
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
    run(root, "git", "init", "--quiet")
    run(root, *DVC, "init", "--quiet")
    run(root, *DVC, "repro", "--quiet")
    run(root, "git", "add", "--all")
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org")
    run(root, "git", *identity, "commit", "--quiet", "--message", "Run")
    run(root, "git", "worktree", "add", "--quiet", "--detach", str(old))
    return root, old


def locked(root: Path) -> dict[str, object]:
    stages: dict[str, object] = yaml.safe_load((root / "dvc.lock").read_text())["stages"]
    return stages


def test_tidied_code_is_up_to_date_without_a_run_and_without_outputs(project):
    root, old = project
    (root / "rnnpipe/first.py").write_text(f"# Tidier.\n{FIRST}")
    (root / "rnnpipe/moved.py").write_text("")
    stages = yaml.safe_load((root / "dvc.yaml").read_text())
    stages["stages"]["second"]["deps"] += ["rnnpipe/moved.py"]
    (root / "dvc.yaml").write_text(yaml.safe_dump(stages))
    for name in ("first", "second"):
        (root / name).unlink()
    assert "changed deps" in run(root, *DVC, "status")
    assert rewrite_locks(root, old) == []
    run(root, *DVC, "checkout", "--quiet")
    assert "up to date" in run(root, *DVC, "status")
    assert locked(root)["first"]["outs"] == locked(old)["first"]["outs"]
    assert "didn't change" in run(root, *DVC, "repro")


def test_nothing_moved_rewrites_nothing(project):
    root, old = project
    before = (root / "dvc.lock").read_bytes()
    assert rewrite_locks(root, old) == []
    assert (root / "dvc.lock").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "stage", "reason"),
    [
        (("params.yaml", "size: 2\n"), "first", "parameters are others than in the lock: size"),
        (("source.txt", "other"), "second", "source.txt is another than in the lock"),
    ],
)
def test_a_stage_whose_inputs_changed_stays_out_of_date(project, change, stage, reason):
    root, old = project
    name, content = change
    (root / name).write_text(content)
    (root / f"rnnpipe/{stage}.py").write_text(
        "# Tidier.\n" + (FIRST if stage == "first" else SECOND)
    )
    before = locked(root)[stage]
    [refusal] = rewrite_locks(root, old)
    assert (refusal.stage, refusal.reason) == (f"dvc.yaml:{stage}", reason)
    assert locked(root)[stage] == before


def test_a_stage_that_was_out_of_date_before_stays_so(project):
    root, old = project
    (old / "rnnpipe/first.py").write_text(f"# Not what ran.\n{FIRST}")
    (root / "rnnpipe/first.py").write_text(f"# Tidier.\n{FIRST}")
    before = locked(root)["first"]
    [refusal] = rewrite_locks(root, old)
    assert refusal.stage == "dvc.yaml:first"
    assert "was not up to date with the old code: rnnpipe/first.py" in refusal.reason
    assert locked(root)["first"] == before


def test_a_stage_that_never_ran_is_named(project):
    root, old = project
    stages = yaml.safe_load((root / "dvc.yaml").read_text())
    stages["stages"]["third"] = {"cmd": "true", "deps": ["rnnpipe/first.py"], "outs": ["third"]}
    (root / "dvc.yaml").write_text(yaml.safe_dump(stages))
    [refusal] = rewrite_locks(root, old)
    assert refusal.stage == "dvc.yaml:third"


def test_who_makes_or_reads_what_the_new_code_changes_stays_out_of_date(project):
    root, old = project
    for stage, code in (("first", FIRST), ("second", SECOND)):
        (root / f"rnnpipe/{stage}.py").write_text(f"# Tidier.\n{code}")
    [refusal] = rewrite_locks(root, old, {"second"})
    assert (refusal.stage, refusal.reason) == ("dvc.yaml:second", "the new code changes second")
    assert locked(root)["first"] != locked(old)["first"]
    assert locked(root)["second"] == locked(old)["second"]
    assert [refusal.stage for refusal in rewrite_locks(root, old, {"first"})] == [
        "dvc.yaml:first",
        "dvc.yaml:second",
    ]


def test_outputs_that_differ_are_named():
    old = {"same": "1", "other": "2", "gone": "3"}
    new = {"same": "1", "other": "9", "added": "4"}
    assert different_outputs(old, old) == {}
    assert different_outputs(old, new) == {
        "added": "is new",
        "gone": "is gone",
        "other": "has other bytes",
    }
