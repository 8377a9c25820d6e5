"""Stage ``baseline``: a linear model's probabilities, to be shown beside ours and to teach it.

It learns from all reviews of train, whatever ``train.fraction`` is. It reads the test reviews'
texts to say what it thinks of them, never their labels: those only ``evaluate`` opens.
"""

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnnpipe.baseline import fit_baseline, predict_baseline
from rnnpipe.files import atomic_file, write_json
from rnnpipe.params import Params

REVIEWS = Path("data/reviews.parquet")
INDEX = Path("data/sequences/index.parquet")
PREDICTIONS = Path("data/baseline.parquet")
REPORT = Path("reports/baseline.json")


def run(params: Params) -> None:
    """Fit on train, predict validation, test, and the unlabelled reviews."""
    index = pq.read_table(INDEX, columns=["id", "split", "label"]).to_pandas()
    texts = pq.read_table(REVIEWS, columns=["id", "text"]).to_pandas().set_index("id")["text"]
    train = index[index["split"] == "train"]
    model = fit_baseline(
        texts.loc[train["id"]].tolist(), train["label"].to_numpy(np.int8), params.baseline
    )
    judged = index[index["split"] != "train"][["id", "split"]]
    judged = judged.assign(probability=predict_baseline(model, texts.loc[judged["id"]].tolist()))
    with atomic_file(PREDICTIONS) as partial:
        table = pa.Table.from_pandas(judged, preserve_index=False).replace_schema_metadata()
        pq.write_table(table, partial, compression="zstd")

    labels = index.set_index("id")["label"]
    validation = judged[judged["split"] == "validation"]
    right = (validation["probability"] > 0.5) == (labels.loc[validation["id"]].to_numpy() == 1)
    features = len(model[0].vocabulary_)
    accuracy = round(float(right.mean()), 6)
    write_json(REPORT, {"features": features, "train": len(train), "validation_accuracy": accuracy})
    logging.getLogger(__name__).info(
        "linear baseline: %d features, validation accuracy %.4f", features, accuracy
    )
