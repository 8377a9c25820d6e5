"""From the label column of a table to classes; refused are tables that have none to tell apart."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rnnpipe.errors import SourceError, quoted
from rnnpipe.problems.classification.classes import MOST_CLASSES, in_order
from rnnpipe.problems.classification.labels import (
    is_number,
    label_key,
    labels_of,
    names_of,
)
from rnnpipe.problems.classification.params import LONGEST_NAME
from rnnpipe.problems.classification.reviews import SPLITS

NO_LABEL, LEFT_OUT = -1, -2
_SPLITS: tuple[str, ...] = SPLITS
_MOST_LISTED = 3
_FEW_NUMBERS = 10  # that may be labels though most of them stand once: of a table of some rows
_ELSE = "map the label to another class, or to null to leave its rows out, in prepare.labels"


def find_classes(
    where: str,
    spellings: Sequence[str | None],
    rows: Sequence[int],
    first_rows: Sequence[int],
    written: Mapping[str, str | None] | None,
) -> tuple[tuple[str, ...], list[int]]:
    """Tell the classes of a label column apart.

    Args:
        where: what an error calls the column.
        spellings: the distinct values, by their first row; None for none.
        rows: how many rows each has.
        first_rows: the first of them.
        written: the parameter ``prepare.labels``.

    Returns:
        The names of the classes, label 0 first; and what each spelling stands for: a label,
        :data:`NO_LABEL` or :data:`LEFT_OUT`.

    Raises:
        SourceError: a value has no meaning, or there are not 2 to :data:`MOST_CLASSES` classes.
        ParameterError: one label has two meanings.
    """
    meanings = labels_of(written or {})
    keys = [label_key(spelling) for spelling in spellings]
    here = {key: at for at, key in reversed([*enumerate(keys)]) if key is not None}
    named = list(dict.fromkeys(name for name in meanings.values() if name is not None))
    if named:
        _require_known(where, {key: first_rows[at] for key, at in here.items()}, meanings)
        names = {key: name for key in here if (name := meanings[key]) is not None}
        classes = tuple(named)
    else:
        names = names_of(
            (spelling, count)
            for spelling, count, key in zip(spellings, rows, keys, strict=True)
            if spelling is not None and key is not None and key not in meanings
        )
        classes = in_order(names.values())
    of_class = dict.fromkeys(classes, 0)
    for key, count in zip(keys, rows, strict=True):
        if key in names:
            of_class[names[key]] += count
    _require_classes(where, of_class)
    numbers = {name: label for label, name in enumerate(classes)}
    labels = {key: numbers[name] for key, name in names.items()}
    return classes, [NO_LABEL if key is None else labels.get(key, LEFT_OUT) for key in keys]


def left_out_keys(written: Mapping[str, str | None] | None) -> set[str]:
    """Return the keys of the labels whose rows are left out."""
    return {key for key, name in labels_of(written or {}).items() if name is None}


def _require_known(
    where: str, first_rows: Mapping[str, int], meanings: Mapping[str, str | None]
) -> None:
    foreign = sorted(first_rows.keys() - meanings.keys())
    if foreign:
        told = _listed(f"{quoted(key)} (row {first_rows[key]})" for key in foreign)
        known = ", ".join(map(quoted, list(meanings)[:10]))
        raise SourceError(
            f"{where}: no meaning is known of {told}; known: {known[:300]}. Name its class, or null"
            " to leave its rows out, in prepare.labels; or set prepare.labels to null, for the"
            f" {len(first_rows):,} labels as they stand"
        )


def _require_classes(where: str, rows: Mapping[str, int]) -> None:
    """Refuse what is no choice between some classes, by what was found."""
    found = [name for name, count in rows.items() if count]
    if not found:
        raise SourceError(
            f"{where}: found no labels, expected two classes or more: look at"
            " prepare.label_column and prepare.labels"
        )
    if len(found) == 1:
        raise SourceError(
            f"{where}: found only {quoted(found[0])} labels ({rows[found[0]]:,} rows), expected two"
            " classes or more: there is nothing to tell apart; look at prepare.label_column and"
            " prepare.labels"
        )
    once = sum(count == 1 for count in rows.values())
    many = len(found) > MOST_CLASSES or (len(found) > _FEW_NUMBERS and 2 * once > len(found))
    if many and all(map(is_number, found)):
        raise SourceError(
            f"{where}: found {len(found):,} different numbers, expected at most {MOST_CLASSES}"
            " classes of some rows each: a regression? Make classes of the numbers (low, high), or"
            " name another column in prepare.label_column"
        )
    if len(found) > MOST_CLASSES:
        raise SourceError(
            f"{where}: found {len(found):,} different labels, expected at most {MOST_CLASSES}: name"
            " another column in prepare.label_column, or map several to one class, or to null to"
            " leave their rows out, in prepare.labels"
        )
    longest = max(found, key=len)
    if len(longest) > LONGEST_NAME:
        raise SourceError(
            f"{where}: found a label of {len(longest):,} characters, {quoted(longest)}, expected at"
            f" most {LONGEST_NAME}: name another column in prepare.label_column, or give it a short"
            " name in prepare.labels"
        )
    missing = [name for name, count in rows.items() if not count]
    if missing:
        raise SourceError(
            f"{where}: found no row of {_listed(map(quoted, missing))}, which prepare.labels names,"
            " expected some of every class: take it out of prepare.labels, or give rows of it"
        )


def require_rows(
    where: str,
    classes: Sequence[str],
    labels: NDArray[np.int8],
    splits: NDArray[np.uint8],
    given: bool,
) -> None:
    """Refuse a table of which a split lacks a class.

    Args:
        where: what an error calls the column.
        classes: their names.
        labels: ``int8[n]``, below 0 for none.
        splits: ``uint8[n]``, the places in :data:`SPLITS`.
        given: whether the table says them itself.

    Raises:
        SourceError: it is told which class, and which split.
    """
    learnt: list[str] = [split for split in SPLITS if split != "unlabelled"]
    rows = {
        split: np.bincount(
            labels[(splits == _SPLITS.index(split)) & (labels >= 0)], minlength=len(classes)
        )
        for split in learnt
    }
    total = sum(rows.values())
    once = [quoted(classes[label]) for label in np.flatnonzero(total == 1).tolist()]
    if once:
        raise SourceError(
            f"{where}: found a single labelled row of {_listed(once)}, expected some of every class:"
            f" give more, or {_ELSE}"
        )
    needed = ["train", "test", *(["validation"] if rows["validation"].any() else [])]
    for split in needed:
        lacking = np.flatnonzero(rows[split] == 0).tolist()
        if not lacking:
            continue
        every = len(lacking) == len(classes)
        found = (
            "no labelled row at all"
            if every
            else ("no row of " + _listed(quoted(classes[label]) for label in lacking))
        )
        advice = (
            "put some there, set prepare.split_column to null to have test chosen,"
            if given
            else "its rows are one text or one group (prepare.group_column), which stays whole: give"
            " others of it,"
        )
        raise SourceError(
            f"{where}: found {found} in {split}, expected some of every class in"
            f" {' and '.join(needed)}: {advice} or {_ELSE}"
        )


def _listed(names: Iterable[str]) -> str:
    told = list(names)
    more = f" and {len(told) - _MOST_LISTED:,} more" if len(told) > _MOST_LISTED else ""
    return ", ".join(told[:_MOST_LISTED]) + more
