"""What a table of a series holds, and the parameters that read it and learn from it."""

import itertools
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnnpipe.config.rewrite import Change, Survey, default_of, defaults_again
from rnnpipe.errors import SourceError, quoted, shown
from rnnpipe.pipeline.outputs import require_outside
from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.problems.forecasting.plan import TRAIN, Plan, plan, seasons_of
from rnnpipe.problems.forecasting.roles import (
    called_series,
    called_time,
    id_columns,
    is_number,
    reads_like_text,
    time_columns,
)
from rnnpipe.series.panel import Panel, few_ids, lengths_of, require_regular_steps
from rnnpipe.series.reading import Choices, read_panel
from rnnpipe.series.times import looks_like_times
from rnnpipe.storage.addresses import is_http, table_suffix
from rnnpipe.storage.csv_flags import csv_flags
from rnnpipe.storage.csv_format import CsvFormat
from rnnpipe.storage.guess import Writing, writing_of
from rnnpipe.storage.paths import path_in_project, paths_of
from rnnpipe.storage.reading import reading
from rnnpipe.storage.tables import read_batches, readable_columns

ETTH1 = "data/etth1.json"
# What ETTh1 asks for, and the parameter file says for it: no other series wants it.
OF_ETTH1: Mapping[str, Any] = {
    "train.members": 3,
    "train.linear_members": 1,
    "train.baseline_members": 1,
    "train.learning_rate": 0.0007,
}
_HEAD = 1000  # rows that say what a column holds
_MOST_COLUMNS = 200


def recognizes(source: str, options: Any) -> bool:
    """Whether a source is a table with what is a time, or called so, numbers, and nothing to read."""
    try:
        table = _table(source)
        writing = writing_of(table, options.quoting, options.escape, options.encoding)
        head = _head(table, writing.csv_format)
    except SourceError:  # who is asked to read it says what is wrong
        return False
    times = time_columns(head)
    rest = {name: column for name, column in head.items() if name not in times}
    has_time = times or options.time_column is not None or any(map(called_time, head))
    return (
        bool(has_time)
        and any(map(is_number, rest.values()))
        and not any(map(reads_like_text, rest.values()))
    )


def survey(source: str, values: Mapping[str, Any], options: Any) -> Survey:
    """Look at a table of a time and numbers.

    Args:
        source: its path, from the project's folder.
        values: of the parameter file as it stands; what it says of this very source is kept.
        options: what a person says: ``time_column``, ``series_column``, ``target``, ``steps``, ``season``,
            ``quoting``, ``escape``, ``encoding``; each None where it is to be found out.

    Raises:
        SourceError: it cannot be read, holds no times or numbers, has several readings, is not
            regular, or is too short.
    """
    table = _table(source)
    writing = writing_of(table, options.quoting, options.escape, options.encoding)
    place = path_in_project(source)
    same = (values.get("download") or {}).get("source") == place
    said = (values.get("prepare") or {}) if same else {}
    head = _head(table, writing.csv_format)
    times = [options.time_column] if options.time_column is not None else []
    times = times or time_columns(head)
    if not times:
        raise SourceError(
            f"{shown(source)}: no column holds times, such as 2016-07-01 13:00:00; expected one of times"
            " and one or more of numbers: name it by --time-column"
        )
    choices = Choices(
        options.target or (),
        **{name: said.get(name, "auto") for name in ("time_order", "step", "decimal", "thousands")},
        series_column=options.series_column or said.get("series_column", ""),
        advice="Name columns that are there by --target.",
    )
    if looks_like_times(pa.array([times[0].strip()], pa.large_string())):
        raise SourceError(
            f"{shown(source)} has no line of names: its first line reads like a row; put one above it"
        )
    panel = _read(table, source, times, head, writing.csv_format, choices)
    targets, left_out = list(choices.targets), {}
    if not choices.targets and (poor := _poor(panel, times[1:])):
        good = [name for name in panel.names if name not in poor]
        if not good:
            told = ", ".join(f"{quoted(name)} ({why})" for name, why in list(poor.items())[:5])
            raise SourceError(f"{shown(source)}: there is nothing to learn from: {told}")
        chosen = replace(choices, targets=good, series_column=panel.id_name)
        panel = read_panel(table, times[0], writing.csv_format, chosen)
        targets, left_out = good, poor
    require_regular_steps(panel, shown(source))
    try:
        found = plan(
            [part.values for part in panel.parts], panel.step, options.steps, options.season
        )
    except SourceError as error:
        raise SourceError(f"{shown(source)}: {error}") from None
    changes = tuple(_changes(place, panel, found, writing, values, targets))
    return Survey(
        tuple(_found(source, panel, found, times[1:], writing, left_out)),
        changes,
        (
            paths_of("forecasting").run,
            shlex.join(
                ["python", "-m", "rnnpipe", "forecast", source, *csv_flags(writing.csv_format)]
            ),
        ),
    )


