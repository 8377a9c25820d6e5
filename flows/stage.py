"""One stage as a child process: its lines as they come, and what became of it.

The child is ``dvc repro --single-item STAGE``, in the process group of the engine: a signal to the
group reaches ``dvc`` and the stage. Where the engine alone is ended, however hard, the child ends
itself (``_GUARDED``), and the stage follows it (``rnnpipe/orphans.py``).
"""

import contextvars
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rnnpipe.errors import NetworkError, RnnpipeError
from rnnpipe.runtime.parent import PARENT_VARIABLE
from rnnpipe.runtime.progress import FILE_VARIABLE as PROGRESS_VARIABLE
from rnnpipe.runtime.progress import FOLDER as PROGRESS_FOLDER

StateName = Literal["Ran", "Skipped", "Cached", "Failed", "Cancelled"]

_LAST_LINES = 12
_LONGEST_LINE = 500
_BUSY_SECONDS, _BUSY_TRIES = 1.0, 60
_STOP_SECONDS = 5.0
_FOLLOW_SECONDS = 0.5

_LEVEL = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL)[ :]\s*(?=\S)")
_NETWORK = re.compile(rf"\bexited with {NetworkError.exit_code}\b")
_BUSY = re.compile(r"is busy, it is being blocked by")
_BLOCKER = re.compile(r"\(PID (\d+)\)")
# Advice of DVC that holds in a work tree of one's own, not in a run's clone.
_ADVICE = (
    "To track the changes with git",
    "git add ",
    "To enable auto staging",
    "dvc config core.autostage",
    "Use `dvc push`",
)

# A module as `python -m` runs it, but for a watch that ends it when its parent is gone. A thread
# and not PR_SET_PDEATHSIG: that one follows the parent's thread, and is Linux's alone.
_GUARDED = """
import gc, os, runpy, signal, sys, threading, time

# What is imported stays: looking for garbage in between only costs.
gc.set_threshold(50_000, 20, 20)
parent, module = int(sys.argv.pop(1)), sys.argv.pop(1)
os.environ["PARENT_VARIABLE"] = str(os.getpid())  # for the stage, which ends with this process

def watch():
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=watch, daemon=True).start()
runpy.run_module(module, run_name="__main__", alter_sys=True)
""".replace("PARENT_VARIABLE", PARENT_VARIABLE)


@dataclass(frozen=True)
class Outcome:
    """What became of a stage.

    Skipped: nothing it depends on changed. Cached: it had run with these inputs before, and DVC
    brought its outputs back.
    """

    stage: str
    state: StateName
    seconds: float
    message: str
    last_lines: tuple[str, ...] = ()


class StageFailedError(RnnpipeError):
    """A stage ended badly; trying again would not help."""

    def __init__(self, outcome: Outcome, folder: Path) -> None:
        lines = "".join(f"\n  {line}" for line in outcome.last_lines)
        super().__init__(
            f"{outcome.stage} failed: {outcome.message}{lines}\n"
            f"To look into it: cd {folder} && dvc repro --single-item {outcome.stage}"
        )
        self.outcome = outcome
        self.folder = folder

    def __reduce__(self) -> tuple[type["StageFailedError"], tuple[Outcome, Path]]:
        # From a worker of a cluster it comes by pickle, which knows the sentence alone.
        return type(self), (self.outcome, self.folder)


class StageNetworkError(StageFailedError):
    """A stage could not reach the network; trying again later can help."""


def environment() -> dict[str, str]:
    """What child processes run in: this Python first, their own code, nobody to ask."""
    # Variables that name another repository or other code must not lead out of the folder.
    foreign = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "PYTHONPATH", "DVC_ROOT")
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    return kept | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "DVC_NO_ANALYTICS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_EDITOR": "true",
        "GIT_SSH_COMMAND": kept.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
    }


def guarded(module: str, *arguments: str) -> list[str]:
    """Command that runs a Python module, and ends it as soon as this process is gone."""
    return [sys.executable, "-c", _GUARDED, str(os.getpid()), module, *arguments]


