"""How far a training is: lines at their pace, a file for programs, a bar at a terminal."""

import fcntl
import itertools
import json
import logging
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from rnnpipe.runtime.progress import FILE_VARIABLE, TrainingReport, progress_file, track

STEPS = 10


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "below" / "progress.jsonl"))
    return tmp_path / "below" / "progress.jsonl"


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def train(report, epochs, begin=1):
    """Steps of which the first has loss 10, the next 9, and so on."""
    for epoch in range(1, epochs + 1):
        if epoch >= begin:
            for step in range(1, STEPS + 1):
                report.step(epoch, step, STEPS, float(STEPS + 1 - step), 32.0)
        report.epoch({"epoch": epoch, "loss": 1 / epoch, "validation_loss": 2 / epoch})


def seconds_apart(seconds):
    """A clock that is so much later each time it is read."""
    return itertools.count(0.0, seconds).__next__


def test_steps_are_told_at_their_pace_and_epochs_at_their_end(path, caplog):
    caplog.set_level(logging.INFO)
    with TrainingReport(
        "classification", 2, "reviews", every=4.0, clock=seconds_apart(1.0)
    ) as report:
        train(report, 2)
    found = rows(path)
    steps = [row for row in found if row["kind"] == "steps"]
    assert [(row["epoch"], row["step"]) for row in steps] == [(1, 5), (1, 9), (2, 4), (2, 8)]
    assert [row["kind"] for row in found].count("epoch") == 2
    assert steps[0]["loss"] == pytest.approx((10 + 9 + 8 + 7 + 6) / 5)  # of the epoch so far
    assert steps[0]["passed"] == pytest.approx(0.25)
    assert (steps[0]["unit"], steps[0]["steps"]) == ("reviews", STEPS)
    lefts = [row["seconds_left"] for row in steps]
    assert lefts == sorted(lefts, reverse=True)
    assert all(row["per_second"] > 0 for row in steps)
    assert [row["seconds"] for row in found if row["kind"] == "epoch"] == [11.0, 11.0]
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(found)
    assert lines[0].startswith("epoch 1 of 2, step 5 of 10: loss 8, ")
    assert lines[0].endswith(" left")
    assert not [line for line in lines if "{" in line]
    assert "epoch 1 of 2: loss 1, validation loss 2, 11 s" in lines


def test_a_slow_first_step_is_part_of_its_epoch_and_of_no_speed(path):
    now = 0.0
    with TrainingReport("classification", 2, "reviews", every=15.0, clock=lambda: now) as report:
        for step in range(1, 41):
            now += 30.0 if step == 1 else 1.0  # what is compiled is compiled in the first
            report.step(1, step, 40, 0.5, 32.0)
        now += 2.0  # on validation
        report.epoch({"epoch": 1, "loss": 0.5})
    *steps, epoch = rows(path)
    assert epoch["seconds"] == 71.0
    assert [row["step"] for row in steps] == [16, 31]
    assert [row["per_second"] for row in steps] == [32.0, 32.0]
    assert [row["seconds_left"] for row in steps] == pytest.approx([64.0, 49.0])


def test_the_file_is_begun_anew_and_tells_all_epochs_of_a_training_that_goes_on(path):
    with TrainingReport("classification", 3, "reviews", every=0.0) as report:
        train(report, 2)
    with TrainingReport("classification", 3, "reviews", every=0.0) as report:
        train(report, 3, begin=3)
    found = rows(path)
    epochs = [(row["epoch"], row["seconds"]) for row in found if row["kind"] == "epoch"]
    assert [epoch for epoch, _ in epochs] == [1, 2, 3]
    assert [seconds is None for _, seconds in epochs] == [True, True, False]
    steps = [row for row in found if row["kind"] == "steps"]
    assert {row["epoch"] for row in steps} == {3}
    # What an earlier run has trained tells nothing of how fast this one is.
    assert all(row["seconds_left"] < 60 for row in steps)


def test_a_line_is_whole_as_soon_as_it_is_there(path):
    with TrainingReport("classification", 1, "reviews", every=0.0) as report:
        for step in range(1, 4):
            report.step(1, step, 3, 0.5, 1.0)
            assert len(rows(path)) == step
            assert path.read_text().endswith("\n")


def test_without_the_variable_the_file_is_the_problems(monkeypatch):
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    assert progress_file("forecasting").as_posix() == ".rnnpipe/progress/forecasting.jsonl"


def test_long_work_is_told_and_short_work_is_not(caplog):
    caplog.set_level(logging.INFO)
    assert list(track(range(100), "counting", "numbers", after=60.0)) == list(range(100))
    assert caplog.records == []
    assert list(track(range(100), "counting", "numbers", every=0.0, after=0.0)) == list(range(100))
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("counting: 1 of 100 numbers, ")
    assert len(lines) == 99


def test_where_nobody_knows_how_many_there_are_the_number_so_far_is_told(caplog):
    caplog.set_level(logging.INFO)
    list(track(iter(range(3)), "counting", "numbers", every=0.0, after=0.0))
    assert [record.getMessage() for record in caplog.records] == [
        "counting: 1 numbers",
        "counting: 2 numbers",
    ]


AT_A_TERMINAL = """
import time
from rnnpipe.runtime.progress import TrainingReport
with TrainingReport("classification", 2, "reviews", every=0.0) as report:
    for epoch in (1, 2):
        for step in range(1, 6):
            report.step(epoch, step, 5, 0.5, 32.0)
            time.sleep(0.02)  # a bar moves ten times a second at most
        report.epoch({"epoch": epoch, "loss": 0.123456789012345})
"""


def test_at_a_terminal_one_bar_spans_the_whole_training(path):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-c", AT_A_TERMINAL], stdout=subprocess.PIPE, stderr=slave
    ) as child:
        os.close(slave)
        shown = b""
        try:
            while part := os.read(master, 4096):
                shown += part
        except OSError:  # the other side is closed: its end, on Linux
            pass
        printed, _ = child.communicate()
    os.close(master)
    assert child.returncode == 0
    assert printed == b""
    text = shown.decode()
    assert "/10 " in text
    assert "/5 " not in text
    assert "epoch 1 of 2: loss 0.1235" in text
    assert "reviews/s" in text
    assert "{" not in text


@pytest.mark.parametrize("kind", ["folder", "pipe", "circle", "below a file", "full"])
def test_no_training_ends_because_nobody_can_be_told(path, caplog, kind, monkeypatch):
    if kind == "below a file":
        path.parent.touch()
    elif kind == "full":
        monkeypatch.setenv(FILE_VARIABLE, "/dev/full")
    else:
        path.parent.mkdir()
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":  # which nobody reads
            os.mkfifo(path)
        else:
            path.symlink_to(path.name)
    with TrainingReport(
        "classification", 2, "reviews", every=1.0, clock=seconds_apart(1.0)
    ) as told:
        train(told, 2)
    assert sum("the training goes on, but" in message for message in caplog.messages) == 1
