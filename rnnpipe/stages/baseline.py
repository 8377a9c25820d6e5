"""Stage ``baseline``: a linear model's probabilities, to be shown beside ours and to teach it.

It learns from all reviews of train, whatever ``train.fraction`` is. It reads the test reviews'
words to say what it thinks of them, never their labels: those only ``evaluate`` opens.
"""

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnnpipe.baseline import fit_baseline
from rnnpipe.files import atomic_file, write_json
from rnnpipe.params import Params
from rnnpipe.sequences import open_sequences

SEQUENCES = Path("data/sequences")
PREDICTIONS = Path("data/baseline.parquet")
REPORT = Path("reports/baseline.json")


def run(params: Params) -> None:
    """Fit on train, predict validation, test, and the unlabelled reviews."""
    index, sequences = open_sequences(SEQUENCES)
    train = (index["split"] == "train").to_numpy()
    taught = index["label"][train].to_numpy(np.int8)
    model = fit_baseline(
        sequences, np.flatnonzero(train), taught, params.baseline, scratch=PREDICTIONS.parent
    )
    judged = index[~train][["id", "split"]].astype({"split": "str"})
    judged = judged.assign(probability=model.predict(sequences, np.flatnonzero(~train)))
    with atomic_file(PREDICTIONS) as partial:
        table = pa.Table.from_pandas(judged, preserve_index=False).replace_schema_metadata()
        pq.write_table(table, partial, compression="zstd")

    validation = judged[judged["split"] == "validation"]
    labels = index["label"].loc[validation.index]
    right = (validation["probability"] > 0.5) == (labels == 1)
    features = int(model.known.sum())
    accuracy = round(float(right.mean()), 6)
    write_json(
        REPORT,
        {"features": features, "train": int(train.sum()), "validation_accuracy": accuracy},
    )
    logging.getLogger(__name__).info(
        "linear baseline: %d features, validation accuracy %.4f", features, accuracy
    )
