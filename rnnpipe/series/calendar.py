"""Steps of time: seconds to weeks by the clock; business days, months and years by the calendar."""

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rnnpipe.config.series import STEP_PATTERN
from rnnpipe.errors import SourceError, quoted

Times = NDArray[Any]  # of datetime64; NumPy knows no arithmetic of these by their kinds

DAY = 86_400_000_000  # microseconds
_UNITS = {
    "week": 7 * DAY,
    "day": DAY,
    "hour": DAY // 24,
    "minute": 60_000_000,
    "second": 1_000_000,
    "microsecond": 1,
}
_MONTHS = {"year": 12, "quarter": 3, "month": 1}
_WORDS = {
    "hourly": "hour",
    "daily": "day",
    "business-daily": "business day",
    "weekly": "week",
    "monthly": "month",
    "quarterly": "quarter",
    "yearly": "year",
}
_PLACES = {
    "last day": (31, False),
    "first business day": (1, True),
    "last business day": (31, True),
}
_SHORTEST_MONTH = np.timedelta64(28, "D")


@dataclass(frozen=True)
class Step:
    """One step of a series.

    Attributes:
        kind: what it is counted in: microseconds, business days (Monday to Friday) or months.
        size: how many of these.
        day: of months: the day on which each step falls; beyond a month's end its last one, so that
            31 means the last day.
        business: of months: the first business day from that day on, or of the last day the last
            one before it.
    """

    kind: Literal["clock", "business", "month"]
    size: int
    day: int = 1
    business: bool = False

    def after(self, times: Times, steps: Any = 1) -> Times:
        """Return the times so many steps after others, ``datetime64[us][n]``.

        Args:
            times: ``datetime64[us][n]``.
            steps: a number, or ``int64[n]``.
        """
        count = np.asarray(steps, np.int64) * self.size
        if self.kind == "clock":
            later: Times = times + count.astype("timedelta64[us]")
            return later
        days = times.astype("datetime64[D]")
        since_midnight = times - days
        if self.kind == "business":
            ahead = np.busday_offset(days, count, roll="backward")
        else:
            ahead = self._in_month(times.astype("datetime64[M]") + count)
        moved: Times = (ahead + since_midnight).astype("datetime64[us]")
        return moved

    def _in_month(self, months: Times) -> Times:
        first, last = months.astype("datetime64[D]"), _last_days(months)
        days: Times = np.minimum(first + (self.day - 1), last)
        if self.business:
            days = np.busday_offset(days, 0, roll="backward" if self.day == 31 else "forward")
        return days

    @property
    def whole_days(self) -> bool:
        """Whether it is counted in days, so that a day of 23 hours is one."""
        return self.kind != "clock" or (self.size > 0 and self.size % DAY == 0)

    def __str__(self) -> str:
        """Write it so that :func:`parse_step` reads it: ``10 minutes``, ``1 month on day 1``."""
        if self.kind == "business":
            return _counted(self.size, "business day")
        sizes = _UNITS if self.kind == "clock" else _MONTHS
        unit = next(unit for unit, size in sizes.items() if self.size % size == 0)
        if self.kind == "clock":
            unit = unit if self.size else "second"
            return _counted(self.size // sizes[unit], unit)
        places = {value: place for place, value in _PLACES.items()}
        place = places.get((self.day, self.business))
        on = f"the {place}" if place else f"day {self.day}"
        return f"{_counted(self.size // sizes[unit], unit)} on {on}"


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def parse_step(text: str, times: Times | None = None) -> Step:
    """Read a step as a parameter or :meth:`Step.__str__` writes it.

    >>> str(parse_step("monthly", np.array(["2020-01-31", "2020-02-29"], "datetime64[us]")))
    '1 month on the last day'

    Args:
        text: such as ``hourly``, ``15 minutes``, ``business day``, ``1 month on day 1``.
        times: ``datetime64[us][n]``, which say the day of the month where the text does not.

    Raises:
        SourceError: it is none.
    """
    found = re.fullmatch(STEP_PATTERN, text)
    if found is None:
        raise SourceError(
            f"found the step {quoted(text)}, expected one such as hourly, 15 minutes, daily,"
            " business-daily, weekly, monthly, quarterly or yearly"
        )
    unit, size = _WORDS.get(found["word"], found["unit"]), int(found["size"] or 1)
    if unit == "business day":
        return Step("business", size)
    if unit in _UNITS:
        return Step("clock", size * _UNITS[unit])
    size *= _MONTHS[unit]
    if found["day"]:
        return Step("month", size, int(found["day"]))
    if found["place"]:
        return Step("month", size, *_PLACES[found["place"]])
    if times is None or not len(times):
        return Step("month", size)
    return _best(times, _month_steps(times, size))


def usual_step(times: Times) -> np.timedelta64:
    """Return the most frequent step forward in time, of several the shortest; 0 where there is none.

    >>> usual_step(np.array(["2020-01-01T00", "2020-01-01T01", "2020-01-01T02", "2020-01-01T05"],
    ...     "datetime64[us]")).astype("timedelta64[h]").item().seconds
    3600
    """
    steps = np.diff(times)
    found, counts = np.unique(steps[steps > np.timedelta64(0)], return_counts=True)
    return found[np.argmax(counts)] if len(found) else np.timedelta64(0, "us")


def clock_step(times: Times) -> Step:
    """Return :func:`usual_step` as a step."""
    return Step("clock", int(usual_step(times) / np.timedelta64(1, "us")))


def find_step(times: Times) -> Step:
    """Find the step of a series: the one by which fewest of its times are not where they are due.

    Args:
        times: ``datetime64[us][n]``, rising.
    """
    clock, usual = clock_step(times), usual_step(times)
    if usual >= _SHORTEST_MONTH:
        months = np.diff(times.astype("datetime64[M]")).astype(np.int64)
        sizes, counts = np.unique(months[months > 0], return_counts=True)
        # Of both that fit it is months: four years of 365 days end with a leap year.
        return _best(times, [*_month_steps(times, int(sizes[np.argmax(counts)])), clock])
    if clock.size == DAY and np.is_busday(times.astype("datetime64[D]")).all():
        return _best(times, [clock, Step("business", 1)])
    return clock


def odd_steps(times: Times, step: Step) -> int:
    """How many times are not one step after the one before."""
    odd = (times[1:] != step.after(times[:-1])) | (times[1:] == times[:-1])
    return int(np.count_nonzero(odd))


def _best(times: Times, candidates: list[Step]) -> Step:
    return min(candidates, key=lambda step: odd_steps(times, step))


def _month_steps(times: Times, size: int) -> list[Step]:
    """Steps of so many months, on the days that a series may mean."""
    months, days = times.astype("datetime64[M]"), times.astype("datetime64[D]")
    found, counts = np.unique((days - months).astype(np.int64) + 1, return_counts=True)
    usual = int(found[::-1][np.argmax(counts[::-1])])
    plain = Step("month", size, 31 if (days == _last_days(months)).all() else usual)
    return [plain, *(Step("month", size, *place) for place in _PLACES.values())]


def _last_days(months: Times) -> Times:
    return (months + 1).astype("datetime64[D]") - 1
