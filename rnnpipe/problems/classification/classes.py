"""The classes that texts are told apart by: their names, in the order of the label numbers.

The table of reviews and the index of sequences carry the names in their schema, so that a number
in the column ``label`` never stands without its meaning.
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rnnpipe.errors import SourceError, shown

MOST_CLASSES = 100
_KEY = b"rnnpipe.classes"
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)")


def with_classes(schema: pa.Schema, classes: Sequence[str]) -> pa.Schema:
    """Return a schema that also tells the names of the classes, label 0 first."""
    written = json.dumps(list(classes), ensure_ascii=False).encode()
    return schema.with_metadata({**(schema.metadata or {}), _KEY: written})


def classes_of(table: Path) -> tuple[str, ...]:
    """Return the names of the classes that a parquet table tells, label 0 first.

    Raises:
        SourceError: it tells none.
    """
    written = (pq.read_schema(table).metadata or {}).get(_KEY)
    if written is None:
        raise SourceError(
            f"{shown(table)} does not say what its labels are called; expected the names of the"
            " classes in its schema: run `dvc repro`, which writes it anew"
        )
    return tuple(json.loads(written))


def values_of(classes: Sequence[str]) -> tuple[float, ...] | None:
    """Return the numbers that the classes are called by, as stars are; None where one is a word.

    >>> values_of(["1", "2.5", "10"]), values_of(["low", "2"])
    ((1.0, 2.5, 10.0), None)
    """
    if not all(_NUMBER.fullmatch(name) for name in classes):
        return None
    values = tuple(map(float, classes))
    return values if all(map(math.isfinite, values)) else None


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return names that nobody put into an order as classes: by number, else by name.

    >>> in_order(["10", "2.5", "1"]), in_order(["low", "10"])
    (('1', '2.5', '10'), ('10', 'low'))
    """
    by_name = sorted(names)
    values = values_of(by_name)
    if values is None:
        return tuple(by_name)
    return tuple(by_name[at] for at in sorted(range(len(values)), key=values.__getitem__))


def probability_columns(classes: Sequence[str], prefix: str = "") -> list[str]:
    """Name the columns of a table that hold probabilities.

    Of two classes one column says all, the probability of the second; of more each has its own.

    >>> probability_columns(["neg", "pos"]), probability_columns(["a", "b", "c"], "baseline_")[2]
    (['probability'], 'baseline_probability_2')
    """
    if len(classes) == 2:
        return [f"{prefix}probability"]
    return [f"{prefix}probability_{label}" for label in range(len(classes))]
