"""Predictions, figures and pictures; this alone opens the test split."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.metrics import classification_report

from rnnpipe.metrics.calibration import calibration_error
from rnnpipe.metrics.classification import (
    CLASSIFICATION_METRICS,
    by_class,
    called,
    probabilities_of,
)
from rnnpipe.metrics.curves import curves
from rnnpipe.metrics.interval import bootstrap, flatten, resample
from rnnpipe.metrics.multiclass import ClassFigures, lay_out
from rnnpipe.metrics.paired import mcnemar, paired_test
from rnnpipe.problems.classification.classes import classes_of, probability_columns, values_of
from rnnpipe.problems.classification.exported import ExportedNetwork
from rnnpipe.problems.classification.files import (
    BASELINE,
    NETWORK,
    PREDICTIONS,
    REPORTS,
    REVIEWS,
    SEQUENCES,
)
from rnnpipe.problems.classification.params import ClassificationParams, Evaluate
from rnnpipe.problems.classification.plots import draw_evaluation
from rnnpipe.reporting.plots import draw_training
from rnnpipe.storage.files import atomic_directory, read_json, write_json
from rnnpipe.storage.spreadsheet import plain_cell
from rnnpipe.text.batching import Padding
from rnnpipe.text.sequences import load_split


def evaluate(params: ClassificationParams) -> Mapping[str, Any]:
    """Predict validation and test with what will be used, then measure, draw and write."""
    network = ExportedNetwork(NETWORK / "network.onnx")
    history = read_json(NETWORK / "history.json")
    padding = Padding.of(params.train)
    classes = classes_of(SEQUENCES / "index.parquet")
    reviews = pq.read_table(REVIEWS, columns=["id", "split", "film", "duplicate_of"])
    baseline = pq.read_table(BASELINE).to_pandas().set_index("id")[probability_columns(classes)]
    predictions = {
        name: _predict(name, network, padding, classes, baseline) for name in ("validation", "test")
    }

    def measure(rows: pd.DataFrame, prefix: str = "") -> dict[str, Any]:
        return _measure(rows, prefix, classes, params.evaluate)

    def measure_baseline(rows: pd.DataFrame) -> dict[str, Any]:
        labels = rows["label"].to_numpy()
        ours, theirs = (_given(rows, classes, prefix) for prefix in ("", "baseline_"))
        return measure(rows, "baseline_") | {"mcnemar": asdict(paired_test(labels, ours, theirs))}

    validation, test = predictions["validation"], predictions["test"]
    shown = curves(
        test["label"].to_numpy(), _given(test, classes), test["length"].to_numpy(), classes
    )
    largest_class = against_largest_class(
        validation["label"].to_numpy(), _given(validation, classes)
    )
    metrics = measure(test) | {
        "calibration_error": round(calibration_error(shown["calibration"]), 6),
        "validation": measure(validation)
        | {"largest_class": largest_class}
        | history.get("calibration", {}),
        "baseline": measure_baseline(test) | {"validation": measure_baseline(validation)},
    }
    unshared = test[~test["id"].isin(_shared(reviews))]
    if len(unshared):
        metrics["without_shared"] = measure(unshared)
    write_json(REPORTS / "classification_report.json", _report_by_class(test, classes))
    with atomic_directory(REPORTS / "plots") as folder:
        for name, table in shown.items():
            table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
        draw_evaluation(shown, classes, folder)
        draw_training(
            pd.DataFrame(history["epochs"]), history["best_epoch"], folder / "training.png"
        )
    with atomic_directory(PREDICTIONS) as folder:
        for name, rows in predictions.items():
            written = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata()
            pq.write_table(written, folder / f"{name}.parquet", compression="zstd")
        mistakes = _mistakes(test, classes, params.evaluate.mistakes)
        mistakes.to_csv(folder / "mistakes.csv", index=False)
    return metrics


def against_largest_class(
    labels: NDArray[np.int8], probabilities: NDArray[np.float64]
) -> dict[str, Any]:
    """Compare a split's answers with those of a model that always names its largest class.

    Args:
        labels: ``int8[n]``.
        probabilities: ``float64[n]`` of label 1 of two, or ``float64[n, classes]``.

    Returns:
        The share of that class; the p value of McNemar's exact test, one-sided, to four digits:
        how easily chance lets ours seem the better one; whether each class was named at all.
    """
    answers = called(probabilities)
    number = 2 if probabilities.ndim == 1 else probabilities.shape[1]
    constant = labels == np.argmax(np.bincount(labels, minlength=number))
    right = answers == labels
    p_value = mcnemar(int((right & ~constant).sum()), int((constant & ~right).sum()), "greater")
    return {
        "share": round(float(constant.mean()), 6),
        "p_value": float(f"{p_value:.4g}"),
        "every_class_called": len(np.unique(answers)) == number,
    }


def _measure(
    rows: pd.DataFrame, prefix: str, classes: Sequence[str], params: Evaluate
) -> dict[str, Any]:
    labels, given = rows["label"].to_numpy(), _given(rows, classes, prefix)
    options: Any = {
        "samples": params.bootstrap_samples,
        "confidence": params.confidence,
        "seed": params.seed,
    }
    if len(classes) == 2:
        return flatten(bootstrap(CLASSIFICATION_METRICS, labels, given, **options), len(rows))
    figures = ClassFigures(labels, given, values_of(classes))
    return lay_out(resample(figures, len(rows), **options), classes, labels)


def _given(rows: pd.DataFrame, classes: Sequence[str], prefix: str = "") -> NDArray[np.float64]:
    """Probabilities of a table of predictions: of two classes of the second, else of each."""
    columns = probability_columns(classes, prefix)
    return rows[columns[0] if len(columns) == 1 else columns].to_numpy()


def _predict(
    name: str,
    network: ExportedNetwork,
    padding: Padding,
    classes: Sequence[str],
    baseline: pd.DataFrame,
) -> pd.DataFrame:
    split = load_split(SEQUENCES, name)
    logits = network.predict_logits(split.sequences, padding, progress=True)
    ours = probabilities_of(logits).reshape(len(split), -1)
    theirs = baseline.loc[split.ids].to_numpy()
    return pd.DataFrame(
        {
            "id": split.ids,
            "label": split.labels,
            **dict(zip(probability_columns(classes), ours.T, strict=True)),
            **dict(zip(probability_columns(classes, "baseline_"), theirs.T, strict=True)),
            "length": split.sequences.lengths.astype(np.int32),
        }
    )


def _report_by_class(test: pd.DataFrame, classes: Sequence[str]) -> Any:
    # These keys stand in the report, too: a class of such a name gives way.
    taken = ("accuracy", "macro avg", "weighted avg")
    return classification_report(
        test["label"],
        called(_given(test, classes)),
        labels=range(len(classes)),
        target_names=[f"class {name}" if name in taken else name for name in classes],
        output_dict=True,
        zero_division=0,
    )


def _shared(reviews: pa.Table) -> set[str]:
    """Ids of the test reviews whose text stands in the labelled train split too."""
    rows = reviews.select(["id", "split", "duplicate_of"]).to_pandas()
    text = rows["duplicate_of"].fillna(rows["id"])
    return set(rows["id"][(rows["split"] == "test") & text.isin(text[rows["split"] == "train"])])


def _mistakes(test: pd.DataFrame, classes: Sequence[str], most: int) -> pd.DataFrame:
    """The wrong answers that were given with the most confidence, with their texts.

    Of two classes the probability is that of the second, of more that of the one called.
    """
    given = _given(test, classes)
    answers, names = called(given), np.array(classes, dtype=object)
    confidence = by_class(given).max(axis=1)
    wrong = np.flatnonzero(answers != test["label"].to_numpy())
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")[:most]]
    ids = test["id"].iloc[worst]
    # A filter, for all the texts may be more than the memory holds.
    chosen = pc.field("id").isin(pa.array(ids, pa.string()))
    found = pq.read_table(REVIEWS, columns=["id", "text"], filters=chosen)
    texts = found.to_pandas().set_index("id")["text"]
    return pd.DataFrame(
        {
            "id": ids.map(plain_cell),
            "label": [plain_cell(name) for name in names[test["label"].iloc[worst]]],
            "called": [plain_cell(name) for name in names[answers[worst]]],
            "probability": (given if given.ndim == 1 else confidence)[worst],
            "text": texts.loc[ids].map(plain_cell).to_numpy(),
        }
    )