def run_stage(
    stage: str,
    folder: Path,
    *,
    force: bool = False,
    on_line: Callable[[int, str], None],
    on_epoch: Callable[[Mapping[str, Any]], None],
    on_steps: Callable[[Mapping[str, Any]], None] = lambda values: None,
    variables: Mapping[str, str] | None = None,
) -> Outcome:
    """Run one stage to its end, unless it is up to date.

    Args:
        stage: its name, as :func:`read_dag` gives it.
        folder: the run's clone.
        force: run it although nothing changed.
        on_line: called with level (as of ``logging``) and text of each line of output, at once.
        on_epoch: called with the figures of each epoch of a training, as
            :class:`rnnpipe.runtime.progress.TrainingReport` writes them.
        on_steps: called with how far a training is within an epoch, every quarter of a minute.
        variables: more of them for the stage's environment.

    Raises:
        StageNetworkError: the network failed; try again later.
        StageFailedError: the stage failed, or another process works on the same files.
    """
    began = time.monotonic()
    for left in reversed(range(_BUSY_TRIES)):
        told = {"epoch": on_epoch, "steps": on_steps}
        code, lines = _run(stage, folder, force, on_line, told, variables or {})
        # DVC lets one process at a time write a path. Who waits for a sibling, waits not for long.
        if not (code and left and _blocked_by_sibling(lines, folder)):
            break
        time.sleep(_BUSY_SECONDS)
    outcome = _judge(stage, code, lines, time.monotonic() - began)
    if outcome.state != "Failed":
        return outcome
    network = any(_NETWORK.search(line) for line in lines)
    raise (StageNetworkError if network else StageFailedError)(outcome, folder)


def stop_stages(folder: Path) -> None:
    """End the stages that run in a folder, and let no other begin there."""
    with _lock:
        _stopped.add(folder)
        for child in _children.get(folder, {}):
            child.terminate()


def stop_all() -> list[str]:
    """End all stages that run in this process, and return their names when they are gone."""
    with _lock:
        begun = [(child, name) for each in _children.values() for child, name in each.items()]
    running = {child: name for child, name in begun if child.poll() is None}
    for folder in list(_children):
        stop_stages(folder)
    for child in running:
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
    return sorted(running.values())


def allow_stages(folder: Path) -> None:
    """Let stages begin in a folder again."""
    with _lock:
        _stopped.discard(folder)


_lock = threading.Lock()
_children: dict[Path, dict["subprocess.Popen[str]", str]] = {}  # the stages that run, by folder
_stopped: set[Path] = set()


