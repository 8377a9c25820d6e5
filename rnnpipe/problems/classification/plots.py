"""The pictures of a classifier, each drawn from the small table that DVC draws it from too."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from rnnpipe.reporting.drawn_names import drawn_names, write_plainly
from rnnpipe.reporting.plots import ACCENT, INK, QUIET, STYLE, new_axes

_MOST_CELLS = 20  # classes whose whole confusion matrix can be read
_MOST_CONFUSIONS = 20
_WITH_SHARES = 6  # classes for whose counts and shares a cell has room
_LINES = mpl.colormaps["tab10"]


def draw_evaluation(curves: Mapping[str, pd.DataFrame], names: Sequence[str], folder: Path) -> None:
    """Draw every table of :func:`rnnpipe.metrics.curves.curves` as ``folder/NAME.png``.

    Args:
        curves: the tables, by name.
        names: of the classes, label 0 first.
        folder: where the pictures go.
    """
    if len(names) <= _MOST_CELLS:
        draw_confusion(curves["confusion"], names, folder / "confusion.png")
    else:
        draw_confusions(curves["confusion"], names, folder / "confusion.png")
    draw_roc(curves["roc"], folder / "roc.png", curves.get("roc_by_class"), names)
    draw_precision_recall(
        curves["precision_recall"],
        folder / "precision_recall.png",
        curves.get("precision_recall_by_class"),
        names,
    )
    draw_calibration(curves["calibration"], folder / "calibration.png", two=len(names) == 2)
    draw_accuracy_by_length(curves["accuracy_by_length"], folder / "accuracy_by_length.png")


def draw_confusion(pairs: pd.DataFrame, names: Sequence[str], path: Path) -> None:
    """Heat map of actual against predicted label, with counts and row shares."""
    counts = _counted(pairs, names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    many = len(names) > _WITH_SHARES
    with mpl.rc_context(STYLE):
        figure, axes = new_axes("Confusion matrix")
        if len(names) > 3:
            side = 2.2 + 0.52 * len(names)
            figure.set_size_inches(max(4.8, side + 0.6), max(4.2, side))
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            count = f"{int(counts[row, column]):,}"
            if many and not counts[row, column]:
                continue
            axes.text(
                column,
                row,
                count if many else f"{count}\n{share:.1%}",
                ha="center",
                va="center",
                color="white" if share > 0.5 else INK,
                fontsize="small" if len(names) > 3 else "medium",
            )
        drawn = drawn_names(names)
        turned: Any = {"rotation": 40, "ha": "right"} if sum(map(len, drawn)) > 36 else {}
        axes.set_xticks(range(len(names)), drawn, parse_math=False, **turned)
        axes.set_yticks(range(len(names)), drawn, parse_math=False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("actual")
        figure.savefig(path)


def draw_confusions(pairs: pd.DataFrame, names: Sequence[str], path: Path) -> None:
    """The pairs of classes that are taken for one another most often, as bars."""
    counts = _counted(pairs, names)
    np.fill_diagonal(counts, 0)
    most = np.argsort(-counts, axis=None, kind="stable")[:_MOST_CONFUSIONS]
    most = most[counts.flat[most] > 0]
    drawn = drawn_names(names)
    rows, columns = np.unravel_index(most, counts.shape)
    with mpl.rc_context(STYLE):
        figure, axes = new_axes("Most confused classes")
        figure.set_size_inches(6.4, 1.4 + 0.26 * max(6, len(most)))
        places = np.arange(len(most))
        axes.barh(places, counts.flat[most], color=ACCENT)
        said = [
            f"{drawn[row]} → {drawn[column]}" for row, column in zip(rows, columns, strict=True)
        ]
        axes.set_yticks(places, said, parse_math=False)
        axes.invert_yaxis()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("times (actual → predicted)")
        figure.savefig(path)


def _counted(pairs: pd.DataFrame, names: Sequence[str]) -> np.ndarray[Any, Any]:
    """Count the answers, ``int64[classes, classes]``, actual by predicted."""
    number = {name: label for label, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (pairs["actual"].map(number), pairs["predicted"].map(number)), 1)
    return counts


def draw_roc(
    curve: pd.DataFrame,
    path: Path,
    classes: pd.DataFrame | None = None,
    names: Sequence[str] = (),
) -> None:
    """True against false positive rate over all thresholds.

    Args:
        curve: of the second of two classes, or the mean over more.
        path: the PNG to write.
        classes: the curve of each class against the rest, told apart by ``class``, to draw instead.
        names: of all classes, in their order.
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_axes("ROC")
        axes.plot([0, 1], [0, 1], color=QUIET, linestyle=":", label="guessing")
        x, y = "false_positive_rate", "true_positive_rate"
        if classes is None:
            axes.plot(curve[x], curve[y], color=ACCENT, label="model")
            axes.legend(loc="lower right")
        else:
            _draw_by_class(axes, classes, x, y, names, "lower right")
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        figure.savefig(path)


def draw_precision_recall(
    curve: pd.DataFrame,
    path: Path,
    classes: pd.DataFrame | None = None,
    names: Sequence[str] = (),
) -> None:
    """Precision against recall over all thresholds; arguments as of :func:`draw_roc`."""
    with mpl.rc_context(STYLE):
        figure, axes = new_axes("Precision and recall")
        if classes is None:
            axes.plot(curve["recall"], curve["precision"], color=ACCENT)
        else:
            _draw_by_class(axes, classes, "recall", "precision", names, "lower left")
            curve = classes
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        axes.set_xlim(0, 1.01)
        least = curve["precision"].min() if len(curve) else 0.0
        axes.set_ylim(min(0.45, least), 1.01)
        figure.savefig(path)


def _draw_by_class(
    axes: Axes,
    classes: pd.DataFrame,
    x: str,
    y: str,
    names: Sequence[str],
    place: Literal["lower left", "lower right"],
) -> None:
    lines, told = [], []
    for label, (name, drawn) in enumerate(zip(names, drawn_names(names), strict=True)):
        curve = classes[classes["class"] == name]
        if len(curve):
            lines += axes.plot(curve[x], curve[y], color=_LINES(label), linewidth=1.3)
            told.append(drawn)
    # Their names come afterwards: one that begins with _ would be left out of the legend.
    legend = axes.legend(lines, [f"line {number}" for number in range(len(lines))], loc=place)
    write_plainly(legend.get_texts(), told)


def draw_calibration(bins: pd.DataFrame, path: Path, two: bool = True) -> None:
    """How often answers hold against the probability that was given.

    Args:
        bins: given and observed, of the second of ``two`` classes, else of the class called.
        path: the PNG to write.
        two: whether there are but two.
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_axes("Calibration")
        axes.plot([0, 1], [0, 1], color=QUIET, linestyle=":", label="perfect")
        axes.plot(bins["probability"], bins["observed"], color=ACCENT, marker="o", label="model")
        axes.set_xlabel("given probability" if two else "probability of the class called")
        axes.set_ylabel("observed share" if two else "share of right answers")
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
