"""The pictures of a classifier, each drawn from the small table that DVC draws it from too."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from rnnpipe.reporting.plots import ACCENT, INK, QUIET, STYLE, new_axes


def draw_evaluation(
    curves: Mapping[str, pd.DataFrame], names: tuple[str, str], folder: Path
) -> None:
    """Draw every table of :func:`rnnpipe.metrics.classification.curves` as ``folder/NAME.png``."""
    draw_confusion(curves["confusion"], names, folder / "confusion.png")
    draw_roc(curves["roc"], folder / "roc.png")
    draw_precision_recall(curves["precision_recall"], folder / "precision_recall.png")
    draw_calibration(curves["calibration"], folder / "calibration.png")
    draw_accuracy_by_length(curves["accuracy_by_length"], folder / "accuracy_by_length.png")


def draw_confusion(pairs: pd.DataFrame, names: Sequence[str], path: Path) -> None:
    """Heat map of actual against predicted label, with counts and row shares."""
    counts = pd.crosstab(pairs["actual"], pairs["predicted"]).reindex(
        index=list(names), columns=list(names), fill_value=0
    )
    shares = counts.to_numpy() / np.maximum(counts.to_numpy().sum(axis=1, keepdims=True), 1)
    with mpl.rc_context(STYLE):
        figure, axes = new_axes("Confusion matrix")
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            axes.text(
                column,
                row,
                f"{int(counts.to_numpy()[row, column]):,}\n{share:.1%}",
                ha="center",
                va="center",
                color="white" if share > 0.5 else INK,
            )
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("predicted")
        axes.set_ylabel("actual")
        figure.savefig(path)


def draw_roc(curve: pd.DataFrame, path: Path) -> None:
    """True against false positive rate over all thresholds."""
    with mpl.rc_context(STYLE):
        figure, axes = new_axes("ROC")
        axes.plot([0, 1], [0, 1], color=QUIET, linestyle=":", label="guessing")
        axes.plot(
            curve["false_positive_rate"], curve["true_positive_rate"], color=ACCENT, label="model"
        )
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        axes.legend(loc="lower right")
        figure.savefig(path)


def draw_precision_recall(curve: pd.DataFrame, path: Path) -> None:
    """Precision against recall over all thresholds."""
    with mpl.rc_context(STYLE):
        figure, axes = new_axes("Precision and recall")
        axes.plot(curve["recall"], curve["precision"], color=ACCENT)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        axes.set_xlim(0, 1.01)
        axes.set_ylim(min(0.45, curve["precision"].min()), 1.01)
        figure.savefig(path)


def draw_calibration(bins: pd.DataFrame, path: Path) -> None:
    """Observed share of label 1 against the probability that was given."""
    with mpl.rc_context(STYLE):
        figure, axes = new_axes("Calibration")
        axes.plot([0, 1], [0, 1], color=QUIET, linestyle=":", label="perfect")
        axes.plot(bins["probability"], bins["observed"], color=ACCENT, marker="o", label="model")
        axes.set_xlabel("given probability")
        axes.set_ylabel("observed share")
        axes.legend(loc="upper left")
        figure.savefig(path)


def draw_accuracy_by_length(groups: pd.DataFrame, path: Path) -> None:
    """Accuracy for reviews from short to long."""
    with mpl.rc_context(STYLE):
        figure, axes = new_axes("Accuracy by review length")
        places = np.arange(len(groups))
        error = 1.96 * np.sqrt(groups["accuracy"] * (1 - groups["accuracy"]) / groups["n"])
        axes.bar(places, groups["accuracy"], color=ACCENT, yerr=error, ecolor=QUIET)
        ranges = zip(groups["shortest"], groups["longest"], strict=True)
        axes.set_xticks(
            places, [f"{low} to {high}" for low, high in ranges], rotation=30, ha="right"
        )
        axes.set_ylim(max(0.0, groups["accuracy"].min() - 0.1), 1.0)
        axes.set_xlabel("words")
        axes.set_ylabel("accuracy")
        figure.savefig(path)
