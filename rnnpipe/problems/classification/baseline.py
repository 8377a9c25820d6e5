"""The linear baseline, which the network is shown beside and taught by."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

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
    model = fit_baseline(
        sequences, np.flatnonzero(train), taught, params.baseline, scratch=BASELINE.parent
    )
    judged = index[~train][["id", "split"]].astype({"split": "str"})
    judged = judged.assign(probability=model.predict(sequences, np.flatnonzero(~train)))
    with atomic_file(BASELINE) as partial:
        table = pa.Table.from_pandas(judged, preserve_index=False).replace_schema_metadata()
        pq.write_table(table, partial, compression="zstd")
    validation = judged[judged["split"] == "validation"]
    labels = index["label"].loc[validation.index]
    right = (validation["probability"] > 0.5) == (labels == 1)
    return {
        "features": int(model.known.sum()),
        "train": int(train.sum()),
        "validation_accuracy": round(float(right.mean()), 6),
    }
