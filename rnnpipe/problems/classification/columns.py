"""What stands in the columns of a table, and which of them is what: by content, and by name."""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rnnpipe.errors import SourceError, quoted, shown
from rnnpipe.problems.classification.classes import MOST_CLASSES
from rnnpipe.problems.classification.labels import is_number, label_key, plain_value
from rnnpipe.problems.classification.own_table import SPLIT_WORDS
from rnnpipe.storage.csv_format import CsvFormat
from rnnpipe.storage.table_checks import listed_columns
from rnnpipe.storage.tables import read_batches, readable_columns

MOST_COLUMNS = 200  # that are looked at, of wider tables
_MOST_VALUES = 1_000  # that are counted one by one
_LONGEST_VALUE = 200  # characters of one that is counted
_MOST_HASHED = 2_000_000  # rows; beyond them a column is judged by these
_SAMPLE = 200  # texts of a batch whose letters are looked at

# Words of a column's name, the surest first.
_TEXT_NAMES = (
    "text texts review reviews comment comments body content message tweet sentence post feedback"
    " utterance texto commentaire kommentar отзыв текст 评论 内容 文本",
    "description abstract document article question answer transcript opinion narrative passage",
)
_NO_TEXT_NAMES = frozenset(["title", "titles", "summary", "headline", "subject", "name"])
# Beside these a text's name says whose they are: review_id, tweet_created, comment_count.
_OF_A_TEXT = (
    "id ids uuid guid date time datetime timestamp created updated at url count length lang language",
)
_LABEL_NAMES = (
    "label labels class category sentiment target polarity y intent emotion gold verdict outcome"
    " etiqueta klasse метка 标签",
    "stars star rating ratings score overall recommended recommend recommends grade rate spam toxic"
    " positive topic tag note",
)
_SPLIT_NAMES = ("split splits set subset fold partition",)
_GROUP_NAMES = (
    "author user username reviewer customer writer speaker patient account uid",
    "product film movie item asin business hotel restaurant book store url link domain thread session"
    " source site channel group document company",
)