def _read(
    table: Path,
    source: str,
    times: list[str],
    head: Mapping[str, pa.Array],
    csv_format: CsvFormat,
    choices: Choices,
) -> Panel:
    """Read the table: as one series, or, where times repeat, as the series that a column tells apart."""
    panel, fault = None, None
    try:
        panel = read_panel(table, times[0], csv_format, choices)
    except SourceError as error:  # ids, some of them numbers, are no numbers
        if choices.series_column:
            raise
        fault = error
    if panel and (choices.series_column or not _repeats(panel)):
        return panel
    rest = {name: column for name, column in head.items() if name not in (*times, *choices.targets)}
    candidates = id_columns(rest)
    irregular: Panel | None = None
    for name in candidates:
        try:
            found = read_panel(table, times[0], csv_format, replace(choices, series_column=name))
        except SourceError as error:
            fault = fault or (error if called_series(name) else None)
            continue
        if _repeats(found) or not _are_side_by_side(found):
            continue
        try:
            require_regular_steps(found, shown(source))
        except SourceError:
            irregular = irregular or found
            continue
        return found
    if irregular and not fault:
        return irregular
    if fault or panel is None:
        raise fault or SourceError(f"{shown(source)} cannot be read")
    parts = [name for name in rest if called_time(name)]
    if parts:
        raise SourceError(
            f"{shown(source)}: times come more than once, and {quoted(times[0])} and {quoted(parts[0])} look"
            " like two parts of the time: join them into one column, such as 2016-07-01 13:00"
        )
    moment, why = _first_repeated(panel)
    looked = f" (not {', '.join(map(quoted, candidates[:5]))})" if candidates else ""
    raise SourceError(
        f"{shown(source)}: times come more than once, {moment} first{why}, and no column tells the series"
        f" apart{looked}: name one by --series-column, or join those that do it together into one"
    )


def _repeats(panel: Panel) -> bool:
    zero = np.timedelta64(0, "us")
    return any((np.diff(part.times) == zero).any() for part in panel.parts)


def _are_side_by_side(panel: Panel) -> bool:
    """Whether series have three steps or more each, as a rule, and do not just follow one another."""
    if len(panel) < 3 * len(panel.ids):
        return False
    spans = sorted((part.times[0], part.times[-1]) for part in panel.parts)
    return len(spans) == 1 or any(
        later[0] <= before[1] for before, later in itertools.pairwise(spans)
    )


def _first_repeated(panel: Panel) -> tuple[str, str]:
    """The first time that comes twice, as the file writes it, and a reason where one is plain."""
    times = np.concatenate([part.times for part in panel.parts])
    again = times[1:][np.diff(times) == np.timedelta64(0, "us")]
    days = again.astype("datetime64[D]")
    sundays = (days.astype(np.int64) + 4) % 7 == 0
    autumn = np.isin(again.astype("datetime64[M]").astype(np.int64) % 12 + 1, (10, 11))
    (shown_time,) = panel.form.shown(again[:1])
    if not panel.step.whole_days and (sundays & autumn).all():
        return (
            shown_time,
            " (an hour of autumn comes twice in local time: write UTC, or the offset)",
        )
    return shown_time, ""


def _stands_still(values: NDArray[np.float64]) -> bool:
    known = values[np.isfinite(values)]
    return not len(known) or known.min() == known.max()


def _poor(panel: Panel, other_times: list[str]) -> dict[str, str]:
    """The columns of numbers from which nothing can be learnt, and why."""
    values = np.concatenate([part.values for part in panel.parts])
    found = {}
    for number, name in enumerate(panel.names):
        known = values[np.isfinite(values[:, number]), number]
        if name in other_times:
            found[name] = "times"
        elif all(_stands_still(part.values[:, number]) for part in panel.parts):
            found[name] = "always the same"
        elif 1 - len(known) / len(values) > default_of(
            ForecastingParams, "validate.max_missing_share"
        ):
            found[name] = f"{1 - len(known) / len(values):.0%} missing"
    return found


def _table(source: str) -> Path:
    if is_http(source):
        raise SourceError("found an address, expected a file here: download it first")
    require_outside(Path(source))
    with reading(Path(source), missing="name a file that is there"):
        table_suffix(source)
    return Path(source)


def _head(table: Path, csv_format: CsvFormat) -> dict[str, pa.Array]:
    """The first rows of the first columns, texts without spaces around."""
    names = list(dict.fromkeys(readable_columns(table, csv_format)))[:_MOST_COLUMNS]
    roles = {str(number): name for number, name in enumerate(names)}
    batches = read_batches(table, roles, advice="", times=True, csv_format=csv_format)
    first = next(batches, None)
    if first is None:
        raise SourceError(
            f"{shown(table)} has a header and no rows: expected one for each step of time"
        )
    found = {}
    for role, column in first.items():
        if pa.types.is_large_string(column.type):
            column = pc.utf8_trim_whitespace(pc.fill_null(column, ""))
        found[roles[role]] = column[:_HEAD]
    return found


