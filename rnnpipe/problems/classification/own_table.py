"""A table of one's own: columns, labels and splits by parameter, every row accounted for."""

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnnpipe.errors import SourceError, quoted, shown
from rnnpipe.problems.classification.labels import label_key, plain_value
from rnnpipe.problems.classification.own_labels import (
    LEFT_OUT,
    NO_LABEL,
    find_classes,
    left_out_keys,
    require_rows,
)
from rnnpipe.problems.classification.params import Prepare
from rnnpipe.problems.classification.reviews import (
    SPLITS,
    Prepared,
    Review,
    Split,
    TextSpool,
    digest_in_order,
    text_spool,
    write_reviews,
)
from rnnpipe.storage.csv_format import CsvFormat
from rnnpipe.storage.tables import read_batches
from rnnpipe.text.held_out import held_out, place_of

TEST_SHARE = 0.2
_SPLITS: tuple[str, ...] = SPLITS
_TRAIN, _TEST, _UNLABELLED = map(SPLITS.index, ("train", "test", "unlabelled"))
_MOST_LISTED = 10


def prepare_table(table: Path, out: Path, params: Prepare) -> Prepared:
    """Write the rows of a table of one's own to one parquet table.

    Labels are compared as :func:`label_key` has them, groups as text without the blanks around
    them. Rows are counted from 0, the first below the header, also those that are left out.

    Args:
        table: the file; its suffix says of which kind it is.
        out: the table; the schema is :data:`SCHEMA`, rows are sorted by id.
        params: the names of the columns, and which label is which class.

    Raises:
        SourceError: the file is broken, a column is missing, a value cannot be used, or the labels
            are no classes to tell apart.
        ParameterError: one label has two meanings.
    """
    table = Path(table)
    chosen = {
        "text": params.text_column,
        "label": params.label_column,
        "split": params.split_column,
        "group": params.group_column,
    }
    columns = {role: name for role, name in chosen.items() if name is not None}
    labels, groups, given = _Column(), _Column(), _Column()
    places = array("d")  # of each row's group, where the table does not say its split
    empty: list[int] = []  # rows
    with text_spool(out := Path(out)) as texts:
        for batch in read_batches(
            table,
            columns,
            advice="Set prepare.{role}_column in params.yaml",
            csv_format=CsvFormat(params.quoting, params.escape, params.encoding),
        ):
            for role, column in (("label", labels), ("group", groups), ("split", given)):
                if role in batch:
                    column.extend(batch[role])
            for text in _texts(table, batch["text"], len(texts), empty):
                if "split" not in batch:
                    group = groups[len(texts)] if "group" in batch else None
                    places.append(_test_place(group, text))
                texts.append(text)
        if not len(texts):
            raise SourceError(f"{shown(table)} has no rows below its header")
        left_out = left_out_keys(params.labels)
        empty = [row for row in empty if label_key(labels[row]) not in left_out]
        if empty:
            raise SourceError(
                f"{shown(table)}: found {len(empty):,} empty texts of {len(texts):,}, in row"
                f" {listed_rows(empty)}; expected a text in each: fill them, or delete the rows"
            )
        where = f"{shown(table)}, column {quoted(params.label_column)}"
        classes, numbers = find_classes(
            where, labels.values, labels.counts, labels.first_rows, params.labels
        )
        label_of = np.array(numbers, np.int8)[labels.codes]
        kept = label_of != LEFT_OUT
        splits = np.full(len(texts), _UNLABELLED, np.uint8)
        if "split" in columns:
            splits[kept] = _given_splits(table, given, label_of, params)
        else:
            labelled = label_of >= 0
            splits[labelled] = _TRAIN
            splits[labelled & _in_test(np.frombuffer(places), label_of)] = _TEST
        label_of[kept & (splits == _UNLABELLED)] = NO_LABEL
        require_rows(where, classes, label_of, splits, "split" in columns)
        rows = _TableRows(splits, label_of, groups if "group" in columns else None)
        digest = digest_in_order((path, texts.sha256(row)) for row, path in rows.paths(classes))
        left = int(np.count_nonzero(~kept))
        return write_reviews(out, rows.reviews(texts), texts, digest, classes, left)


def listed_rows(rows: Sequence[int]) -> str:
    """Name some rows, the first of them where there are many."""
    more = ", …" if len(rows) > _MOST_LISTED else ""
    return f"{', '.join(map(str, rows[:_MOST_LISTED]))}{more}"


class _Column:
    """A column's values as text, each distinct one kept once."""

    def __init__(self) -> None:
        self._codes = array("i")
        self._code_of: dict[str | None, int] = {}
        self.values: list[str | None] = []
        """The distinct ones, by their first row."""
        self.first_rows = array("q")
        """Of each of them."""

    def extend(self, cells: pa.Array) -> None:
        for cell in cells.to_pylist():
            value = plain_value(cell)
            code = self._code_of.setdefault(value, len(self.values))
            if code == len(self.values):
                self.values.append(value)
                self.first_rows.append(len(self._codes))
            self._codes.append(code)

    def __getitem__(self, row: int) -> str | None:
        return self.values[self._codes[row]]

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def codes(self) -> NDArray[np.int32]:
        """``int32[n]``: which of the distinct values each row has."""
        return np.frombuffer(self._codes, np.int32)

    @property
    def counts(self) -> list[int]:
        """How many rows each of the distinct values has."""
        counts: list[int] = np.bincount(self.codes, minlength=len(self.values)).tolist()
        return counts


