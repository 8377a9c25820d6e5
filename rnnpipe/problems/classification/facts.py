"""Facts about reviews and sequences, a row each: what the expectations look at."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rnnpipe.storage.files import read_json
from rnnpipe.validation.columns import (
    cast_column,
    numbers_of,
    open_table,
    read_table,
    return_memory,
    to_frame,
)

_REVIEWS = {
    "id": pa.string(),
    "split": pa.string(),
    "label": pa.int8(),
    "rating": pa.int8(),
    "film": pa.string(),
    "duplicate_of": pa.string(),
}
_INDEX = {
    "id": pa.string(),
    "split": pa.string(),
    "label": pa.int8(),
    "film": pa.string(),
    "length": pa.int64(),  # Great Expectations compares other integers as Python's objects
}

_ROWS = 5_000  # whose token ids are looked at at once

# Control characters, tabulator and line ends apart. Those from 80 on mostly are Windows
# punctuation that was decoded as Latin-1.
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x{80}-\x{9f}]"


def review_facts(path: Path) -> pd.DataFrame:
    """Facts about each review of the table that ``prepare`` wrote, in its order.

    Texts are looked at one row group at a time and are not part of the result. Of ids and films
    it holds numbers, equal for equal ones and missing where they are: the table knows the rest.

    Args:
        path: a parquet table with id, split, label, rating, film, text, duplicate_of.

    Returns:
        A row a review: id, split, label, rating, film; class_share (float64: which share of the
        labelled reviews of its split has its label); characters (int64); and the booleans
        is_blank, is_wordless, has_replacement_character, has_control_characters,
        rating_contradicts_label, film_in_train_and_test, is_duplicate_within_split (another of
        the same split with a lower id has the same text), is_duplicate_across_train_test.

    Raises:
        SourceError: the file is no parquet table, or a column has an unusable type.
    """
    table = open_table(path)
    columns = read_table(table, path, _REVIEWS)
    facts = to_frame({name: column for name, column in columns.items() if name != "duplicate_of"})
    if "text" in table.schema_arrow.names:
        facts = pd.concat([facts, _text_facts(table, path)], axis=1)
    if {"split", "label"} <= set(facts):
        labelled = facts[["split", "label"]].dropna()
        count = labelled.groupby(["split", "label"], observed=True)["label"].transform("size")
        split = labelled.groupby("split", observed=True)["label"].transform("size")
        facts["class_share"] = (count / split).reindex(facts.index).astype(np.float64)
    if {"rating", "label"} <= set(facts):
        low, high = facts["rating"] <= 4, facts["rating"] >= 7
        negative, positive = facts["label"] == 0, facts["label"] == 1
        agrees = (negative & low) | (positive & high)
        judged = facts["rating"].notna() & facts["label"].notna()
        facts["rating_contradicts_label"] = (judged & ~agrees).fillna(False).astype(bool)
    if {"film", "split"} <= set(columns):
        film = numbers_of(columns["film"])
        facts["film_in_train_and_test"] = _spans(film, columns["split"], "train", "test")
    if {"id", "split", "duplicate_of"} <= set(columns):
        text = _same_texts(columns["id"], columns["duplicate_of"])
        facts["is_duplicate_within_split"] = _repeated(text, numbers_of(columns["split"]))
        facts["is_duplicate_across_train_test"] = _spans(text, columns["split"], "train", "test")
        del text
    columns.clear()
    return_memory()
    return facts


def sequence_facts(folder: Path) -> pd.DataFrame:
    """Facts about each sequence of the folder that ``sequences`` wrote, in its order.

    Of ids and films it holds numbers, equal for equal ones and missing where they are.

    Args:
        folder: index.parquet, token_ids.npy (``int32[total]``), offsets.npy (``int64[n + 1]``)
            and vocabulary.json.

    Returns:
        A row a review: id, split, label, film, length; offsets_fit (bool: the offsets cut out
        exactly ``length`` ids), ids_outside_vocabulary (int64), unknown_share (float64, of its
        words), film_in_train_and_validation, film_in_train_and_test.

    Raises:
        SourceError: the index is no parquet table, or a column has an unusable type.
    """
    from rnnpipe.text.tokens import FIRST_WORD_ID, UNKNOWN_ID, StoredIds

    path = Path(folder) / "index.parquet"
    columns = read_table(open_table(path), path, _INDEX)
    facts = to_frame(columns)
    if {"film", "split"} <= set(columns):
        film = numbers_of(columns["film"])
        for other in ("validation", "test"):
            facts[f"film_in_train_and_{other}"] = _spans(film, columns["split"], "train", other)
        del film
    columns.clear()
    return_memory()
    vocabulary_size = len(read_json(Path(folder) / "vocabulary.json")["words"]) + FIRST_WORD_ID
    offsets = np.load(Path(folder) / "offsets.npy")
    token_ids = StoredIds.open(Path(folder) / "token_ids.npy")

    # Too many or too few offsets must become a fact, not an exception: fill up with empty rows.
    rows = len(facts)
    bounds = np.full(rows + 1, len(token_ids), np.int64)
    bounds[: len(offsets)] = offsets[: rows + 1]
    starts, ends = bounds[:-1], bounds[1:]
    fit = (starts >= 0) & (starts <= ends) & (ends <= len(token_ids))
    if rows:
        fit[0] &= starts[0] == 0
        fit[-1] &= len(offsets) == rows + 1 and ends[-1] == len(token_ids)
    if "length" in facts:
        fit &= ends - starts == facts["length"].to_numpy()
    outside, unknown_share = np.zeros(rows, np.int64), np.zeros(rows)
    for first in range(0, rows, _ROWS):
        part = slice(first, first + _ROWS)
        usable = fit[part] & (starts[part] < ends[part])
        if usable.any():
            low, high = int(starts[part][usable].min()), int(ends[part][usable].max())
            ids, bounds_here = token_ids[low:high], (starts[part] - low, ends[part] - low)
            foreign = (ids < UNKNOWN_ID) | (ids >= vocabulary_size)
            outside[part] = _count(foreign, *bounds_here, usable)
            unknown = _count(ids == UNKNOWN_ID, *bounds_here, usable)
            unknown_share[part] = unknown / np.maximum(ends[part] - starts[part], 1)
    facts["offsets_fit"] = fit
    facts["ids_outside_vocabulary"] = outside
    facts["unknown_share"] = unknown_share
    return facts


def _same_texts(ids: pa.DictionaryArray, duplicate_of: pa.DictionaryArray) -> NDArray[np.int32]:
    """A number of each row, equal where id, or the id that it is a duplicate of, is equal."""
    # The other way round, Arrow would index all ids to look up a few.
    place = pc.index_in(ids.dictionary, duplicate_of.dictionary)
    known = np.flatnonzero(place.is_valid().to_numpy(zero_copy_only=False))
    firsts = len(ids.dictionary) + np.arange(len(duplicate_of.dictionary), dtype=np.int32)
    firsts[place.drop_null().to_numpy()] = known
    duplicate = numbers_of(duplicate_of)
    found = numbers_of(ids).copy()
    found[duplicate >= 0] = firsts[duplicate[duplicate >= 0]]
    return found


def _text_facts(table: pq.ParquetFile, path: Path) -> pd.DataFrame:
    groups: list[pa.Table] = []
    for number in range(table.num_row_groups):
        text = table.read_row_group(number, columns=["text"], use_threads=False)["text"]
        # A missing text is as blank as an empty one.
        text = cast_column(text, pa.string(), f"{path}: column text").fill_null("")
        characters = pc.utf8_length(text)
        groups.append(
            pa.table(
                {
                    "characters": characters.cast(pa.int64()),
                    "is_blank": pc.or_(pc.equal(characters, 0), pc.utf8_is_space(text)),
                    "is_wordless": pc.invert(pc.match_substring_regex(text, r"\pL|\pN|\p{So}")),
                    "has_replacement_character": pc.match_substring(text, "\ufffd"),
                    "has_control_characters": pc.match_substring_regex(text, _CONTROL),
                }
            )
        )
    if not groups:
        return pd.DataFrame()
    facts: pd.DataFrame = pa.concat_tables(groups).to_pandas()
    groups.clear()
    return_memory()
    return facts


def _repeated(keys: NDArray[np.int32], split: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Rows whose key stands in a row of the same split before."""
    found = np.zeros(len(keys), bool)
    places = keys + 1
    rows = np.flatnonzero((np.bincount(places) > 1)[places])  # of most keys there is one row
    pairs = pd.DataFrame({"key": keys[rows], "split": split[rows]})
    found[rows] = pairs.duplicated()
    return found


def _spans(
    keys: NDArray[np.int32], split: pa.DictionaryArray, one: str, other: str
) -> NDArray[np.bool_]:
    """Rows of either split whose key, if it is not -1, stands in both of them."""
    numbers = numbers_of(split)
    either = np.zeros(len(keys), bool)
    shared = np.ones(int(keys.max(initial=-1)) + 2, bool)  # the last for the key -1
    for name in (one, other):
        here = (numbers == split.dictionary.index(name).as_py()) & (numbers >= 0)
        met = np.zeros_like(shared)
        met[keys[here]] = True
        shared &= met
        either |= here
    shared[-1] = False
    return either & shared[keys]


def _count(
    flags: NDArray[np.bool_],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    usable: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Flags that are set between start and end of each usable row; zero for the others."""
    counts = np.zeros(len(starts), np.int64)
    rows = np.flatnonzero(usable & (starts < ends))
    if len(rows):
        # One flag more, since reduceat wants every bound inside the array; it sums from start to
        # end, then from end to the next start, and only the first of each pair is of interest.
        bounds = np.column_stack([starts[rows], ends[rows]]).ravel()
        padded = np.append(flags, False)
        counts[rows] = np.add.reduceat(padded, bounds, dtype=np.int64)[::2]
    return counts
