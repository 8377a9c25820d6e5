"""A table of one's own: columns, labels and splits by parameter, every row accounted for."""

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rnnpipe.errors import SourceError, quoted, shown
from rnnpipe.problems.classification.labels import label_key, labels_of, plain_value
from rnnpipe.problems.classification.params import Prepare
from rnnpipe.problems.classification.reviews import (
    LABELS,
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
_MOST_LISTED = 10


def prepare_table(table: Path, out: Path, params: Prepare) -> Prepared:
    """Write the reviews of a CSV (UTF-8, commas) or parquet file to one parquet table.

    Labels are compared as :func:`label_key` has them, groups as text without the blanks around
    them. Rows are counted from 0, the first below the header.

    Args:
        table: the file; its suffix, ``.csv`` or ``.parquet``, says which.
        out: the table; the schema is :data:`SCHEMA`, rows are sorted by id.
        params: the names of the columns, and which label value means what.

    Raises:
        SourceError: the file is broken, a column is missing, or a value cannot be used.
    """
    table = Path(table)
    chosen = {
        "text": params.text_column,
        "label": params.label_column,
        "split": params.split_column,
        "group": params.group_column,
    }
    columns = {role: name for role, name in chosen.items() if name is not None}
    labels, groups, given = _Column(label_key), _Column(), _Column()
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
        if empty:
            listed = ", ".join(map(str, empty[:_MOST_LISTED]))
            more = ", …" if len(empty) > _MOST_LISTED else ""
            raise SourceError(
                f"{shown(table)}: found {len(empty):,} empty texts of {len(texts):,}, in row"
                f" {listed}{more}; expected a text in each: fill them, or delete the rows"
            )
        meanings = _meanings(table, labels, params)
        if "split" in columns:
            splits = _given_splits(table, given, labels, params)
        else:
            in_test = held_out(np.frombuffer(places), TEST_SHARE, "test")
            splits = bytearray(
                np.where(in_test, SPLITS.index("test"), SPLITS.index("train")).astype(np.uint8)
            )
        rows = _TableRows(splits, labels, meanings, groups if "group" in columns else None)
        digest = digest_in_order((path, texts.sha256(row)) for row, path in rows.paths())
        return write_reviews(out, rows.reviews(texts), texts, digest)


class _Column:
    """A column's values as text, each distinct one kept once."""

    def __init__(self, plain: Callable[[Any], str | None] = plain_value) -> None:
        self._plain = plain
        self._codes = array("i")
        self._code_of: dict[str | None, int] = {}
        self._values: list[str | None] = []

    def extend(self, cells: pa.Array) -> None:
        for cell in cells.to_pylist():
            value = self._plain(cell)
            code = self._code_of.setdefault(value, len(self._values))
            if code == len(self._values):
                self._values.append(value)
            self._codes.append(code)

    def __getitem__(self, row: int) -> str | None:
        return self._values[self._codes[row]]

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def distinct(self) -> set[str]:
        return {value for value in self._values if value is not None}

    def first_row(self, value: str) -> int:
        return self._codes.index(self._code_of[value])


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


def _meanings(table: Path, column: _Column, params: Prepare) -> dict[str | None, int | None]:
    """The label, 0 or 1, that each of a column's values stands for; None for none."""
    distinct, meaning = column.distinct, labels_of(params.labels)
    foreign = sorted(distinct - meaning.keys())
    if foreign:
        told = ", ".join(
            f"{quoted(value)} (row {column.first_row(value)})" for value in foreign[:3]
        )
        known = ", ".join(map(quoted, list(meaning)[:10]))
        classes = (
            f" The column holds {len(distinct)} different labels; rnnpipe learns two classes:"
            " map several to one class, or leave the other rows out."
            if len(distinct) > 2
            else ""
        )
        raise SourceError(
            f"{shown(table)}, column {quoted(params.label_column)}: no meaning is known of {told};"
            f" known: {known[:300]}.{classes}"
            " Set prepare.labels in params.yaml"
        )
    classes_found = {meaning[value] for value in distinct}
    if len(classes_found) < 2:
        raise SourceError(
            f"{shown(table)}, column {quoted(params.label_column)}: found"
            f" {'only ' + classes_found.pop() if classes_found else 'no'} labels, expected both"
            " neg and pos: there is nothing to tell apart"
        )
    return {None: None} | {value: LABELS[meaning[value]] for value in distinct}


# What people call the splits, in lower case.
SPLIT_WORDS = {
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


def _given_splits(table: Path, column: _Column, labels: _Column, params: Prepare) -> bytearray:
    splits = bytearray()
    for row in range(len(column)):
        written, label = column[row], labels[row]
        split = SPLIT_WORDS.get((written or "").casefold())
        where = f"{shown(table)}, row {row}, column {quoted(params.split_column)}"
        if split is None:
            found = "nothing" if written is None else quoted(written)
            raise SourceError(f"{where}: found {found}, expected {', '.join(SPLITS)}")
        if label is None and split != "unlabelled":
            raise SourceError(
                f"{where}: {split}, but the row has no label; label it or write unlabelled"
            )
        splits.append(_SPLITS.index(split))
    return splits


def _test_place(film: str | None, text: bytes) -> float:
    """The place of a row's group, else of its text, by which one row in five becomes test."""
    # The prefix keeps it independent of the hash that chooses validation.
    return place_of(b"test:" + (film.encode() if film is not None else text))


class _TableRows:
    """The rows of a table but for their texts."""

    def __init__(
        self,
        splits: bytearray,
        labels: _Column,
        meanings: dict[str | None, int | None],
        films: _Column | None,
    ) -> None:
        self._splits = splits
        self._labels = labels
        self._meanings = meanings
        self._films = films

    def _side(self, row: int) -> tuple[Split, int | None]:
        """A row's split, and its label where the split has any."""
        split, label = SPLITS[self._splits[row]], self._meanings[self._labels[row]]
        return ("unlabelled", None) if label is None or split == "unlabelled" else (split, label)

    def paths(self) -> Iterator[tuple[int, str]]:
        """Yield each row with its path as a review of an archive, in the order of the paths."""
        rows: dict[str, array[int]] = {}
        for row in range(len(self._labels)):
            split, label = self._side(row)
            kind = "unsup" if label is None else ("neg", "pos")[label]
            rows.setdefault(f"{split}/{kind}", array("q")).append(row)
        for folder in sorted(rows):
            for row in rows[folder]:
                yield row, f"{folder}/{_row_id(row)}"

    def reviews(self, texts: TextSpool) -> Iterator[Review]:
        """Yield the rows in the order of their ids."""
        for row in range(len(texts)):
            split, label = self._side(row)
            film = self._films[row] if self._films else None
            sha256, text = texts[row]
            yield Review(_row_id(row), split, label, None, film, text, sha256)


def _row_id(row: int) -> str:
    return f"row/{row:08}"
