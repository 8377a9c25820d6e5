"""From a file to series: a person's own table, or the one that ``prepare`` made of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import ValidationError

from rnnpipe.errors import SourceError, quoted, shown
from rnnpipe.series.calendar import Step, Times, clock_step, find_step, parse_step
from rnnpipe.series.columns import no_targets, without_empty_end, without_signs
from rnnpipe.series.form import Form
from rnnpipe.series.holes import put_in_steps
from rnnpipe.series.numbers import PLAIN as PLAIN_MARKS
from rnnpipe.series.numbers import find_marks, is_missing, plain
from rnnpipe.series.panel import Panel, lengths_of
from rnnpipe.series.rows import Rows
from rnnpipe.series.table import Series
from rnnpipe.series.times import EXPECTED, TimeColumn, order_of, parse_times
from rnnpipe.storage.csv_format import PLAIN, CsvFormat
from rnnpipe.storage.guess import own_format
from rnnpipe.storage.table_checks import check_columns, place_of
from rnnpipe.storage.tables import column_names, kind_of, read_batches, readable_columns

_TIME = pa.timestamp("us")
# What a calendar has; beyond, whoever shows a time fails.
_FIRST_TIME, _LAST_TIME = (
    np.datetime64("0001-01-01", "us"),
    np.datetime64("9999-12-31T23:59:59", "us"),
)
_ADVICE = "Name it by prepare.time_column in the pipeline's params.yaml, or by --time-column."


@dataclass(frozen=True)
class Choices:
    """What a person says of a table, where it could be read in several ways.

    Attributes:
        targets: names of the columns of numbers; empty: all that hold numbers, but for an index.
        time_order: how day, month and year stand, or in what is counted since 1970; auto: found.
        step: as :func:`rnnpipe.series.calendar.parse_step` reads it; auto: found.
        decimal: mark before a fraction; auto: found.
        thousands: mark within a whole number, or ``none``; auto: found.
        series_column: what tells several series apart; empty: there is one.
        likely: the form of tables like this one, which decides where several readings fit.
        advice: what to do where one of the targets is missing.
    """

    targets: Sequence[str] = ()
    time_order: str = "auto"
    step: str = "auto"
    decimal: str = "auto"
    thousands: str = "auto"
    series_column: str = ""
    likely: Form | None = None
    advice: str = "Name the columns to forecast by prepare.targets in the pipeline's params.yaml."


def read_series(
    table: Path, time_column: str, csv_format: CsvFormat = PLAIN, choices: Choices | None = None
) -> Series:
    """Read a table of one series, as :func:`read_panel` does."""
    (series,) = read_panel(table, time_column, csv_format, choices).parts
    return series


def read_panel(
    table: Path, time_column: str, csv_format: CsvFormat = PLAIN, choices: Choices | None = None
) -> Panel:
    """Read a table with a column of times and columns of numbers, of one series or of several.

    Rows are put in the order of the series, by their ids, and of time, with one for each step that is
    left out. Whether the times follow one another regularly is the business of
    :func:`rnnpipe.series.panel.require_regular_steps` and of the validation. What else was made of the
    file is said in the notes of the series' form.

    Raises:
        SourceError: there is no such column, or no numbers beside it; a cell is no time, or neither
            empty nor a finite number, or an id is missing: the message names line and column; the
            times or numbers have two readings; there are no rows.
    """
    choices = choices or Choices()
    found = column_names(table, csv_format)
    check_columns(table, found, {name: name for name in choices.targets}, choices.advice)
    roles = {time_column, choices.series_column} if choices.series_column else {time_column}
    asked = [name for name in choices.targets or found if name not in roles]
    asked = list(dict.fromkeys(asked))
    left_out: dict[str, str] = {}
    if not choices.targets and kind_of(table) != ".csv":
        readable = set(readable_columns(table))
        left_out = {n: "no numbers" for n in asked if found.count(n) == 1 and n not in readable}
        asked = [name for name in asked if name not in left_out]
    columns = without_empty_end(
        _columns(table, time_column, choices.series_column, asked, csv_format)
    )
    if not asked and not left_out:
        raise SourceError(
            f"{shown(table)} has only the column {quoted(time_column)}: expected numbers beside it"
        )
    if not len(columns[""]):
        raise SourceError(
            f"{shown(table)} has a header and no rows: expected one for each step of time"
        )
    columns, signs = without_signs(columns)
    if not choices.targets:
        left_out |= no_targets(columns, asked)
        if len(left_out) == len(asked):  # the first cell is to be named
            left_out = {}
        asked = [name for name in asked if name not in left_out]
    times = _times(table, time_column, columns[""], choices)
    marks = _marks(table, {name: columns[f"={name}"] for name in asked}, csv_format, choices)
    parts = [_numbers(table, name, columns[f"={name}"], marks) for name in asked]
    rows = Rows(times, np.stack(parts, axis=1), tuple(asked), time_column)
    if choices.series_column:
        rows = rows.told_apart(*_ids(table, choices.series_column, columns["#"]))
    if signs:
        noted = ", ".join(f"{quoted(name)} ({sign})" for name, sign in list(signs.items())[:20])
        rows = rows.noted(f"signs beside numbers are not read: {noted}")
    return _panel(rows, choices, marks, left_out)


def _columns(
    table: Path, time_column: str, series_column: str, names: list[str], csv_format: CsvFormat
) -> dict[str, pa.ChunkedArray]:
    """Read columns by their roles; texts without spaces around."""
    # The time comes first under a role of its own: a column of numbers may have any name.
    asked = {"": time_column} | ({"#": series_column} if series_column else {})
    asked |= {f"={name}": name for name in names}
    parts: dict[str, list[pa.Array]] = {role: [] for role in asked}
    for batch in read_batches(table, asked, advice=_ADVICE, times=True, csv_format=csv_format):
        for role, column in batch.items():
            if pa.types.is_large_string(column.type):
                column = pc.utf8_trim_whitespace(pc.fill_null(column, ""))
            parts[role].append(column)
    return {role: _one_kind(arrays) for role, arrays in parts.items()}


def _one_kind(arrays: list[pa.Array]) -> pa.ChunkedArray:
    """Put the parts of a column together; of JSON lines each may have a kind of its own."""
    kinds = {array.type for array in arrays if not pa.types.is_null(array.type)}
    if len(kinds) < 2:
        kind = kinds.pop() if kinds else pa.large_string()
    elif any(map(pa.types.is_large_string, kinds)):
        kind = pa.large_string()
    else:
        kind = pa.float64()
    return pa.chunked_array([array.cast(kind) for array in arrays], kind)


def _times(table: Path, name: str, column: pa.ChunkedArray, choices: Choices) -> TimeColumn:
    def place(row: int) -> str:
        return f"{shown(table)}, {place_of(table, row, [name])}, column {quoted(name)}"

    kind = column.type
    texts = column.combine_chunks()
    if pa.types.is_temporal(kind):
        utc = _converted(table, name, texts, _TIME, EXPECTED)
        moments = np.asarray(utc.to_numpy(zero_copy_only=False), "datetime64[us]")
        if getattr(kind, "tz", None):
            return _zoned(table, name, texts, moments)
        if pa.types.is_date(kind):
            return TimeColumn(moments, None, "%Y-%m-%d")
        return TimeColumn(moments, None)
    if pa.types.is_floating(kind):
        whole = _cast(texts, pa.int64())
        texts = texts if whole is None else whole
    if not pa.types.is_large_string(kind):
        texts = pc.fill_null(texts.cast(pa.large_string()), "")
    likely = order_of(choices.likely.time_format) if choices.likely else ""
    return parse_times(place, texts, choices.time_order, likely)


def _zoned(table: Path, name: str, column: pa.Array, utc: Times) -> TimeColumn:
    zone = column.type.tz
    try:
        wall = pc.cast(pc.local_timestamp(column), _TIME, safe=False)
        if zone.upper() in ("UTC", "GMT", "ETC/UTC", "ZULU"):
            zone = "+00:00"
        Form(zone=zone)
    except (pa.ArrowException, ValidationError):
        raise SourceError(
            f"{shown(table)}: column {quoted(name)} is of the zone {quoted(zone)}, which nobody knows;"
            " expected one such as Europe/Berlin or UTC"
        ) from None
    local = np.asarray(wall.to_numpy(zero_copy_only=False), "datetime64[us]")
    return TimeColumn(local, (local - utc).astype(np.int64), zones=zone)


def _marks(
    table: Path,
    columns: dict[str, pa.ChunkedArray],
    csv_format: CsvFormat,
    choices: Choices,
) -> tuple[str, str]:
    texts = {
        name: column for name, column in columns.items() if pa.types.is_large_string(column.type)
    }
    usual = [PLAIN_MARKS]
    if kind_of(table) == ".csv" and own_format(table, csv_format).separator == ";":
        usual = [(",", "")]  # it stands between the columns since a comma stands within
    likely = choices.likely
    return find_marks(
        shown(table),
        texts,
        choices.decimal,
        choices.thousands,
        (likely.decimal, likely.thousands) if likely else None,
        usual,
    )


def _numbers(
    table: Path, name: str, column: pa.ChunkedArray, marks: tuple[str, str]
) -> NDArray[np.float64]:
    texts = column.combine_chunks()
    written, holes = texts, texts.is_null(nan_is_null=True)
    if pa.types.is_large_string(column.type):
        written, holes = plain(texts, marks), is_missing(texts)
    written = pc.if_else(holes, pa.scalar(None, written.type), written)
    parsed = _converted(table, name, written, pa.float64(), "a finite number, or nothing", texts)
    numbers = np.asarray(parsed.to_numpy(zero_copy_only=False), np.float64)
    if np.isnan(numbers).all():
        raise SourceError(f"{shown(table)}: column {quoted(name)} holds no number at all")
    return numbers


def _ids(
    table: Path, name: str, column: pa.ChunkedArray
) -> tuple[NDArray[np.int64], tuple[str, ...], str]:
    """Of each row the place of its series among the ids, these in their order, and the column's name."""
    cells = column.combine_chunks()
    if pa.types.is_floating(cells.type):
        cells = _converted(table, name, cells, pa.int64(), "a text or a whole number")
    texts = cells if pa.types.is_large_string(cells.type) else cells.cast(pa.large_string())
    empty = pc.fill_null(pc.equal(texts, ""), True)
    if (row := pc.index(empty, True).as_py()) >= 0:
        raise SourceError(
            f"{shown(table)}, {place_of(table, row, [name])}, column {quoted(name)}: found nothing,"
            " expected what tells the series apart"
        )
    encoded = texts.dictionary_encode()
    found: list[str] = encoded.dictionary.to_pylist()
    numbers = all(text.isdigit() and len(text) < 19 for text in found)
    order = sorted(range(len(found)), key=lambda at: (int(found[at]) if numbers else 0, found[at]))
    place = np.empty(len(found), np.int64)
    place[order] = np.arange(len(found))
    codes = place[encoded.indices.to_numpy(zero_copy_only=False)]
    return codes, tuple(found[at] for at in order), name


