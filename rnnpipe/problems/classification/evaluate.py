"""Predictions, figures and pictures; this alone opens the test split."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sklearn.metrics import classification_report

from rnnpipe.metrics.classification import (
    CLASSIFICATION_METRICS,
    THRESHOLD,
    calibration_error,
    curves,
    probabilities_of,
)
from rnnpipe.metrics.interval import bootstrap, flatten
from rnnpipe.metrics.paired import mcnemar, paired_test
from rnnpipe.problems.classification.exported import ExportedNetwork
from rnnpipe.problems.classification.files import (
    BASELINE,
    LABEL_NAMES,
    NETWORK,
    PREDICTIONS,
    REPORTS,
    REVIEWS,
    SEQUENCES,
)
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.problems.classification.plots import draw_evaluation
from rnnpipe.reporting.plots import draw_training
from rnnpipe.storage.files import atomic_directory, read_json, write_json
from rnnpipe.storage.spreadsheet import plain_cell
from rnnpipe.text.batching import Padding
from rnnpipe.text.sequences import load_split


def evaluate(params: ClassificationParams) -> Mapping[str, Any]:
    """Predict validation and test with what will be used, then measure, draw and write."""
    network = ExportedNetwork(NETWORK / "network.onnx")
    padding = Padding.of(params.train)
    reviews = pq.read_table(REVIEWS, columns=["id", "split", "film", "duplicate_of"])
    baseline = pq.read_table(BASELINE).to_pandas().set_index("id")["probability"]
    predictions = {
        name: _predict(name, network, padding, baseline) for name in ("validation", "test")
    }

    def measure(rows: pd.DataFrame, column: str = "probability") -> dict[str, Any]:
        intervals = bootstrap(
            CLASSIFICATION_METRICS,
            rows["label"].to_numpy(),
            rows[column].to_numpy(),
            samples=params.evaluate.bootstrap_samples,
            confidence=params.evaluate.confidence,
            seed=params.evaluate.seed,
        )
        return flatten(intervals, len(rows))

    def measure_baseline(rows: pd.DataFrame) -> dict[str, Any]:
        labels, ours, theirs = (
            rows[column].to_numpy() for column in ("label", "probability", "baseline_probability")
        )
        return measure(rows, "baseline_probability") | {
            "mcnemar": asdict(paired_test(labels, ours, theirs))
        }

    validation, test = predictions["validation"], predictions["test"]
    shown = curves(
        test["label"].to_numpy(),
        test["probability"].to_numpy(),
        test["length"].to_numpy(),
        LABEL_NAMES,
    )
    metrics = measure(test) | {
        "calibration_error": round(calibration_error(shown["calibration"]), 6),
        "validation": measure(validation) | {"largest_class": against_largest_class(validation)},
        "baseline": measure_baseline(test) | {"validation": measure_baseline(validation)},
    }
    unshared = test[~test["id"].isin(_shared(reviews))]
    if len(unshared):
        metrics["without_shared"] = measure(unshared)
    write_json(
        REPORTS / "classification_report.json",
        classification_report(
            test["label"],
            test["probability"] > THRESHOLD,
            target_names=LABEL_NAMES,
            output_dict=True,
            zero_division=0,
        ),
    )
    with atomic_directory(REPORTS / "plots") as folder:
        for name, table in shown.items():
            table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
        draw_evaluation(shown, LABEL_NAMES, folder)
        history = read_json(NETWORK / "history.json")
        draw_training(
            pd.DataFrame(history["epochs"]), history["best_epoch"], folder / "training.png"
        )
    with atomic_directory(PREDICTIONS) as folder:
        for name, rows in predictions.items():
            written = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata()
            pq.write_table(written, folder / f"{name}.parquet", compression="zstd")
        _mistakes(test, params.evaluate.mistakes).to_csv(folder / "mistakes.csv", index=False)
    return metrics


def against_largest_class(rows: pd.DataFrame) -> dict[str, Any]:
    """Compare a split's answers with those of a model that always names its largest class.

    Args:
        rows: label (0 or 1) and probability of each row.

    Returns:
        The share of that class; the p value of McNemar's exact test, one-sided, to four digits:
        how easily chance lets ours seem the better one; whether each class was named at all.
    """
    labels, called = rows["label"].to_numpy() == 1, rows["probability"].to_numpy() > THRESHOLD
    largest = bool(2 * labels.sum() > len(labels))
    right, constant = called == labels, labels == largest
    p_value = mcnemar(int((right & ~constant).sum()), int((constant & ~right).sum()), "greater")
    return {
        "share": round(float(constant.mean()), 6),
        "p_value": float(f"{p_value:.4g}"),
        "every_class_called": bool(called.any() and not called.all()),
    }


def _predict(
    name: str, network: ExportedNetwork, padding: Padding, baseline: "pd.Series[float]"
) -> pd.DataFrame:
    split = load_split(SEQUENCES, name)
    return pd.DataFrame(
        {
            "id": split.ids,
            "label": split.labels,
            "probability": probabilities_of(
                network.predict_logits(split.sequences, padding, progress=True)
            ),
            "baseline_probability": baseline.loc[split.ids].to_numpy(),
            "length": split.sequences.lengths.astype(np.int32),
        }
    )


def _shared(reviews: pa.Table) -> set[str]:
    """Ids of the test reviews whose text stands in the labelled train split too."""
    rows = reviews.select(["id", "split", "duplicate_of"]).to_pandas()
    text = rows["duplicate_of"].fillna(rows["id"])
    return set(rows["id"][(rows["split"] == "test") & text.isin(text[rows["split"] == "train"])])


def _mistakes(test: pd.DataFrame, most: int) -> pd.DataFrame:
    """The wrong answers that were given with the most confidence, with their texts."""
    wrong = test[(test["probability"] > THRESHOLD) != (test["label"] == 1)]
    confidence = (wrong["probability"] - THRESHOLD).abs()
    worst = wrong.loc[confidence.sort_values(ascending=False, kind="stable").index[:most]]
    # A filter, for all the texts may be more than the memory holds.
    chosen = pc.field("id").isin(pa.array(worst["id"], pa.string()))
    found = pq.read_table(REVIEWS, columns=["id", "text"], filters=chosen)
    texts = found.to_pandas().set_index("id")["text"]
    shown = worst[["id", "label", "probability"]]
    return shown.assign(
        id=shown["id"].map(plain_cell), text=texts.loc[worst["id"]].map(plain_cell).to_numpy()
    )