def _texts(table: Path, column: pa.Array, first_row: int, empty: list[int]) -> list[bytes]:
    if not pa.types.is_large_string(column.type):
        raise SourceError(
            f"{shown(table)}: the text column holds {shown(column.type)}, expected text"
        )
    length = pc.utf8_length(pc.utf8_trim_whitespace(column))
    nothing = pc.equal(pc.fill_null(length, 0), 0).to_numpy(zero_copy_only=False)
    empty += (first_row + np.flatnonzero(nothing)).tolist()
    texts: list[bytes] = column.fill_null("").cast(pa.large_binary()).to_pylist()
    return texts


# What people call the splits, in lower case.
SPLIT_WORDS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "dev": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
    "unlabelled": "unlabelled",
    "unlabeled": "unlabelled",
    "unsup": "unlabelled",
}


def split_of(table: Path, row: int, column: str | None, written: str | None) -> Split:
    """Return the split that a cell names.

    Args:
        table: the file.
        row: counted from 0, the first below the header.
        column: its name, for the message.
        written: the cell, as :func:`plain_value` has it.

    Raises:
        SourceError: it names none.
    """
    split = SPLIT_WORDS.get((written or "").casefold())
    if split is None:
        found = "nothing" if written is None else quoted(written)
        raise SourceError(
            f"{shown(table)}, row {row}, column {quoted(column)}: found {found}, expected"
            f" {', '.join(SPLITS)}: write one of these, or do without the column, and have test"
            " chosen (prepare.split_column: null; init --split-column -)"
        )
    return split


def _given_splits(
    table: Path, column: _Column, labels: NDArray[np.int8], params: Prepare
) -> list[int]:
    """The split, as its place in SPLITS, of each row that is not left out."""
    splits: list[int] = []
    for row, label in enumerate(labels.tolist()):
        if label == LEFT_OUT:
            continue
        split = split_of(table, row, params.split_column, column[row])
        if label == NO_LABEL and split != "unlabelled":
            raise SourceError(
                f"{shown(table)}, row {row}, column {quoted(params.split_column)}: {split}, but the"
                " row has no label; label it or write unlabelled"
            )
        splits.append(_SPLITS.index(split))
    return splits


def _in_test(places: NDArray[np.float64], labels: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Which rows become test, by the places of their groups; none of those that are left out."""
    chosen, kept = np.zeros(len(places), bool), labels != LEFT_OUT
    chosen[kept] = held_out(places[kept], TEST_SHARE, "test", labels[kept])
    return chosen


def _test_place(film: str | None, text: bytes) -> float:
    """The place of a row's group, else of its text, by which one row in five becomes test."""
    # The prefix keeps it independent of the hash that chooses validation.
    return place_of(b"test:" + (film.encode() if film is not None else text))


class _TableRows:
    """The rows of a table but for their texts.

    Args:
        splits: ``uint8[n]``, places in :data:`SPLITS`.
        labels: ``int8[n]``, :data:`NO_LABEL` where a row is unlabelled.
        films: the groups, if there are any.
    """

    def __init__(
        self, splits: NDArray[np.uint8], labels: NDArray[np.int8], films: _Column | None
    ) -> None:
        self._splits = splits
        self._labels = labels
        self._films = films

    def paths(self, classes: tuple[str, ...]) -> Iterator[tuple[int, str]]:
        """Yield each row with its path as a review of an archive, in the order of the paths."""
        folders: dict[str, NDArray[np.int64]] = {}
        for number, split in enumerate(SPLITS):
            # What is unlabelled has no class, though one may be called unsup.
            for label in [NO_LABEL] if split == "unlabelled" else range(len(classes)):
                # A class may be called by any signs; as quoted, they order as their bytes do.
                kind = "unsup" if label == NO_LABEL else quote(classes[label], safe="")
                here = np.flatnonzero((self._splits == number) & (self._labels == label))
                folders[f"{split}/{kind}/"] = here
        for folder in sorted(folders):
            for row in folders[folder].tolist():
                yield row, f"{folder}{_row_id(row)}"

    def reviews(self, texts: TextSpool) -> Iterator[Review]:
        """Yield the rows in the order of their ids."""
        for row in np.flatnonzero(self._labels != LEFT_OUT).tolist():
            label = int(self._labels[row])
            film = self._films[row] if self._films else None
            sha256, text = texts[row]
            split = SPLITS[self._splits[row]]
            known = None if label == NO_LABEL else label
            yield Review(_row_id(row), split, known, None, film, text, sha256)


def _row_id(row: int) -> str:
    return f"row/{row:08}"
