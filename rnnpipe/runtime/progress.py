"""How far a long work is: a bar at a terminal, else a line now and then; for programs a file.

At a terminal a training is one bar with the time left. Elsewhere (a log, a CI run) a line comes
every quarter of a minute. Whoever follows a training by program reads the JSON lines in the file
that ``RNNPIPE_PROGRESS`` names, by default ``.rnnpipe/progress/PROBLEM.jsonl``.
"""

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from pathlib import Path
from typing import IO, Any, Self, TypeVar

from tqdm import tqdm

T = TypeVar("T")

FILE_VARIABLE = "RNNPIPE_PROGRESS"
FOLDER = Path(".rnnpipe/progress")
SECONDS = 15.0  # from one line to the next
_SHORT = 10.0  # work of fewer seconds needs no word

_log = logging.getLogger(__name__)


def progress_file(problem: str) -> Path:
    """Where a training of a problem tells programs how far it is."""
    return Path(os.environ.get(FILE_VARIABLE) or FOLDER / f"{problem}.jsonl")


def track(
    items: Iterable[T],
    what: str,
    unit: str,
    total: int | None = None,
    *,
    every: float = SECONDS,
    after: float = _SHORT,
) -> Iterator[T]:
    """Hand items on, and show how many have been when it takes long.

    Args:
        items: any, one after the other.
        what: is done, such as ``encoding``.
        unit: what an item is, in the plural.
        total: how many there are, where they do not know themselves.
        every: seconds from one line to the next, where there is no terminal.
        after: seconds in which nothing is shown.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, unit=f" {unit}", total=total, delay=after, leave=False)
        return
    began = time.monotonic()
    told = began + after - every
    for done, item in enumerate(items):
        now = time.monotonic()
        if done and now - told >= every and now - began >= after:
            told = now
            _log.info("%s: %s", what, _share(done, total, unit, now - began))
        yield item


class TrainingReport:
    """Tells people and programs how far a training is, by steps and by epochs.

    Each line of the file is a JSON object with a ``kind`` and ``epochs``, the most there will be:
    ``steps`` has ``epoch``, ``step``,
    ``steps`` (of the epoch), ``passed`` (the share of the whole training), ``loss`` (mean of the
    epoch so far), ``per_second`` of the ``unit`` that is learnt from (since the line before), and
    ``seconds_left``; ``epoch`` has the
    epoch's figures and its ``seconds``, which are None where a run that was cut off had trained it.
    """

    def __init__(
        self,
        problem: str,
        epochs: int,
        unit: str,
        *,
        every: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin the file anew.

        Args:
            problem: names the file.
            epochs: at most so many.
            unit: what is learnt from, in the plural: reviews, words, windows.
            every: seconds from one line to the next, for people and in the file.
            clock: gives seconds.
        """
        self._epochs, self._unit, self._every, self._clock = epochs, unit, every, clock
        self._path = progress_file(problem)
        self._file: IO[str] | None = None
        self._bar: Any = None
        self._told = self._began = self._epoch_began = clock()
        self._first: float | None = None  # share of the training that was done after the first step
        self._losses = self._size = 0.0
        self._recent = 0.0  # what was learnt from since the last line

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # A pipe that nobody reads is an error then, not a wait for ever.
            self._file = open(self._path, "w", encoding="utf-8", opener=_not_blocking)
        except OSError as error:
            self._lose_file(error)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        self._close_file()

    def step(self, epoch: int, step: int, steps: int, loss: float, size: float) -> None:
        """Take in one step.

        Args:
            epoch: counted from 1.
            step: of the epoch, counted from 1.
            steps: of an epoch.
            loss: mean over what the step learnt from.
            size: of how much that was.
        """
        now = self._clock()
        passed = (epoch - 1 + step / steps) / self._epochs
        if self._first is None:
            # The first step compiles: it tells nothing of how fast the others will be.
            self._first = passed
            self._began = self._told = now
            self._open_bar(epoch, steps)
        else:
            self._recent += size
        if step == 1:
            self._losses = self._size = 0.0
        self._losses += loss * size
        self._size += size
        if self._bar is not None:
            self._bar.update(1)
        if now - self._told < self._every:
            return
        mean = self._losses / self._size if self._size else loss
        speed = self._recent / max(now - self._told, 1e-9)
        self._told, self._recent = now, 0.0
        left = (now - self._began) * (1 - passed) / max(passed - self._first, 1e-9)
        self._write(
            kind="steps",
            epoch=epoch,
            step=step,
            steps=steps,
            passed=passed,
            loss=mean,
            per_second=speed,
            unit=self._unit,
            seconds_left=left,
        )
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {mean:.4g}, {speed:,.0f} {self._unit}/s")
        else:
            _log.info(
                "epoch %d of %d, step %d of %d: loss %.4g, %s %s/s, %s left",
                epoch,
                self._epochs,
                step,
                steps,
                mean,
                f"{speed:,.0f}",
                self._unit,
                _duration(left),
            )

    def epoch(self, row: Mapping[str, float]) -> None:
        """Take in the figures of an epoch that has ended, or had ended before this run."""
        now = self._clock()
        seconds = None if self._first is None else round(now - self._epoch_began, 1)
        self._told = self._epoch_began = now
        self._recent = 0.0
        self._write(**{"kind": "epoch", **row, "seconds": seconds})
        figures = ", ".join(
            f"{name.replace('_', ' ')} {value:.4g}"
            for name, value in row.items()
            if name != "epoch"
        )
        took = "" if seconds is None else f", {_duration(seconds)}"
        line = f"epoch {row['epoch']:.0f} of {self._epochs}: {figures}{took}"
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            _log.info("%s", line)

    def _open_bar(self, epoch: int, steps: int) -> None:
        if sys.stderr.isatty():
            self._bar = tqdm(
                desc="training",
                total=self._epochs * steps,
                initial=(epoch - 1) * steps,
                unit=" steps",
                file=sys.stderr,
                leave=False,
            )

    def _write(self, **values: Any) -> None:
        if self._file:
            try:
                self._file.write(json.dumps(values | {"epochs": self._epochs}) + "\n")
                self._file.flush()
            except OSError as error:
                self._lose_file(error)

    def _lose_file(self, error: OSError) -> None:
        """Go on without: no training ends because nobody can be told how far it is."""
        reason = error.strerror or error
        _log.warning("the training goes on, but %s cannot be written (%s)", self._path, reason)
        self._close_file()

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file:
            with contextlib.suppress(OSError):  # what is still in its buffer may find no room
                file.close()


def _not_blocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK, 0o666)


def _share(done: int, total: int | None, unit: str, seconds: float) -> str:
    if not total:
        return f"{done:,} {unit}"
    left = _duration(seconds * (total - done) / done)
    return f"{done:,} of {total:,} {unit}, {left} left"


def _duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> _duration(9.6), _duration(600), _duration(7300)
    ('10 s', '10 min', '2 h 2 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