def _run(
    stage: str,
    folder: Path,
    force: bool,
    on_line: Callable[[int, str], None],
    told: Mapping[str, Callable[[Mapping[str, Any]], None]],
    variables: Mapping[str, str],
) -> tuple[int, Sequence[str]]:
    """Exit code and last lines of a child; a stage that may not begin ends as if by SIGTERM."""
    command = ["--wait-for-lock", "repro", "--single-item", *(["--force"] if force else []), stage]
    lines: deque[str] = deque(maxlen=10 * _LAST_LINES)
    # A file of this run's own: neither an earlier one's nor another's lines are taken for its.
    progress = (folder / PROGRESS_FOLDER / f"{uuid.uuid4()}.jsonl").resolve()
    with _lock:
        if folder in _stopped:
            return -signal.SIGTERM, lines
        child = subprocess.Popen(
            guarded("dvc", *command),
            cwd=folder,
            env=environment() | {PROGRESS_VARIABLE: str(progress)} | dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        _children.setdefault(folder, {})[child] = stage
    try:
        with following(progress, told, child.terminate):
            for line in child.stdout or ():
                if not (text := line.rstrip()):
                    continue
                text = text[:_LONGEST_LINE]
                level, text = _level(text)
                if level > logging.DEBUG:
                    lines.append(text)
                on_line(level, text)
            code = child.wait()
        return code, lines
    finally:
        _end(child)
        progress.unlink(missing_ok=True)
        with _lock:
            del _children[folder][child]


def _end(child: "subprocess.Popen[str]") -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child.stdout:
        child.stdout.close()


@contextmanager
def following(
    path: Path,
    told: Mapping[str, Callable[[Mapping[str, Any]], None]],
    fail: Callable[[], None],
    every: float = _FOLLOW_SECONDS,
) -> Iterator[None]:
    """Hand on what a training writes into its file, while the block runs and once at its end.

    Args:
        path: JSON lines, each with a ``kind``; the file may come later, or never.
        told: whom to hand a line to, by its kind; others are passed over.
        fail: called when one of them raises, so that the block comes to its end.
        every: seconds from one look to the next.

    Raises:
        Exception: what one of ``told`` has raised; nothing was handed on after that.
    """
    ended, failed = threading.Event(), []

    def follow() -> None:
        position, rest = 0, b""
        try:
            last = False
            while not last:
                last = ended.wait(every)  # what came just before the end is handed on, too
                if not path.is_file():
                    continue
                with path.open("rb") as file:
                    if path.stat().st_size < position:  # begun anew
                        position, rest = 0, b""
                    file.seek(position)
                    found = file.read()
                position += len(found)
                *whole, rest = (rest + found).split(b"\n")
                for line in whole:
                    values = json.loads(line)
                    if hand_on := told.get(values.pop("kind", "")):
                        hand_on(values)
        except Exception as error:  # raised again where the caller can hear it
            failed.append(error)
            fail()

    # In the caller's context: Prefect's loggers and artifacts ask it which run they belong to.
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(follow,), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if failed:
        raise failed[0]


def _level(text: str) -> tuple[int, str]:
    if found := _LEVEL.match(text):
        return logging.getLevelNamesMapping()[found[1]], text[found.end() :]
    if text.startswith(("rnnpipe: ", "Traceback ")):
        return logging.ERROR, text
    if text.strip().startswith(_ADVICE):
        return logging.DEBUG, text
    return logging.INFO, text


def _blocked_by_sibling(lines: Sequence[str], folder: Path) -> bool:
    text = "\n".join(lines)
    blockers = {int(pid) for pid in _BLOCKER.findall(text)} if _BUSY.search(text) else set()
    with _lock:
        return bool(blockers & {child.pid for child in _children.get(folder, ())})


def _judge(stage: str, code: int, lines: Sequence[str], seconds: float) -> Outcome:
    quoted = rf"Stage '(?:dvc\.yaml:)?{re.escape(stage)}' "
    if code == 0:
        if any(re.match(f"{quoted}didn't change, skipping", line) for line in lines):
            return Outcome(stage, "Skipped", seconds, "unchanged")
        if any(re.match(f"{quoted}is cached - skipping run", line) for line in lines):
            return Outcome(stage, "Cached", seconds, "restored from DVC's cache")
        return Outcome(stage, "Ran", seconds, f"ran in {seconds:.1f} s")
    if code in (-signal.SIGTERM, -signal.SIGINT):
        return Outcome(stage, "Cancelled", seconds, "the run was cancelled")
    last = tuple(lines)[-_LAST_LINES:]
    return Outcome(stage, "Failed", seconds, _reason(code, lines), last)


def _reason(code: int, lines: Sequence[str]) -> str:
    text = "\n".join(lines)
    if _BUSY.search(text) and (blockers := _BLOCKER.findall(text)):
        return (
            f"another process, pid {', '.join(sorted(set(blockers)))}, works on the same files;"
            " wait for its end, or end it, and run again"
        )
    # What the stage itself says, down to DVC's own "failed to reproduce", tells most.
    said: list[str] = []
    for line in lines:
        if line.startswith("rnnpipe: "):
            said = [line.removeprefix("rnnpipe: ")]
        elif said and not line.startswith("failed to reproduce"):
            said.append(line.strip())
    if said:
        return " ".join(said)
    return lines[-1] if lines else f"dvc ended with {code} and said nothing"
