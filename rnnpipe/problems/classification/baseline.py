"""The linear baseline, which the network is shown beside and taught by."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rnnpipe.metrics.classification import called
from rnnpipe.problems.classification.classes import classes_of, probability_columns
from rnnpipe.problems.classification.files import BASELINE, SEQUENCES
from rnnpipe.problems.classification.linear_model import fit_baseline
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.storage.files import atomic_file
from rnnpipe.text.sequences import SPLITS
from rnnpipe.text.tokens import Ragged, StoredIds

_INDEX = SEQUENCES / "index.parquet"
_TRAIN, _VALIDATION = SPLITS.index("train"), SPLITS.index("validation")


def fit_and_predict(params: ClassificationParams) -> Mapping[str, Any]:
    """Fit on train, predict validation, test, and the unlabelled reviews.

    It learns from all reviews of train, whatever ``train.fraction`` is. It reads the test reviews'
    words to say what it thinks of them, never their labels: those only the evaluation opens. Of a
    review some dozens of bytes are in memory: its id comes in again when it is written.
    """
    token_ids = StoredIds.open(SEQUENCES / "token_ids.npy").as_values()
    sequences = Ragged(token_ids, np.load(SEQUENCES / "offsets.npy"))
    splits, labels = _splits_and_labels()
    train, validation = splits == _TRAIN, splits == _VALIDATION
    classes = classes_of(_INDEX)
    model = fit_baseline(
        sequences,
        np.flatnonzero(train),
        labels[train],
        params.baseline,
        scratch=BASELINE.parent,
        classes=len(classes),
    )
    probabilities = model.predict(sequences, np.flatnonzero(~train))
    _write(probabilities, probability_columns(classes))
    right = called(probabilities[validation[~train]]) == labels[validation]
    return {
        "features": int(model.known.sum()),
        "train": int(train.sum()),
        "validation_accuracy": round(float(right.mean()), 6),
    }


def _splits_and_labels() -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Return each row's split, as its place in ``SPLITS``, and its label, -1 where it has none."""
    table = pq.read_table(_INDEX, columns=["split", "label"], read_dictionary=["split"])
    splits = pc.index_in(table["split"].cast(pa.string()), pa.array(SPLITS))
    labels = pc.fill_null(table["label"], -1)
    return splits.to_numpy().astype(np.int8), labels.to_numpy().astype(np.int8)


def _write(probabilities: NDArray[np.float64], columns: Sequence[str]) -> None:
    """Write what is predicted of each review that is not of train, a row group at a time.

    Args:
        probabilities: a row a review, in the order of the index.
        columns: their names.
    """
    index = pq.ParquetFile(_INDEX, pre_buffer=False)
    fields = [("id", pa.string()), ("split", pa.large_string())]
    schema = pa.schema(fields + [(column, pa.float64()) for column in columns])
    rows = 0
    with (
        atomic_file(BASELINE) as partial,
        pq.ParquetWriter(partial, schema, compression="zstd") as writer,
    ):
        for group in range(index.num_row_groups):
            part = index.read_row_group(group, columns=["id", "split"])
            part = part.filter(pc.not_equal(part["split"], SPLITS[_TRAIN]))
            if not len(part):
                continue
            here = probabilities[rows : rows + len(part)].reshape(len(part), len(columns))
            rows += len(part)
            of_column = [pa.array(np.ascontiguousarray(values)) for values in here.T]
            table = pa.table(
                [part["id"], part["split"].cast(pa.large_string()), *of_column], schema
            )
            writer.write_table(table.combine_chunks())
