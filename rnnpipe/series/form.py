"""How a file writes its times and numbers.

It is found when the file is read, kept beside the series, and used to answer in the same form.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from rnnpipe.config.section import Section
from rnnpipe.config.series import STEP_PATTERN
from rnnpipe.series.calendar import Step, Times, clock_step, parse_step

ISO = "%Y-%m-%d %H:%M:%S"
# Parts of a second since 1970, and how many microseconds each has.
EPOCHS = {"seconds": 10**6, "milliseconds": 10**3, "microseconds": 1, "nanoseconds": 0.001}
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)
ZONE_MARK = r"(?:Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)"
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)?")
_Text = Annotated[str, Field(max_length=100)]


class Form(Section):
    """How a file writes times and numbers; what is not as in the standard form is kept with a series.

    Attributes:
        time_format: as ``strftime`` has it, and ``%q`` for a quarter; without the zone; or a key of
            :data:`EPOCHS`.
        zone: what stands behind a time: ``Z``, ``+01:00``; or a zone's name, which stands nowhere;
            empty where none is known. Behind times whose offset changed, it is the last one.
        step: as :class:`rnnpipe.series.calendar.Step` writes it; empty: the most frequent one, by the
            clock. Always said where a zone is known.
        decimal: mark before a number's fraction.
        thousands: mark within a whole number; empty: none.
        moved: whether rows of the series stand elsewhere than in the file.
        notes: what a person should know of how the file was read, a sentence each.
    """

    time_format: _Text = ISO
    zone: _Text = ""
    step: Annotated[str, Field(max_length=100, pattern=f"^$|{STEP_PATTERN}")] = ""
    decimal: Annotated[str, Field(pattern=r"^[.,]$")] = "."
    thousands: Annotated[str, Field(pattern=r"^[.,' \u00a0\u202f\u2019]?$")] = ""
    moved: bool = False
    notes: tuple[Annotated[str, Field(max_length=2000)], ...] = ()

    @field_validator("zone")
    @classmethod
    def _zone_is_known(cls, zone: str) -> str:
        if is_named(zone):
            try:
                ZoneInfo(zone)
            except (OSError, KeyError, ValueError):
                raise ValueError(f"nobody knows the zone {zone[:100]!r}") from None
        return zone

    def kept(self) -> dict[str, Any]:
        """What is not as in the standard form, for JSON."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def step_of(self, times: Times) -> Step:
        """Return the step of a series in this form."""
        return parse_step(self.step, times) if self.step else clock_step(times)

    def shown(self, times: Times) -> list[str]:
        """Write times as the file writes them.

        Args:
            times: ``datetime64[us][n]``: of a known zone in UTC if the step is shorter than a day,
                else, and without a zone, as they stand on the wall.
        """
        micros = times.astype("datetime64[us]").astype(np.int64)
        if self.time_format in EPOCHS:
            unit = EPOCHS[self.time_format]
            return [str(int(each // unit) if unit >= 1 else int(each) * 1000) for each in micros]
        whole_days = parse_step(self.step or "hour").whole_days
        offsets = self._offsets(micros, whole_days)
        if offsets is not None and not whole_days:
            micros = micros + offsets
        texts = _written(micros, self.time_format)
        if offsets is None:
            return texts
        if not is_named(self.zone):
            return [text + self.zone for text in texts]
        return [text + _mark(offset) for text, offset in zip(texts, offsets, strict=True)]

    def _offsets(self, micros: NDArray[np.int64], whole: bool) -> NDArray[np.int64] | None:
        """Of each time how far its zone is ahead of UTC, in microseconds; None without a zone."""
        if not self.zone:
            return None
        if not is_named(self.zone):
            return np.full(len(micros), offset_of(self.zone))
        zone = ZoneInfo(self.zone)
        return np.array([_offset_in(zone, int(each), whole) for each in micros], np.int64)


STANDARD = Form()


def is_named(zone: str) -> bool:
    """Whether a zone is known by a name, such as Europe/Berlin, rather than by its mark."""
    return bool(zone) and re.fullmatch(rf" ?{ZONE_MARK}", zone) is None


def offset_of(mark: str) -> int:
    """Return how far a mark, such as ``+01:00`` or ``Z``, is ahead of UTC, in microseconds."""
    found = _OFFSET.search(mark)
    if found is None:
        return 0
    sign, hours, minutes = found.groups()
    return int(f"{sign}1") * (int(hours) * 60 + int(minutes or 0)) * 60_000_000


def _offset_in(zone: ZoneInfo, micros: int, on_wall: bool) -> int:
    try:
        moment = datetime(1970, 1, 1) + timedelta(microseconds=micros)
        where = moment if on_wall else moment.replace(tzinfo=UTC).astimezone(zone)
        offset = where.replace(tzinfo=zone).utcoffset() if on_wall else where.utcoffset()
    except OverflowError:  # beyond the year 9999
        return 0
    return int((offset or timedelta(0)) / timedelta(microseconds=1))


def _mark(offset: int) -> str:
    minutes = abs(offset) // 60_000_000
    return f"{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"


def _written(micros: NDArray[np.int64], pattern: str) -> list[str]:
    moments = micros.astype("datetime64[us]")
    days, months = moments.astype("datetime64[D]"), moments.astype("datetime64[M]")
    years = moments.astype("datetime64[Y]").astype(np.int64) + 1970
    month = months.astype(np.int64) % 12 + 1
    day = (days - months).astype(np.int64) + 1
    rest = (moments - days).astype(np.int64)
    texts = []
    for at in range(len(moments)):
        second, part = divmod(int(rest[at]), 1_000_000)
        hour, minute = second // 3600, second // 60 % 60
        fields = {
            "Y": f"{years[at]:04}",
            "y": f"{years[at] % 100:02}",
            "m": f"{month[at]:02}",
            "d": f"{day[at]:02}",
            "H": f"{hour:02}",
            "I": f"{hour % 12 or 12:02}",
            "M": f"{minute:02}",
            "S": f"{second % 60:02}" + (f".{part:06}" if part else ""),
            "p": "AM" if hour < 12 else "PM",
            "B": MONTHS[month[at] - 1],
            "b": MONTHS[month[at] - 1][:3],
            "q": str((month[at] - 1) // 3 + 1),
        }
        texts.append(_filled(pattern, fields))
    return texts


def _filled(pattern: str, fields: dict[str, str]) -> str:
    def field(found: re.Match[str]) -> str:
        text = fields.get(found[2], found[0])
        return text.removeprefix("0") if found[1] else text

    return re.sub(r"%(-?)([A-Za-z])", field, pattern)
