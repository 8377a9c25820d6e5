"""A generated series in the form of ETTh1, small enough to learn in seconds.

Hours of four quantities. Two loads follow the day and the week, at heights that change slowly and
with noise, so that yesterday's hour, noise and all, is a poor forecast and the mean of many days a
good one. The second load has a pump in it, which goes on and off in cycles of about 14 hours that
grow longer and shorter in the course of days: where it stands in its cycle, and how fast that goes,
can be seen in the past, but no fixed weights of the past tell how it goes on; a network can. The
oil's temperature follows loads and pump some hours later, and the weather drifts.
"""

import math
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from rnnpipe.errors import SourceError
from rnnpipe.storage.files import atomic_file

FEWEST_STEPS = 200
NAMES = ("load_1", "load_2", "weather", "oil")
_BEGIN = datetime(2020, 1, 6)  # a Monday
_DAY, _WEEK, _PUMP = 24, 168, 14  # hours; of the pump's cycle in the middle of its drift


def write_series_corpus(out: Path, steps: int = 3_000, seed: int = 1) -> None:
    """Write a generated series as CSV: the column ``date``, then :data:`NAMES`.

    Args:
        out: the file; the same for the same arguments.
        steps: hours, at least 200.
        seed: another one gives another series of the same kind.

    Raises:
        SourceError: there are too few steps.
    """
    if steps < FEWEST_STEPS:
        raise SourceError(f"a series of {steps} steps: expected at least {FEWEST_STEPS}")
    with atomic_file(out) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"date,{','.join(NAMES)}\n")
        for hour, values in enumerate(_hours(steps, seed)):
            numbers = ",".join(f"{value:.3f}" for value in values)
            file.write(f"{_BEGIN + timedelta(hours=hour)},{numbers}\n")


def _hours(steps: int, seed: int) -> Iterator[tuple[float, ...]]:
    # Of the random module only random() gives the same numbers in every version of Python.
    draw = random.Random(seed).random

    def noise() -> float:
        """Near normal, mean 0 and deviation 1: of twelve uniform numbers."""
        return sum(draw() for _ in range(12)) - 6

    height, weather, oil, phase, pace = 0.0, 0.0, 0.0, 0.0, 0.0
    for hour in range(steps):
        day, week = 2 * math.pi * hour / _DAY, 2 * math.pi * hour / _WEEK
        height = 0.995 * height + 0.1 * noise()
        weather = 0.98 * weather + 0.2 * noise()
        first = 3 * math.sin(day) + math.sin(2 * day) + 1.5 * math.cos(week) + height
        second = 2 * math.cos(day - 0.7) + math.sin(week) - 0.5 * height
        pace = 0.99 * pace + 0.03 * noise()
        phase += 2 * math.pi / _PUMP * math.exp(pace)
        pump = 3 * math.tanh(3 * math.sin(phase))  # nearly on and off
        loads = (10 + first + noise(), 5 + second + pump + 0.3 * noise())
        warmth = 1.5 * weather + 4 * math.sin(day - 2)
        oil = 0.85 * oil + 0.15 * (0.8 * first + 0.8 * second + weather + 2 * pump)
        trend = 2 * hour / steps
        yield (*loads, 15 + warmth + 0.5 * noise(), 20 + 3 * oil + trend + 0.3 * noise())
