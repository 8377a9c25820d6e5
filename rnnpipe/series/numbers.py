"""Columns of numbers as people write them: which marks stand before fractions and within thousands."""

from collections.abc import Collection, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from rnnpipe.errors import SourceError, quoted

Marks = tuple[str, str]  # before a fraction, and within thousands ("": none)

PLAIN: Marks = (".", "")
_SPACES = (" ", "\u00a0", "\u202f")
_APOSTROPHES = ("'", "\u2019")
_ALL: tuple[Marks, ...] = (
    PLAIN,
    (",", ""),
    (".", ","),
    (",", "."),
    *((decimal, mark) for mark in (*_SPACES, *_APOSTROPHES) for decimal in (".", ",")),
)
_MISSING = pa.array(
    [
        "",
        "nan",
        "na",
        "n/a",
        "null",
        "none",
        "#n/a",
        "<na>",
        "-",
        "--",
        "---",
        ".",
        "..",
        "...",
        "?",
        "#div/0!",
        "#value!",
        "#ref!",
    ],
    pa.large_string(),
)
_SIGNS = (".", ",", *_SPACES, *_APOSTROPHES)
_SIGN, _POWER = r"[+-]?", r"(?:[eE][+-]?\d+)?"
_NAMED = r"(?i:inf|infinity)"


def _pattern(marks: Marks) -> str:
    decimal, thousands = (f"[{mark}]" if mark else "" for mark in marks)
    if not thousands:
        return rf"^{_SIGN}(?:\d+(?:{decimal}\d*)?|{decimal}\d+|{_NAMED}){_POWER}$"
    grouped = rf"[1-9]\d{{0,2}}(?:{thousands}\d{{3}})+|\d{{1,3}}"
    return rf"^{_SIGN}(?:{grouped})(?:{decimal}\d*)?$"


_ANY = "|".join(_pattern(marks) for marks in _ALL)


def is_numeric(column: pa.ChunkedArray) -> bool:
    """Whether a column of text holds numbers, but for less than half of its cells that say anything."""
    told = column.filter(_told(column))
    if not len(told):
        return False
    found = pc.sum(pc.match_substring_regex(told, _ANY)).as_py()
    return bool(2 * found >= len(told))


def is_missing(column: pa.Array) -> pa.Array:
    """Which cells of a column of text say that there is no number, ``bool[n]``."""
    return pc.is_in(pc.utf8_lower(pc.fill_null(column, "")), _MISSING)


def _told(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.invert(is_missing(column))


def find_marks(
    where: str,
    columns: Mapping[str, pa.ChunkedArray],
    decimal: str = "auto",
    thousands: str = "auto",
    likely: Marks | None = None,
    usual: Collection[Marks] = (PLAIN,),
) -> Marks:
    """Find the marks of a file's numbers: those by which all of its cells can be read.

    Args:
        where: how an error begins: the file.
        columns: of text, those that hold numbers, without spaces around.
        decimal: the parameter: a mark, or ``auto``.
        thousands: the parameter: a mark, ``none``, or ``auto``.
        likely: the marks to take of several that fit; None: not known.
        usual: marks that are taken where all cells of a column have them, or none.

    Returns:
        Where no marks fit all cells, those that fit most: the cell is for the caller to name.

    Raises:
        SourceError: two readings fit: the message names both and the parameters.
    """
    allowed = [
        marks
        for marks in _ALL
        if decimal in ("auto", marks[0]) and thousands in ("auto", marks[1] or "none")
    ]
    if not allowed:
        raise SourceError(
            f"prepare.decimal and prepare.thousands are both {decimal!r}: expected two marks"
        )
    told = {name: column.filter(_told(column)) for name, column in columns.items()}
    present = {mark for mark in _SIGNS if any(_stands(column, mark) for column in told.values())}
    # A mark that stands nowhere reads like none.
    effects: dict[Marks, Marks] = {}
    for decimal_mark, mark in allowed:
        effect = (decimal_mark if decimal_mark in present else "", mark if mark in present else "")
        if bool(effect[1]) == bool(mark):
            effects.setdefault(effect, (decimal_mark, mark))
    candidates = list(effects.values()) or allowed
    misfits = dict.fromkeys(candidates, 0)
    for marks in candidates:
        for column in told.values():
            fits = pc.sum(pc.match_substring_regex(column, _pattern(marks)), min_count=0).as_py()
            misfits[marks] += len(column) - fits
    fewest = min(misfits.values())
    found = [marks for marks in candidates if misfits[marks] == fewest]
    if fewest or len(found) == 1:
        return found[0]
    if likely in found:
        return likely
    for marks in found:
        # Read otherwise, each number would be a thousand times as large, and all of them alike.
        if marks in usual and not _in_part(told, marks[0]):
            return marks
    name, cell = _example(told, found)
    one, two = (f"{_value(cell, marks)} ({_words(marks)})" for marks in found[:2])
    raise SourceError(
        f"{where}, column {quoted(name)}: found {quoted(cell)}, which is {one} or {two}: say which by"
        " prepare.decimal and prepare.thousands in the pipeline's params.yaml"
    )


def _stands(column: pa.ChunkedArray, mark: str) -> bool:
    return bool(pc.any(pc.match_substring(column, mark), min_count=0).as_py())


def _in_part(told: Mapping[str, pa.ChunkedArray], mark: str) -> bool:
    """Whether in some column some cells have a mark and others have none."""
    for column in told.values():
        marked = pc.sum(pc.match_substring(column, mark), min_count=0).as_py()
        if 0 < marked < len(column):
            return True
    return False


def _example(told: Mapping[str, pa.ChunkedArray], readings: list[Marks]) -> tuple[str, str]:
    """The first cell that two readings read differently, and its column."""
    one, two = readings[:2]
    for name, column in told.items():
        differs = pc.not_equal(plain(column, one), plain(column, two))
        at = pc.index(differs, True).as_py()
        if at >= 0:
            return name, column[at].as_py()
    raise AssertionError("two readings of the same numbers")


def _value(cell: str, marks: Marks) -> str:
    return str(plain(pa.chunked_array([pa.array([cell], pa.large_string())]), marks)[0])


def _words(marks: Marks) -> str:
    decimal, thousands = marks
    return f"decimal {decimal!r}, thousands {thousands or 'none'!r}"


def plain(column: pa.ChunkedArray, marks: Marks) -> pa.ChunkedArray:
    """Write numbers with a point and no marks within thousands."""
    decimal, thousands = marks
    if thousands:
        column = pc.replace_substring(column, thousands, "")
    return column if decimal == "." else pc.replace_substring(column, ",", ".")