def _panel(rows: Rows, choices: Choices, marks: tuple[str, str], left_out: dict[str, str]) -> Panel:
    """Put rows in order, count their steps, and say what was made of the file."""
    notes = list(rows.times.notes)
    rows, sorting = rows.in_order()
    if sorting:
        notes.append(sorting)
    if left_out:
        told = ", ".join(
            f"{quoted(name) if name else 'the first, nameless one'} ({why})"
            for name, why in list(left_out.items())[:20]
        )
        notes.append(f"columns left out: {told}; prepare.targets names those to forecast")
    if marks != PLAIN_MARKS:
        within = f", {marks[1]!r} within thousands" if marks[1] else ""
        notes.append(f"numbers are read with {marks[0]!r} before the fraction{within}")
    times = rows.times
    moments, step = _counted(times, choices.step)
    if rows.id_name and not step.size:
        raise SourceError(
            f"each series, told apart by {quoted(rows.id_name)}, has one time only: expected several"
        )
    whole = [put_in_steps(moments[part], rows.values[part], step) for part in rows.slices()]
    lacking = int(np.isnan(rows.values).sum())
    added = sum(len(part) for part, _ in whole) - len(moments)
    if lacking or added:
        notes.append(
            f"steps that are left out: {added:,}; missing values: {lacking:,}; both are neither learnt"
            " from nor judged, and filled where the network reads (windows.fill)"
        )
    zone = times.zones if isinstance(times.zones, str) else times.zones[-1]
    if not isinstance(times.zones, str) and len(set(times.zones)) > 1:
        notes.append(f"the offset from UTC changes; forecasts carry the last one, {zone.strip()}")
    text, usual = str(step), str(clock_step(whole[0][0]))
    form = Form(
        time_format=times.time_format,
        zone=zone,
        step=text if zone or rows.id_name or text != usual else "",
        decimal=marks[0],
        thousands=marks[1],
        moved=bool(sorting or added or rows.id_name),
        notes=tuple(note[:2000] for note in notes),
    )
    parts = tuple(Series(*part, rows.names, rows.time_name, form) for part in whole)
    panel = Panel(rows.ids, parts, rows.id_name)
    if not panel.id_name:
        return panel
    counted = (*form.notes, f"{lengths_of(panel)}, told apart by {quoted(panel.id_name)}")
    return panel.with_form(form.model_copy(update={"notes": counted}))


