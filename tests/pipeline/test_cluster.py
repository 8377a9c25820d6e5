"""Several real processes on loopback: what they learn, and what becomes of them when one dies."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from projects import ROOT, copy, set_params

from rnnpipe.commands.project_copy import ProjectCopy
from rnnpipe.errors import TrainingError
from rnnpipe.networks.distributed import cluster
from rnnpipe.storage.files import read_json

SCRIPT = ROOT / "tests" / "parallel_steps.py"
# The sum over shares is rounded otherwise than the sum over the batch.
TOLERANCE = 1e-5
FIRST_EPOCH = re.compile(r"INFO rnnpipe\.runtime\.progress: epoch 1 of \d+: ")
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def test_a_cluster_of_another_size_is_refused(monkeypatch):
    task = {"type": "worker", "index": 0}
    config = {"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "task": task}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with (
        pytest.raises(TrainingError, match=r"names 3 workers, but train\.workers is 2"),
        cluster.join(2),
    ):
        pass


@pytest.fixture(scope="module")
def steps(tmp_path_factory) -> dict[int, dict]:
    """What the toy's training gave with one worker and with three."""
    folder = tmp_path_factory.mktemp("steps")
    tests = SCRIPT.parent  # its toy is that of the tests of training
    path = os.pathsep.join(map(str, (ROOT, tests, tests / "network")))
    for workers in (1, 3):
        command = [sys.executable, str(SCRIPT), str(folder / f"{workers}.json"), str(workers)]
        subprocess.run(command, env=environment(PYTHONPATH=path), check=True, timeout=300)
    return {workers: read_json(folder / f"{workers}.json") for workers in (1, 3)}


# A batch of 64 rows does not divide by three; of the last one's two rows the third worker gets none.
def test_the_loss_of_every_step_is_that_of_one_process(steps):
    alone, together = (np.array(steps[workers]["steps"]) for workers in (1, 3))
    assert alone.shape == together.shape == (9, 3)  # loss, right answers, norm of the gradient
    np.testing.assert_allclose(together, alone, rtol=TOLERANCE)
    losses = [[e["validation_loss"] for e in steps[n]["history"]["epochs"]] for n in (1, 3)]
    np.testing.assert_allclose(*losses, rtol=TOLERANCE)


# --- The stage ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sandbox(finished_root, tmp_path_factory) -> ProjectCopy:
    """All that a training of a moment needs."""
    made = copy(finished_root, tmp_path_factory.mktemp("parallel") / "project")
    set_train(made, fraction=0.2)
    return made


def set_train(sandbox: ProjectCopy, **values: object) -> None:
    set_params(sandbox.folder, {f"train.{name}": value for name, value in values.items()})


def history(sandbox: ProjectCopy) -> list[dict]:
    return read_json(sandbox.folder / "models" / "network" / "history.json")["epochs"]


def train(sandbox: ProjectCopy, **more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "rnnpipe", "train"],
        cwd=sandbox.folder,
        env={**sandbox.environment, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in listed for child in file.read_text().split()]


def after_first_epoch(process: "subprocess.Popen[str]") -> str:
    printed = ""
    assert process.stdout
    for line in process.stdout:
        printed += line
        if FIRST_EPOCH.match(line):
            return printed
    raise AssertionError(printed)


def listening(pid: int) -> list[str]:
    """Where a process and its children listen."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    connections = [one for process in processes for one in process.net_connections(kind="inet")]
    return [str(one.laddr) for one in connections if one.status == psutil.CONN_LISTEN]


def gone(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_a_killed_worker_ends_the_run_and_the_same_command_goes_on(sandbox):
    set_train(sandbox, workers=2, epochs=12, patience=12)
    process = train(sandbox)
    printed = after_first_epoch(process)
    (worker,) = children(process.pid)
    os.kill(worker, signal.SIGKILL)
    killed = time.monotonic()
    printed += process.communicate(timeout=120)[0]
    assert len(FIRST_EPOCH.findall(printed)) == 1  # the chief alone speaks
    assert time.monotonic() - killed < 60
    assert process.returncode == TrainingError.exit_code
    said = re.search(
        r"rnnpipe: worker 1 \(pid \d+\) ended with -9; the checkpoint after epoch (\d+) is kept at"
        r" (\S+): run the same command again to go on",
        printed,
    )
    assert said, printed
    assert (sandbox.folder / said[2]).is_file()
    # The key of the checkpoint names the parameters, which stay.
    process = train(sandbox)
    printed = after_first_epoch(process)
    assert f"going on after epoch {said[1]} of a training that was cut off" in printed
    printed += process.communicate(timeout=300)[0]
    assert process.returncode == 0, printed
    assert len(history(sandbox)) == 12
    assert not (sandbox.folder / said[2]).exists()


def test_no_worker_outlives_the_chief(sandbox):
    set_train(sandbox, workers=2, epochs=13, patience=13)
    process = train(sandbox)
    said = after_first_epoch(process)
    # The chief alone, on loopback, until the others had come: now nobody is let in any more.
    assert re.search(r"the chief listens at 127\.0\.0\.1:\d+, for this machine alone", said)
    assert not listening(process.pid)
    (worker,) = children(process.pid)
    process.kill()
    assert gone(worker, 60)
    process.communicate()
