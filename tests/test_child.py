"""Programs that are asked and do not answer as they should: what each costs is bounded."""

import os
import sys
import time
from contextlib import suppress

import psutil
import pytest

from rnnpipe.runtime.child import MOST_BYTES, ChildError, ask


def shell(text: str) -> list[str]:
    return ["sh", "-c", text]


def test_what_is_printed_on_either_side_comes_back():
    assert ask(shell("echo one; echo two >&2; read line || echo nothing to read"), 20) == (
        "one\ntwo\nnothing to read\n"
    )


def test_what_is_said_in_failing_comes_with_the_error_and_moves_no_terminal():
    with pytest.raises(ChildError, match="ended with 3: no such flag") as failed:
        ask(shell(r"printf 'no such flag \033[2J\033]0;title\007' >&2; exit 3"), 20)
    assert failed.value.args[0].isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "sleep 600",
        "trap '' TERM INT HUP; while :; do sleep 1; done",
        "sleep 600 & sleep 600 | sleep 600",
        "exec yes",
        "yes 'error: no end of it' >&2",
        "cat /dev/zero",
    ],
)
def test_who_does_not_end_is_killed_with_all_that_it_started(text):
    mark = f"rnnpipe-test-{os.getpid()}-{time.monotonic_ns()}"
    with pytest.raises(ChildError, match=r"did not end within 0\.3 s"):
        ask(shell(f": {mark}; {text}"), 0.3)
    me = psutil.Process()
    assert not [child for child in me.children(recursive=True) if mark in str(child.cmdline())]


def test_what_stays_behind_after_its_parent_s_end_is_killed_too():
    pid = int(ask(shell("sleep 600 & echo $!"), 20))
    # Where nobody takes note of its end, as in a container, it stays as a zombie.
    deadline = time.monotonic() + 60
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_who_leaves_the_group_and_holds_the_pipe_keeps_nobody_waiting():
    code = "import os, time; os.fork() and os._exit(0); os.setsid(); print(os.getpid(), flush=True)"
    pid = int(ask([sys.executable, "-c", f"{code}; time.sleep(600)"], 20) or 0)
    if pid:
        psutil.Process(pid).kill()


def test_megabytes_are_read_and_forgotten():
    said = ask(shell("head -c 5000000 /dev/zero | tr '\\0' x"), 20)
    assert said == "x" * MOST_BYTES


@pytest.mark.parametrize("kind", ["missing", "folder", "text", "empty", "nul", "long"])
def test_what_cannot_be_started_is_said_in_a_sentence(tmp_path, kind):
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    if kind in ("text", "empty"):
        path.write_text("no program" * (kind == "text"))
    name = {"nul": "a\0b", "long": "a" * 5000}.get(kind, str(path))
    with pytest.raises(ChildError, match="cannot be started"):
        ask([name, "--version"], 5)
