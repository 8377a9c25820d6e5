"""A stage must not outlive the dvc that started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from rnnpipe.runtime.parent import PARENT_VARIABLE

ROOT = Path(__file__).parents[1]
STAGE = """
import time
from rnnpipe.runtime.parent import watch_parent
watch_parent()
print('up', flush=True)
time.sleep(60)
"""
# Stands for dvc: it starts the stage through a shell, as dvc does.
DVC = "import subprocess, sys; subprocess.run(sys.argv[1], shell=True)"
NAMED = f"import os; os.environ['{PARENT_VARIABLE}'] = str(os.getpid()); {DVC}"

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def start(environment: dict[str, str], dvc: str = DVC) -> tuple[subprocess.Popen[str], int]:
    shell = f'{sys.executable} -c "{STAGE}" & echo $!; wait'
    parent = subprocess.Popen(
        [sys.executable, "-c", dvc, shell],
        cwd=ROOT,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout
    stage = int(parent.stdout.readline())
    assert parent.stdout.readline() == "up\n"
    return parent, stage


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_end(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(pid)


def test_a_stage_ends_when_dvc_is_killed():
    parent, stage = start({"DVC_STAGE": "train"})
    parent.kill()
    assert wait_for_end(stage, 10)


def test_a_stage_ends_when_its_shell_is_killed():
    parent, stage = start({"DVC_STAGE": "train"})
    shell = int(Path(f"/proc/{stage}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(shell, signal.SIGKILL)
    assert wait_for_end(stage, 10)
    parent.wait()


def test_a_stage_knows_the_dvc_that_is_named_behind_a_shell():
    parent, stage = start({"DVC_STAGE": "train"}, NAMED)
    assert not wait_for_end(stage, 2)
    parent.kill()
    assert wait_for_end(stage, 10)


def test_a_stage_whose_dvc_is_gone_before_it_looks_ends():
    gone = subprocess.Popen(["true"])
    gone.wait()
    environment = {**os.environ, "DVC_STAGE": "train", PARENT_VARIABLE: str(gone.pid)}
    done = subprocess.run(
        [sys.executable, "-c", STAGE], cwd=ROOT, env=environment, timeout=30, check=False
    )
    assert done.returncode == -signal.SIGKILL


def test_a_stage_outlives_what_started_dvc():
    """Bash gives way to its only command, so that the stage's parent is dvc itself."""
    python = f'{sys.executable} -c "{STAGE}"'
    launcher = subprocess.Popen(
        [
            "bash",
            "-c",
            f'{sys.executable} -c \'import subprocess, sys; subprocess.run(["bash", "-c", sys.argv[1]])\' "$0" & wait',
            python,
        ],
        cwd=ROOT,
        env={**os.environ, "DVC_STAGE": "train"},
        text=True,
        stdout=subprocess.PIPE,
    )
    assert launcher.stdout
    assert launcher.stdout.readline() == "up\n"
    (stage,) = [
        child.pid
        for child in psutil.Process(launcher.pid).children(recursive=True)
        if child.cmdline()[-1:] == [STAGE]
    ]
    launcher.kill()
    assert not wait_for_end(stage, 2)
    os.kill(stage, signal.SIGKILL)


def test_a_stage_started_by_hand_is_left_alone():
    parent, stage = start({})
    parent.kill()
    assert not wait_for_end(stage, 2)
    os.kill(stage, signal.SIGKILL)
