"""Which columns of a table hold times, tell series apart, or are to be read: by names and first cells."""

import re
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from rnnpipe.series.columns import bare
from rnnpipe.series.numbers import is_numeric
from rnnpipe.series.times import looks_like_times

# What a column of times is called, as a whole or by a word of several; and one that tells series apart.
_CALLED_TIME = re.compile(
    r"(?<![^\W\d_])(?:dates?|times?|timestamp|datetime|ds|ts|tstp|epoch|yyyymm|days?|months?|weeks?|years?"
    r"|quarter|hour|he|period|datum|zeit|uhrzeit|tag|monat|jahr|stunde|fecha|hora|mes|data|heure|jour|mois"
    r"|annee|année|tid|vecka|kvartal|tz|timezone|weekday)(?![^\W\d_])"
)
_CALLED_SERIES = re.compile(
    r"(?<![^\W\d_])(?:unique|id|series|key|name|store|shop|item|sku|product|station|country)(?![^\W\d_])"
)
# On average; a column of more is to be read, and tells nothing apart. Letters are those of scripts that
# may part no words.
_WORDS_OF_A_TEXT, _LETTERS_OF_A_TEXT = 3.0, 8.0


def called_time(name: str) -> bool:
    """Whether a column is called like a time or a part of one."""
    return bool(_CALLED_TIME.search(name.casefold()))


def called_series(name: str) -> bool:
    """Whether a column is called like what tells series apart."""
    return bool(_CALLED_SERIES.search(name.casefold()))


def time_columns(head: Mapping[str, pa.Array]) -> list[str]:
    """Return the columns that may hold times, the likeliest first: called so, not of digits alone, leftmost."""
    ranked = []
    for number, (name, column) in enumerate(head.items()):
        called = called_time(name)
        if pa.types.is_temporal(column.type):
            ranked.append((0, not called, number, name))
            continue
        texts = column if pa.types.is_large_string(column.type) else _written(column)
        if texts is None or not looks_like_times(texts):
            continue
        digits = pc.all(pc.match_substring_regex(texts, r"^[0-9.]*$")).as_py()
        epoch = pc.all(pc.match_substring_regex(texts, r"^1[0-9]{9}(?:[0-9]{3})?$")).as_py()
        if called or epoch or not digits:  # a number of four digits may be anything
            ranked.append((int(digits), not called, number, name))
    return [name for *_, name in sorted(ranked)]


def id_columns(head: Mapping[str, pa.Array]) -> list[str]:
    """Return the columns that may tell series apart, the likeliest first: called so, of text, leftmost.

    None that is the only one of numbers, that differs from row to row, or is called like a part of a
    time.
    """
    numbers = [name for name, column in head.items() if is_number(column)]
    ranked = []
    for number, (name, column) in enumerate(head.items()):
        called = called_series(name)
        differs = len(column) > 2 and pc.count_distinct(column).as_py() == len(column)
        if numbers == [name] or differs or called_time(name):
            continue
        if pa.types.is_large_string(column.type):
            whole = pc.all(pc.match_substring_regex(column, r"^[0-9]+$")).as_py()
            letters = pc.any(pc.match_substring_regex(column, "[A-Za-z]")).as_py()
            may = name not in numbers or called or whole or letters
        elif pa.types.is_floating(column.type):
            may = called and pc.all(pc.equal(column, pc.round(column))).as_py()
        else:
            may = pa.types.is_integer(column.type)
        if may:
            ranked.append((not called, name in numbers, number, name))
    return [name for *_, name in sorted(ranked)]


def reads_like_text(column: pa.Array) -> bool:
    """Whether most cells of a column hold several words each."""
    if not pa.types.is_large_string(column.type) or is_number(column):
        return False
    told = column.filter(pc.not_equal(column, ""))
    words = pc.mean(pc.count_substring_regex(told, r"\S+")).as_py() or 0.0
    letters = pc.mean(pc.count_substring_regex(told, r"[^\x00-\x7f]")).as_py() or 0.0
    long = words >= _WORDS_OF_A_TEXT or letters >= _LETTERS_OF_A_TEXT
    return bool(long and 2 * len(told) >= len(column))


def is_number(column: pa.Array) -> bool:
    """Whether a column holds numbers, or texts that read as such."""
    if pa.types.is_large_string(column.type):
        return is_numeric(bare(pa.chunked_array([column]))[0])
    return bool(pa.types.is_integer(column.type) or pa.types.is_floating(column.type))


def _written(column: pa.Array) -> pa.Array | None:
    """Numbers as texts; None of what are no whole numbers."""
    if not pa.types.is_integer(column.type):
        return None
    return pc.fill_null(column.cast(pa.large_string()), "")
