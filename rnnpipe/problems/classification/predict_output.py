"""Answers as a table, for a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rnnpipe.errors import SourceError, shown
from rnnpipe.storage.files import atomic_file

if TYPE_CHECKING:
    from rnnpipe.problems.classification.predict import Prediction

KINDS = (".csv", ".parquet")


def require_kind(path: Path) -> None:
    """Refuse a name that is neither a CSV's nor a parquet file's.

    Raises:
        SourceError: says so.
    """
    if path.suffix.lower() not in KINDS:
        raise SourceError(f"{shown(path)}: expected a file to write that ends in .csv or .parquet")


def write_answers(
    path: Path,
    predictions: "Sequence[Prediction]",
    label_names: Sequence[str],
    ids: Sequence[str | int | None] | None = None,
) -> None:
    """Write a table of answers: ``row``, ``id``, ``label``, ``known_words``, then probabilities.

    Each class has a column ``probability_NAME``. Names and ids stand as they came: the table is to
    be joined with the one that was asked about.

    Args:
        path: ``.csv`` or ``.parquet``.
        predictions: in the order of the rows.
        label_names: of all classes.
        ids: what the rows are called by; None: no column ``id``.

    Raises:
        SourceError: another kind of file.
        StorageError: the place cannot be written to.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    require_kind(path)
    columns = {"row": pa.array(range(len(predictions)), pa.int64())}
    if ids is not None:
        large = any(isinstance(called, int) and called >= 1 << 63 for called in ids)
        columns["id"] = pa.array(ids, pa.uint64() if large else None)
    columns["label"] = pa.array([found.label for found in predictions], pa.string())
    columns["known_words"] = pa.array([found.known_words for found in predictions], pa.int64())
    for name in label_names:
        given = [found.probabilities[name] for found in predictions]
        columns[f"probability_{name}"] = pa.array(given, pa.float64())
    table = pa.table(columns)
    with atomic_file(path) as partial:
        if path.suffix.lower() == ".csv":
            pa.csv.write_csv(table, partial)
        else:
            pq.write_table(table, partial, compression="zstd")