def _counted(times: TimeColumn, asked: str) -> tuple[Times, Step]:
    """The times by which steps are counted, and the step: by days on the wall, by hours in UTC."""
    step = find_step(times.wall) if asked == "auto" else parse_step(asked, times.wall)
    if times.offsets is None or step.whole_days:
        return times.wall, step
    return times.utc, find_step(times.utc) if asked == "auto" else step


def _converted(
    table: Path,
    name: str,
    column: pa.Array,
    kind: pa.DataType,
    expected: str,
    given: pa.Array | None = None,
) -> pa.Array:
    """Convert a column; if that fails, find the first cell that is to blame, and say so.

    The cells are shown as they were ``given``, where they were changed since.
    """
    holes = not pa.types.is_temporal(kind)  # a time must be there
    parsed = _cast(column, kind, holes)
    if parsed is not None:
        return parsed
    good, bad = 0, len(column)
    while good < bad:
        middle = (good + bad) // 2
        if _cast(column[good : middle + 1], kind, holes) is None:
            bad = middle
        else:
            good = middle + 1
    raise SourceError(
        f"{shown(table)}, {place_of(table, bad, [name])}, column {quoted(name)}: found"
        f" {_found((column if given is None else given)[bad])}, expected {expected}"
    )


def _found(cell: pa.Scalar) -> str:
    try:
        value = cell.as_py()
    except (ValueError, OverflowError):
        return f"a {cell.type} that no calendar has"
    return "nothing" if value in (None, "") else quoted(value)


def _cast(column: pa.Array, kind: pa.DataType, holes: bool = False) -> pa.Array | None:
    try:
        # Parts of a microsecond may go; parts of a number may not.
        options = pc.CastOptions(kind, allow_time_truncate=pa.types.is_temporal(column.type))
        parsed = pc.cast(column, options=options)
    except pa.ArrowException:
        return None
    if kind == _TIME and len(parsed):
        span = pc.min_max(parsed)
        first, last = (span[end].value for end in ("min", "max"))
        if first is not None and not (
            _FIRST_TIME.astype(int) <= first and last <= _LAST_TIME.astype(int)
        ):
            return None
    if (parsed.null_count and not holes) or (
        pa.types.is_floating(kind) and not pc.all(pc.is_finite(parsed), min_count=0).as_py()
    ):
        return None
    return parsed