def _found(
    source: str,
    panel: Panel,
    found: Plan,
    other_times: list[str],
    writing: Writing,
    poor: Mapping[str, str],
) -> Iterator[str]:
    times = np.concatenate([part.times for part in panel.parts])
    first, last = panel.form.shown(np.array([times.min(), times.max()]))
    many = lengths_of(panel) if panel.id_name else f"{len(panel):,} steps"
    yield f"{shown(source)}: {many} of {panel.step}, {first} to {last}; {writing.told}"
    for key, because in writing.why.items():
        if because:
            yield f"  {key} {getattr(writing.csv_format, key)}: {because}"
    yield f"  time    {quoted(panel.time_name)}"
    for name in other_times:
        yield f"          {quoted(name)} holds times too: --time-column {shlex.quote(name)}"
    if panel.id_name:
        yield f"  series  told apart by {quoted(panel.id_name)}: {few_ids(panel.ids)}"
    for name, why in list(poor.items())[:20]:
        yield f"          {quoted(name)} is left out ({why}): --target {shlex.quote(name)}"
    told = ", ".join(map(quoted, panel.names[:20]))
    more = f" and {len(panel.names) - 20:,} more" if len(panel.names) > 20 else ""
    yield f"  targets {told}{more}"
    for note in panel.form.notes:
        yield f"  {note}"
    if found.season > 1:
        yield f"  season  {found.season} steps, which the first {TRAIN:.0%} of the steps show clearly"
    else:
        looked = ", ".join(map(str, seasons_of(panel.step))) or "none that a calendar has"
        yield f"  season  none is clear (looked at: {looked})"
    parts = (
        f"learnt from the first {found.train:.0%}, chosen by the next {found.validation:.0%}, judged by"
        f" the last {found.test:.0%}"
        if found.train
        else f"of each series judged by the last {found.test:.0f}, chosen by the {found.validation:.0f}"
        " before them, learnt from the rest"
    )
    yield f"  {found.horizon} steps ahead from the {found.look_back} before; {parts}"
    needed = found.look_back + found.horizon + int(found.validation + found.test)
    short = [id_ for id_, part in zip(panel.ids, panel.parts, strict=True) if len(part) < needed]
    if panel.id_name and short:
        yield f"  too short to be learnt from ({needed:,} steps are needed): {few_ids(short)}"


def _changes(
    place: str,
    panel: Panel,
    found: Plan,
    writing: Writing,
    values: Mapping[str, Any],
    targets: list[str],
) -> Iterator[Change]:
    before = (values.get("download") or {}).get("source", ETTH1)
    yield Change("download.source", place, "as rnnpipe init found it")
    yield Change("prepare.time_column", panel.time_name, f"steps of {panel.step}")
    told = f"{len(panel.ids):,} series" if panel.id_name else "there is one series"
    yield Change("prepare.series_column", panel.id_name, told)
    if targets or before != place:
        told = "as was asked, or worth it" if targets else "all columns of numbers, less an index"
        yield Change("prepare.targets", targets, told)
    for key in ("quoting", "escape", "encoding"):
        because = writing.why.get(key) or "as the file is written"
        yield Change(f"prepare.{key}", getattr(writing.csv_format, key), because)
    if before != place:
        for key in ("time_order", "step", "decimal", "thousands"):
            yield Change(f"prepare.{key}", "auto", "found in the data")
        yield Change("validate.ranges", {}, "those of other columns mean nothing here")
    of = "of the steps" if found.train else "steps of each series"
    rest = "all before the last ones" if found.train is None else f"{of}, the first ones"
    yield Change("windows.train", found.train, rest)
    yield Change("windows.validation", found.validation, of)
    yield Change("windows.test", found.test, f"{of}, the last ones")
    yield Change(
        "windows.look_back", found.look_back, "some seasons, and more than is looked ahead"
    )
    yield Change(
        "windows.horizons", [found.horizon], "steps ahead: rnnpipe init --steps says others"
    )
    season = "shown by the data" if found.season > 1 else "none is clear"
    yield Change("windows.season", found.season, season)
    yield Change("train.segment", found.segment, "a season" if found.season > 1 else "a part of it")
    yield Change("train.level_steps", None, "a season")
    yield Change("train.batch_size", found.batch_size, "by the number of windows")
    for name in ("train.epochs", "train.patience", "register.max_validation_mse"):
        yield Change(name, None, "follows from the data")
    if before == ETTH1:
        yield from defaults_again(ForecastingParams, values, OF_ETTH1, "ETTh1")