class Column:
    """What stands in one column."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows = self.empty = self.characters = self.words = 0
        self.is_text = self.is_time = False
        self._letters = self._ascii = self._sampled = 0
        self._values: Counter[str] | None = Counter()
        self._hashes = array("q")

    def add(self, cells: pa.Array) -> None:
        """Take in the next rows."""
        self.rows += len(cells)
        if pa.types.is_temporal(cells.type):
            self.is_time = True
            self._values = None
            return
        if pa.types.is_large_string(cells.type):
            self.is_text = True
            cells = pc.utf8_trim_whitespace(cells)
            cells = pc.if_else(pc.equal(cells, ""), None, cells)
            self.characters += pc.sum(pc.utf8_length(cells)).as_py() or 0
            blanks = pc.sum(pc.count_substring(cells, " ")).as_py() or 0
            self.words += blanks + len(cells) - cells.null_count
            sample = "".join(text for text in cells[:_SAMPLE].to_pylist() if text)
            self._sampled += len(sample)
            letters = "".join(filter(str.isalpha, sample))
            self._letters += len(letters)
            self._ascii += sum(map(str.isascii, letters))
        self.empty += cells.null_count
        values = cells.drop_null().to_pylist()
        if len(self._hashes) < _MOST_HASHED:
            self._hashes.extend(map(hash, values))
        if self._values is not None:
            self._count(values)

    def _count(self, values: Sequence[Any]) -> None:
        assert self._values is not None
        for value, count in Counter(values).items():
            if (text := plain_value(value)) is None:
                self.empty += count
                continue
            self._values[text] += count
            if len(text) > _LONGEST_VALUE or len(self._values) > _MOST_VALUES:
                self._values = None
                return

    @property
    def filled(self) -> int:
        """Rows with something in it."""
        return self.rows - self.empty

    @property
    def distinct(self) -> int:
        """How many different values there are, of the rows that were looked at."""
        return len(np.unique(np.frombuffer(self._hashes, np.int64))) if self._hashes else 0

    @property
    def is_unique(self) -> bool:
        """Whether no value stands twice, and none is missing."""
        return self.rows > 1 and not self.empty and self.distinct == len(self._hashes)

    @property
    def mean_characters(self) -> float:
        """Of those that are not empty."""
        return self.characters / max(1, self.filled)

    @property
    def mean_words(self) -> float:
        """Of those that are not empty, parted by blanks."""
        return self.words / max(1, self.filled)

    @property
    def share_of_letters(self) -> float:
        """Of the characters in a sample; marks and blanks are none."""
        return self._letters / max(1, self._sampled)

    @property
    def is_beyond_ascii(self) -> bool:
        """Whether most letters in the sample are no ASCII."""
        return 2 * self._ascii < self._letters

    def classes(self) -> dict[str, tuple[str, int]] | None:
        """Each label, as cells are compared, with how it is mostly written, and its rows.

        None where there are far too many.
        """
        if self._values is None:
            return None
        found: dict[str, tuple[str, int]] = {}
        for written, count in self._values.most_common():
            key = label_key(written) or ""
            first, before = found.get(key, (written, 0))
            found[key] = (first, before + count)
        return found

    @property
    def splits(self) -> frozenset[str]:
        """The splits that its values name, if all of them name one and none is missing."""
        if not self._values or self.empty:
            return frozenset()
        named = [SPLIT_WORDS.get(value.casefold()) for value in self._values]
        return frozenset() if None in named else frozenset(filter(None, named))

    @property
    def is_numbers(self) -> bool:
        """Whether all that was counted is numbers; or, of a great many, what the type says."""
        if self._values is None:
            return not self.is_text and not self.is_time
        return bool(self._values) and all(map(is_number, self._values))


def columns_of(table: Path, csv_format: CsvFormat) -> dict[str, Column]:
    """Look through a table once; of a very wide one through its first columns.

    Raises:
        SourceError: it cannot be read.
    """
    names = readable_columns(table, csv_format)[:MOST_COLUMNS]
    found = {name: Column(name) for name in names}
    if not names:
        raise SourceError(
            f"{shown(table)} has no column that can be read; expected text and a label"
        )
    reads = {name: name for name in names}
    for batch in read_batches(table, reads, advice="", times=True, csv_format=csv_format):
        for name, cells in batch.items():
            found[name].add(cells)
    return found


def _words(name: str) -> list[str]:
    """The words of a column's name: of ``reviewText``, ``review_text``, ``Review Text``.

    >>> _words("airline_sentiment"), _words("reviewerID"), _words("XMLText2")
    (['airline', 'sentiment'], ['reviewer', 'id'], ['xml', 'text'])
    """
    parted = re.sub(r"([a-z])([A-Z])|([A-Z])([A-Z][a-z])", r"\1\3 \2\4", name)
    return [word.casefold() for word in re.findall(r"[^\W\d_]+", parted)]


def _tier(name: str, tiers: Sequence[str]) -> int:
    """How surely a name says so: 0 not at all."""
    words = _words(name)
    for number, names in enumerate(tiers):
        if not set(words).isdisjoint(names.split()):
            return len(tiers) - number
    return 0


def text_columns(table: Path, columns: Mapping[str, Column]) -> list[str]:
    """Choose the column of texts, and name others behind it that read like text.

    Raises:
        SourceError: there is none, or several are as good.
    """
    ranked = []
    for column in columns.values():
        named = 0 if _tier(column.name, _OF_A_TEXT) else _tier(column.name, _TEXT_NAMES)
        if _reads_like_text(column, named):
            seldom = not _NO_TEXT_NAMES.isdisjoint(_words(column.name))
            rank = named - 0.5 * seldom
            ranked.append((rank, column.mean_characters, column.name))
    if not ranked:
        raise SourceError(
            f"{shown(table)}: no column reads like text; found {listed_columns(columns)}: name it by"
            " --text-column"
        )
    ranked.sort(reverse=True)
    best, characters, _ = ranked[0]
    equal = [other for rank, length, other in ranked if rank == best and length > characters / 2]
    if len(equal) > 1:
        raise _several(table, "text", equal, "read like text")
    return [name for *_, name in ranked]


def _reads_like_text(column: Column, named: int) -> bool:
    if not column.is_text or column.is_numbers or not column.filled:
        return False
    if column.share_of_letters < 0.4 and not named:
        return False
    if column.filled > 20 and column.distinct <= max(2, 0.02 * column.filled):
        return False
    if named:
        return column.mean_words > 1.2 or 2 * column.distinct > column.filled
    # Chinese, Japanese and Thai have no blanks; nor have addresses and keys.
    return column.mean_words >= 3 or (column.is_beyond_ascii and column.mean_characters >= 10)


def label_column(table: Path, columns: Mapping[str, Column], csv_format: CsvFormat) -> str:
    """Choose the column of labels, among those that are nothing else.

    Raises:
        SourceError: there is none, or several are as good, and not one and the same.
    """
    named = {column.name: _tier(column.name, _LABEL_NAMES) for column in columns.values()}
    fits = [name for name, column in columns.items() if _holds_classes(column, named[name])]
    if not fits:
        # What is called so, and cannot be one, says why.
        for name in sorted(named, key=lambda name: -named[name]):
            if named[name] or len(columns) == 1:
                require_classes(table, columns[name])
        raise SourceError(
            f"{shown(table)}: no column holds labels, which are 2 to {MOST_CLASSES} values that repeat;"
            f" found {listed_columns(columns)}: name it by --label-column"
        )
    best = max(named[name] for name in fits)
    equal = [name for name in fits if named[name] == best]
    if len(equal) > 1:
        equal = _one_of_the_same(table, columns, equal, csv_format)
    if len(equal) > 1:
        raise _several(table, "label", equal, "hold a few values that repeat")
    return equal[0]


def _holds_classes(column: Column, named: int) -> bool:
    classes = column.classes()
    if classes is None or column.is_time or column.splits >= {"train", "test"}:
        return False
    if not 2 <= len(classes) <= MOST_CLASSES:
        return False
    return named > 0 or column.filled >= 5 * len(classes)


def require_classes(table: Path, column: Column) -> dict[str, tuple[str, int]]:
    """Return a column's classes; refuse what no classes are.

    Raises:
        SourceError: one value alone, or a great many.
    """
    classes = column.classes()
    what = f"{shown(table)}, column {quoted(column.name)}"
    if classes is None or len(classes) > MOST_CLASSES:
        kind = "numbers" if column.is_numbers else "values"
        count = "times" if column.is_time else f"{column.distinct:,} different {kind}"
        hint = (
            "a regression? rnnpipe tells classes apart: map ranges of them to a class each"
            if column.is_numbers
            else "name another column by --label-column, or write broader classes"
        )
        raise SourceError(f"{what}: found {count}, expected 2 to {MOST_CLASSES} labels; {hint}")
    if len(classes) < 2:
        found = f"only {quoted(next(iter(classes.values()))[0])}" if classes else "nothing"
        raise SourceError(
            f"{what}: found {found}, expected two labels or more: there is nothing to tell apart; name"
            " another column by --label-column"
        )
    return classes


def _one_of_the_same(
    table: Path, columns: Mapping[str, Column], names: Sequence[str], csv_format: CsvFormat
) -> list[str]:
    """Of columns that say the same in other words, as 1 and positive, the first in words."""
    reads = {name: name for name in names}
    pairs: dict[str, set[tuple[str | None, str | None]]] = {name: set() for name in names}
    for batch in read_batches(table, reads, advice="", csv_format=csv_format):
        cells = {name: [label_key(cell) for cell in batch[name].to_pylist()] for name in names}
        for name in names:
            pairs[name].update(zip(cells[names[0]], cells[name], strict=True))
    for found in pairs.values():
        if not len(found) == len({a for a, _ in found}) == len({b for _, b in found}):
            return list(names)
    return [next((name for name in names if not columns[name].is_numbers), names[0])]


def split_column(table: Path, columns: Mapping[str, Column]) -> str | None:
    """Choose the column that says train and test, if there is one.

    Raises:
        SourceError: several are as good.
    """
    fits = [column.name for column in columns.values() if column.splits >= {"train", "test"}]
    named = [name for name in fits if _tier(name, _SPLIT_NAMES)]
    equal = named or fits
    if len(equal) > 1:
        raise _several(table, "split", equal, "say train and test")
    return equal[0] if equal else None


def called_split(columns: Mapping[str, Column]) -> list[str]:
    """Name the columns that are called like a split, whatever their values say."""
    return [n for n, c in columns.items() if _tier(n, _SPLIT_NAMES) and c.classes() is not None]


def group_columns(columns: Mapping[str, Column]) -> list[str]:
    """Name the columns that tie rows together: called like an author or a product, and repeated."""
    found = []
    for column in columns.values():
        tier = _tier(column.name, _GROUP_NAMES)
        distinct = column.distinct
        repeats = column.filled >= 1.1 * distinct and distinct > 1
        if tier and repeats and not column.is_time and column.mean_words < 20:
            # Few large groups make poor splits.
            found.append((distinct >= 20, tier, column.filled / distinct, column.name))
    return [name for *_, name in sorted(found, reverse=True)]


def id_column(columns: Mapping[str, Column]) -> str | None:
    """Name the column that tells rows apart, if there is one."""
    for column in columns.values():
        if column.is_unique and column.mean_words <= 1.0 and not column.is_time:
            return column.name
    return None


def without_names(table: Path, columns: Mapping[str, Column], separator: str) -> str | None:
    """Say that a table's first line holds no names but a row, if it looks so."""
    if [name for name in columns if name] == list(map(str, range(sum(map(bool, columns))))):
        return None  # pandas counts columns that have no names
    texts = values = 0
    for name, column in columns.items():
        counted = column.classes() or {}
        is_value = is_number(name) or counted.get(label_key(name) or "", ("", 0))[1] > 1
        values += is_value
        texts += not is_value and (len(name) > 80 or len(name.split()) > 7)
    # Long names alone are the questions of a survey.
    if not values or 2 * (texts + values) < len(columns):
        return None
    longest = max(columns.values(), key=lambda column: column.mean_characters).name
    names = []
    labelled = False
    for number, (name, column) in enumerate(columns.items(), start=1):
        is_label = name != longest and not labelled and _holds_classes(column, 0)
        labelled |= is_label
        names.append("text" if name == longest else "label" if is_label else f"column{number}")
    return (
        f"{shown(table)} has no line of names: its first line reads like a row; put one above it, such"
        f" as {separator.join(names)}; if it does hold names, say which is the text by --text-column"
    )


def _several(table: Path, role: str, names: Iterable[str], why: str) -> SourceError:
    listed = " and ".join(quoted(name) for name in names)
    return SourceError(
        f"{shown(table)}: the columns {listed} {why} alike; say which is the {role} by --{role}-column"
    )
