"""Columns of times as people write them: read where there is but one reading."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnnpipe.errors import SourceError, quoted
from rnnpipe.series.calendar import Times, find_step, odd_steps
from rnnpipe.series.form import EPOCHS, ISO, MONTHS, ZONE_MARK, offset_of

EXPECTED = "a time such as 2016-07-01 13:00:00"
_CLOCK = (
    r"(?:[T ,]{1,3}(?P<H>\d{1,2})(?::(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?"
    rf"(?: ?(?P<p>[AaPp]\.?[Mm]\.?))?(?P<z> ?{ZONE_MARK})?)?"
)
_NAMES = "|".join(name[:3].lower() for name in MONTHS)
_NAME = rf"(?P<b>(?i:{_NAMES})[a-z]{{0,6}})\.?"
_YEAR, _MONTH, _DAY = r"(?P<y>\d{4})", r"(?P<m>\d{1,2})", r"(?P<d>\d{1,2})"
_SHORT_YEAR = r"(?P<y>\d{4}|\d{2})"
# By how the day, the month and the year stand; of numbers alone there may be two readings.
_SHAPES: tuple[tuple[str, str], ...] = (
    ("year_first", rf"{_YEAR}[-/.]{_MONTH}[-/.]{_DAY}{_CLOCK}"),
    ("day_first", rf"{_DAY}[-/. ]{_MONTH}[-/. ]{_SHORT_YEAR}{_CLOCK}"),
    ("month_first", rf"{_MONTH}[-/. ]{_DAY}[-/. ]{_SHORT_YEAR}{_CLOCK}"),
    ("year_first", rf"(?P<y>\d{{2}})[-/]{_MONTH}[-/]{_DAY}{_CLOCK}"),
    (
        "year_first",
        rf"{_YEAR}(?P<m>\d{{2}})(?P<d>\d{{2}})"
        rf"(?:[T ]?(?P<H>\d{{2}})(?::?(?P<M>\d{{2}})(?::?(?P<S>\d{{2}}))?)?(?P<z>{ZONE_MARK})?)?",
    ),
    ("year_first", rf"{_YEAR}[-/. M]{_MONTH}"),
    ("year_first", rf"{_YEAR}(?P<m>\d{{2}})"),
    ("month_first", rf"{_MONTH}[-/. ]{_YEAR}"),
    ("year_first", rf"{_YEAR}[- ]?[Qq](?P<q>[1-4])"),
    ("year_first", rf"[Qq](?P<q>[1-4])[-/ ]{_YEAR}"),
    ("year_first", r"(?P<y>[12]\d{3})"),
    ("day_first", rf"{_DAY}[-. ]{{0,3}}{_NAME}[-., ]{{0,3}}{_SHORT_YEAR}{_CLOCK}"),
    ("month_first", rf"{_NAME} {{0,3}}{_DAY},? {{0,3}}{_YEAR}{_CLOCK}"),
    ("month_first", rf"{_NAME}[-., ]{{0,3}}{_SHORT_YEAR}"),
    ("year_first", rf"{_YEAR}[- ]{_NAME}(?:[- ]{_DAY}{_CLOCK})?"),
    ("seconds", r"(?P<e>\d{9,10})(?:\.0{0,9})?"),
    ("milliseconds", r"(?P<e>\d{12,13})(?:\.0{0,9})?"),
    ("microseconds", r"(?P<e>\d{15,16})(?:\.0{0,9})?"),
    ("nanoseconds", r"(?P<e>\d{18,19})(?:\.0{0,9})?"),
)
_LONE = {"M": 0, "S": 0, "H": 0, "d": 1, "m": 1}
_HEAD = 1000  # cells that say which shapes are worth a look at all
_LEAST_YEAR_OF_19 = 69  # of two digits, as POSIX has it


@dataclass(frozen=True)
class TimeColumn:
    """A column of times, read.

    Attributes:
        wall: ``datetime64[us][n]``, as they stand.
        offsets: ``int64[n]``, how far each one's zone is ahead of UTC, in microseconds; None where no
            zone is known.
        time_format: as :class:`rnnpipe.series.form.Form` has it.
        zones: mark of each one's zone; or the zone's name, for all; empty where none is known.
        notes: what to tell of it.
    """

    wall: Times
    offsets: NDArray[np.int64] | None
    time_format: str = ISO
    zones: str | list[str] = ""
    notes: tuple[str, ...] = ()

    def sorted_by(self, order: NDArray[np.int64]) -> "TimeColumn":
        """Put the rows into another order."""
        return replace(
            self,
            wall=self.wall[order],
            offsets=None if self.offsets is None else self.offsets[order],
            zones=self.zones
            if isinstance(self.zones, str)
            else [self.zones[row] for row in order.tolist()],
        )

    @property
    def utc(self) -> Times:
        """Where a zone is known UTC, else as they stand."""
        if self.offsets is None:
            return self.wall
        utc: Times = self.wall - self.offsets.astype("timedelta64[us]")
        return utc


def order_of(time_format: str) -> str:
    """Return how day, month and year stand in a format, by the parameter's names.

    >>> order_of("%d.%m.%Y"), order_of("%Y-%m-%d"), order_of("seconds")
    ('day_first', 'year_first', 'seconds')
    """
    if time_format in EPOCHS:
        return time_format
    found = re.search(r"%-?([dmYbB])", time_format)
    return {"d": "day_first", "Y": "year_first"}.get(found[1] if found else "Y", "month_first")


def looks_like_times(texts: pa.Array) -> bool:
    """Whether most cells of a column that say anything are written like times, ``large_string[n]``."""
    told = texts.filter(pc.not_equal(texts, ""))
    counts = [
        pc.sum(pc.match_substring_regex(told, f"^(?:{pattern})$")).as_py() or 0
        for _, pattern in _SHAPES
    ]
    return 2 * max(counts) > len(told)


@dataclass(frozen=True)
class _Reading:
    order: str
    column: TimeColumn
    bad: NDArray[np.int64]  # rows that cannot be read so


def parse_times(
    place: Callable[[int], str], texts: pa.Array, order: str = "auto", likely: str = ""
) -> TimeColumn:
    """Read a column of times.

    Args:
        place: how an error about a row begins: ``FILE, line 3, column 'NAME'``.
        texts: ``large_string[n]`` without spaces around.
        order: how day, month and year stand, or in what is counted: the parameter; ``auto``: found.
        likely: the order to take of several that fit; empty: the only regular one.

    Raises:
        SourceError: a cell is no time; or the column has two readings: the message names both.
    """
    head = texts[:_HEAD]
    shapes = [shape for shape in _SHAPES if order in ("auto", shape[0])]
    counts = [
        pc.sum(pc.match_substring_regex(head, f"^(?:{pattern})$")).as_py() for _, pattern in shapes
    ]
    most = max(counts)
    readings = [
        _read(texts, *shape)
        for shape, count in zip(shapes, counts, strict=True)
        if most and 2 * count > most
    ]
    fewest = min((len(reading.bad) for reading in readings), default=len(texts))
    best = [reading for reading in readings if len(reading.bad) == fewest]
    if fewest:
        row = int(best[0].bad[0]) if best else 0
        cell = texts[row].as_py()
        found = quoted(cell) if cell else "nothing"
        expected = EXPECTED if order == "auto" else f"{EXPECTED} (prepare.time_order is {order})"
        raise SourceError(f"{place(row)}: found {found}, expected {expected}")
    chosen = _one_of(place, texts, best, likely)
    return _with_one_zone(place, texts, chosen.column)


def _one_of(
    place: Callable[[int], str], texts: pa.Array, readings: list[_Reading], likely: str
) -> _Reading:
    distinct: list[_Reading] = []
    for reading in readings:
        if not any(np.array_equal(reading.column.wall, other.column.wall) for other in distinct):
            distinct.append(reading)
    if len(distinct) == 1:
        return distinct[0]
    for reading in distinct:
        if reading.order == likely:
            return reading
    odd = []
    for reading in distinct:
        times = np.unique(reading.column.utc)  # of several series each has its own
        odd.append(odd_steps(times, find_step(times)) if len(times) > 2 else 0)
    regular = [reading for reading, count in zip(distinct, odd, strict=True) if count == min(odd)]
    others = [count for count in odd if count > min(odd)]
    if len(regular) == 1 and min(others) > 2 * min(odd):  # there may be gaps in either
        found = regular[0]
        words = found.order.replace("_", " ")
        why = "read otherwise, more steps are odd" if min(odd) else "only so are steps regular"
        note = f"times are read {words}: {why}"
        return replace(found, column=replace(found.column, notes=(*found.column.notes, note)))
    row = int(np.flatnonzero(distinct[0].column.wall != distinct[1].column.wall)[0])
    told = " or ".join(
        f"{reading.column.wall[row].astype('datetime64[s]')} ({reading.order})"
        for reading in distinct[:2]
    ).replace("T", " ")
    raise SourceError(
        f"{place(row)}: found {quoted(texts[row].as_py())}, which is {told}:"
        " say which by prepare.time_order in the pipeline's params.yaml"
    )


def _with_one_zone(place: Callable[[int], str], texts: pa.Array, column: TimeColumn) -> TimeColumn:
    """Require that all times or none carry a zone."""
    if isinstance(column.zones, str):
        return column if column.zones else replace(column, offsets=None)
    with_zone = np.array([bool(zone) for zone in column.zones], bool)
    if with_zone.all():
        return column
    row = int(np.flatnonzero(with_zone != with_zone[0])[0])
    has = "no zone" if with_zone[0] else "a zone"
    raise SourceError(
        f"{place(row)}: found {quoted(texts[row].as_py())}, expected a time with"
        f" a zone behind it in all rows or in none; it has {has}, the first one not"
    )


def _read(texts: pa.Array, order: str, pattern: str) -> _Reading:
    """Read all cells by one shape; what cannot be read so is 1970."""
    fields = pc.extract_regex(texts, f"^(?:{pattern})$")
    # The parts do not say it: of a cell that does not match they are empty.
    matched = fields.is_valid()
    valid = np.array(matched.to_numpy(zero_copy_only=False), bool)
    fields = {field.name: fields.field(at) for at, field in enumerate(fields.type)}
    if "e" in fields:
        number = _integers(fields["e"], valid, 0)
        unit = EPOCHS[order]
        micros = number * int(unit) if unit >= 1 else number // 1000
        valid &= micros >= 0
        note = f"times are read as {order} since 1970, in UTC"
        column = TimeColumn(micros.astype("datetime64[us]"), None, order, notes=(note,))
        return _Reading(order, column, np.flatnonzero(~valid))
    wall = _moments(fields, valid)
    zones: str | list[str] = ""
    offsets = None
    if "z" in fields:
        encoded = pc.fill_null(fields["z"], "").dictionary_encode()
        marks = encoded.dictionary.to_pylist()
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        zones = marks[0] if len(marks) == 1 else [marks[code] for code in codes.tolist()]
        offsets = np.array([offset_of(mark) for mark in marks], np.int64)[codes]
    bad = np.flatnonzero(~valid)
    time_format = _format_of(texts, pattern, fields, matched) if len(bad) < len(valid) else ISO
    return _Reading(order, TimeColumn(wall, offsets, time_format, zones), bad)


def _moments(fields: dict[str, pa.Array], valid: NDArray[np.bool_]) -> Times:
    """Put fields together; marks as not valid what no calendar has."""

    def number(name: str) -> NDArray[np.int64]:
        if name not in fields:
            return np.full(len(valid), _LONE[name], np.int64)
        return _integers(fields[name], valid, _LONE.get(name, 0))

    year, day, hour = number("y"), number("d"), number("H")
    minute, second = number("M"), number("S")
    short = np.asarray(pc.equal(pc.utf8_length(fields["y"]), 2).fill_null(False))
    year = np.where(short, year + np.where(year >= _LEAST_YEAR_OF_19, 1900, 2000), year)
    if "q" in fields:
        month = 3 * _integers(fields["q"], valid, 1) - 2
    elif "b" in fields:
        names = pa.array([name[:3].lower() for name in MONTHS], pa.large_string())
        short_names = pc.utf8_slice_codeunits(pc.utf8_lower(fields["b"]), 0, 3)
        at = pc.fill_null(pc.index_in(short_names, names), 0)
        month = np.asarray(at.to_numpy(zero_copy_only=False), np.int64) + 1
        whole = [name.lower() for name in MONTHS] + [name[:3].lower() for name in MONTHS] + ["sept"]
        known = pc.is_in(pc.utf8_lower(fields["b"]), pa.array(whole, pa.large_string()))
        valid &= np.asarray(known.to_numpy(zero_copy_only=False), bool)
    else:
        month = number("m")
    if "p" in fields:
        half = pc.fill_null(pc.utf8_lower(pc.utf8_slice_codeunits(fields["p"], 0, 1)), "")
        valid &= np.asarray(pc.equal(half, "")) | ((hour >= 1) & (hour <= 12))
        hour = np.where(np.asarray(pc.equal(half, "p")), hour % 12 + 12, hour)
        hour = np.where(np.asarray(pc.equal(half, "a")), hour % 12, hour)
    valid &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    valid &= (hour <= 23) & (minute <= 59) & (second <= 59)
    months = (np.where(valid, (year - 1970) * 12 + month - 1, 0)).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (np.where(valid, day, 1) - 1)
    valid &= days.astype("datetime64[M]") == months
    micros = ((hour * 60 + minute) * 60 + second) * 1_000_000
    if "f" in fields:
        part = pc.utf8_rpad(pc.fill_null(fields["f"], ""), 6, "0")
        micros += _integers(pc.utf8_slice_codeunits(part, 0, 6), valid, 0)
    moments: Times = days.astype("datetime64[us]") + np.where(valid, micros, 0)
    return moments


def _integers(texts: pa.Array, valid: NDArray[np.bool_], lone: int) -> NDArray[np.int64]:
    """Numbers of a field, ``lone`` where it is empty; of 19 digits not all are numbers."""
    texts = pc.fill_null(texts, "")
    texts = pc.if_else(pc.equal(texts, ""), str(lone), texts)
    try:
        found = pc.cast(texts, pa.int64())
    except pa.ArrowInvalid:
        valid[:] = False
        return np.zeros(len(texts), np.int64)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.int64)


def _format_of(
    texts: pa.Array, pattern: str, fields: dict[str, pa.Array], matched: pa.Array
) -> str:
    """The format of a column's longest cell; without zeros before numbers where some cell has none."""
    lengths = pc.if_else(matched, pc.utf8_length(texts), 0)
    cell = texts[int(pc.index(lengths, pc.max(lengths)).as_py())].as_py()
    match = re.fullmatch(pattern, cell)
    assert match is not None
    short = {
        name
        for name in ("d", "m", "H")
        if name in fields and pc.any(pc.equal(pc.utf8_length(fields[name]), 1), min_count=0).as_py()
    }
    spans = sorted(_spans(match), reverse=True)
    for start, end, name in spans:
        text = match[name]
        token = f"%-{name}" if name in short else f"%{name}"
        match name:
            case "y":
                token = "%Y" if len(text) == 4 else "%y"
            case "b":
                token = "%b" if len(text) <= 4 and text != "June" else "%B"
            case "H" if match["p"] if "p" in match.re.groupindex else None:
                token = token.replace("H", "I")
            case "f" | "z":
                start, token = start - (name == "f"), ""
        cell = cell[:start] + token + cell[end:]
    return str(cell)


def _spans(match: re.Match[str]) -> Iterator[tuple[int, int, str]]:
    for name in match.re.groupindex:
        if match[name]:
            yield *match.span(name), name
