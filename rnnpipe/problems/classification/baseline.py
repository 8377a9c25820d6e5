"""The linear baseline, which the network is shown beside and taught by."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnnpipe.metrics.classification import called
from rnnpipe.problems.classification.classes import classes_of, probability_columns
from rnnpipe.problems.classification.files import BASELINE, SEQUENCES
from rnnpipe.problems.classification.linear_model import fit_baseline
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.storage.files import atomic_file
from rnnpipe.text.sequences import open_sequences


def fit_and_predict(params: ClassificationParams) -> Mapping[str, Any]:
    """Fit on train, predict validation, test, and the unlabelled reviews.

    It learns from all reviews of train, whatever ``train.fraction`` is. It reads the test reviews'
    words to say what it thinks of them, never their labels: those only the evaluation opens.
    """
    index, sequences = open_sequences(SEQUENCES)
    train = (index["split"] == "train").to_numpy()
    taught = index["label"][train].to_numpy(np.int8)
    classes = classes_of(SEQUENCES / "index.parquet")
    model = fit_baseline(
        sequences,
        np.flatnonzero(train),
        taught,
        params.baseline,
        scratch=BASELINE.parent,
        classes=len(classes),
    )
    probabilities = model.predict(sequences, np.flatnonzero(~train))
    judged = index[~train][["id", "split"]].astype({"split": "str"})
    columns = probability_columns(classes)
    judged[columns] = probabilities.reshape(len(judged), len(columns))
    with atomic_file(BASELINE) as partial:
        table = pa.Table.from_pandas(judged, preserve_index=False).replace_schema_metadata()
        pq.write_table(table, partial, compression="zstd")
    validation = (judged["split"] == "validation").to_numpy()
    right = called(probabilities[validation]) == index["label"][~train][validation]
    return {
        "features": int(model.known.sum()),
        "train": int(train.sum()),
        "validation_accuracy": round(float(right.mean()), 6),
    }
