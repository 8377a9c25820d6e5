"""Pictures: each is drawn from the small table that DVC draws it from too."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rnnpipe.forecast_metrics import Example

_INK, _QUIET, _ACCENT, _SECOND = "#222222", "#8a8a8a", "#1f6fb4", "#d1602b"
_LAYERS = (_ACCENT, _SECOND, "#2e8b57", "#8457b2")  # from the input upwards, then again
_FLOAT32 = (1.2e-38, 3.4e38)  # the least normal and the largest number
_STYLE: Any = {
    "axes.edgecolor": _QUIET,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "figure.dpi": 110,
    "font.size": 10,
    "legend.frameon": False,
    "text.color": _INK,
}


def draw_evaluation(
    curves: Mapping[str, pd.DataFrame], names: tuple[str, str], folder: Path
) -> None:
    """Draw every table of :func:`rnnpipe.evaluation.curves` as ``folder/NAME.png``."""
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
    with mpl.rc_context(_STYLE):
        figure, axes = _axes("Confusion matrix")
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            axes.text(
                column,
                row,
                f"{int(counts.to_numpy()[row, column]):,}\n{share:.1%}",
                ha="center",
                va="center",
                color="white" if share > 0.5 else _INK,
            )
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("predicted")
        axes.set_ylabel("actual")
        figure.savefig(path)


def draw_roc(curve: pd.DataFrame, path: Path) -> None:
    """True against false positive rate over all thresholds."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes("ROC")
        axes.plot([0, 1], [0, 1], color=_QUIET, linestyle=":", label="guessing")
        axes.plot(
            curve["false_positive_rate"], curve["true_positive_rate"], color=_ACCENT, label="model"
        )
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        axes.legend(loc="lower right")
        figure.savefig(path)


def draw_precision_recall(curve: pd.DataFrame, path: Path) -> None:
    """Precision against recall over all thresholds."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes("Precision and recall")
        axes.plot(curve["recall"], curve["precision"], color=_ACCENT)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        axes.set_xlim(0, 1.01)
        axes.set_ylim(min(0.45, curve["precision"].min()), 1.01)
        figure.savefig(path)


def draw_calibration(bins: pd.DataFrame, path: Path) -> None:
    """Observed share of label 1 against the probability that was given."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes("Calibration")
        axes.plot([0, 1], [0, 1], color=_QUIET, linestyle=":", label="perfect")
        axes.plot(bins["probability"], bins["observed"], color=_ACCENT, marker="o", label="model")
        axes.set_xlabel("given probability")
        axes.set_ylabel("observed share")
        axes.legend(loc="upper left")
        figure.savefig(path)


def draw_accuracy_by_length(groups: pd.DataFrame, path: Path) -> None:
    """Accuracy for reviews from short to long."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes("Accuracy by review length")
        places = np.arange(len(groups))
        error = 1.96 * np.sqrt(groups["accuracy"] * (1 - groups["accuracy"]) / groups["n"])
        axes.bar(places, groups["accuracy"], color=_ACCENT, yerr=error, ecolor=_QUIET)
        ranges = zip(groups["shortest"], groups["longest"], strict=True)
        axes.set_xticks(
            places, [f"{low} to {high}" for low, high in ranges], rotation=30, ha="right"
        )
        axes.set_ylim(max(0.0, groups["accuracy"].min() - 0.1), 1.0)
        axes.set_xlabel("words")
        axes.set_ylabel("accuracy")
        figure.savefig(path)


def draw_training(epochs: pd.DataFrame, best_epoch: int, path: Path) -> None:
    """Loss, a second figure and gradient norm over the epochs, training beside validation.

    The second figure is the first one, beside the loss, that was taken on validation.
    """
    judged = [
        name.removeprefix("validation_")
        for name in map(str, epochs.columns)
        if name.startswith("validation_")
    ]
    second = next((name for name in judged if name != "loss"), None)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10.5, 3.4), layout="constrained")
        panels = figure.subplots(1, 3 if second else 2)
        for axes, metric in zip(panels, ("loss", second) if second else ("loss",), strict=False):
            if metric in epochs:
                axes.plot(
                    epochs["epoch"], epochs[metric], color=_QUIET, marker="o", label="training"
                )
            axes.plot(
                epochs["epoch"],
                epochs[f"validation_{metric}"],
                color=_ACCENT,
                marker="o",
                label="validation",
            )
            axes.axvline(best_epoch, color=_SECOND, linestyle=":", label="kept")
            axes.set_title(metric.upper() if metric in ("mse", "mae") else metric.capitalize())
        panels[0].legend()
        panels[-1].plot(epochs["epoch"], epochs["gradient_norm"], color=_ACCENT, marker="o")
        panels[-1].set_title("Gradient norm before clipping")
        for axes in panels:
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
        figure.savefig(path)


def draw_gradient_flow(panels: Mapping[str, pd.DataFrame], path: Path, columns: int = 2) -> None:
    """The gradient's norm at each recurrent state, from a review's first word to its last.

    A line is the median over the reviews, the shade around it their 10 % to 90 % quantile.

    Args:
        panels: tables of :func:`rnnpipe.gradients.flow_table`, by title; all on one scale.
        path: the PNG to write.
        columns: panels side by side.
    """
    everything = pd.concat(panels.values())
    with mpl.rc_context(_STYLE):
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=(5.1 * columns, 3.3 * rows + 0.4), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes, (title, table) in zip(grid.flat, panels.items(), strict=False):
            _draw_flow(axes, table)
            axes.set_title(title)
            axes.legend(loc="best", fontsize="small")
        grid[0, 0].set_yscale("log", nonpositive="mask")
        grid[0, 0].set_ylim(*_decades(everything))
        grid[0, 0].set_xlim(everything["steps_before_end"].max() + 1, -1)
        figure.supxlabel("steps before the last one", fontsize="medium")
        figure.supylabel("norm of the loss's gradient", fontsize="medium")
        figure.savefig(path)


def _draw_flow(axes: Axes, table: pd.DataFrame) -> None:
    layers = list(dict.fromkeys(table["layer"]))
    for (layer, direction, state), rows in table.groupby(
        ["layer", "direction", "state"], sort=False
    ):
        style: Any = {
            "color": _LAYERS[layers.index(layer) % len(_LAYERS)],
            "linestyle": "--" if direction == "backward" else "-",
            "linewidth": 1.5 if state == "hidden" else 0.7,
        }
        words = [str(layer).replace("_", " ").replace("recurrent", "layer")]
        words += [str(word) for word in (direction, state) if word in ("backward", "carry")]
        axes.plot(rows["steps_before_end"], rows["median"], label=", ".join(words), **style)
        if state == "hidden":
            axes.fill_between(
                rows["steps_before_end"], rows["low"], rows["high"],
                color=style["color"], alpha=0.13, linewidth=0,
            )  # fmt: skip
    for bound in _FLOAT32:
        axes.axhline(bound, color=_QUIET, linestyle=":", linewidth=1)


def _decades(table: pd.DataFrame) -> tuple[float, float]:
    """Give whole powers of ten around all medians, no further than just past what float32 holds."""
    medians = table["median"][(table["median"] > 0) & np.isfinite(table["median"])]
    low, high = (medians.min(), medians.max()) if len(medians) else (1.0, 1.0)
    least, most = np.log10(_FLOAT32)
    return (
        float(10.0 ** max(np.floor(np.log10(low)) - 1, np.floor(least) - 2)),
        float(10.0 ** min(np.ceil(np.log10(high)) + 1, np.ceil(most) + 2)),
    )


def draw_forecasts(
    examples: "Sequence[Example]", names: Sequence[str], path: Path, shown_past: int
) -> None:
    """Forecasts against the truth: a row a window, a column of panels a column of the series.

    Args:
        examples: windows in the columns' own units; the first forecast of each is ours.
        names: of the series' columns that are drawn.
        path: the PNG to write.
        shown_past: steps of the past before the first step ahead.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.8 * len(names), 2.3 * len(examples) + 0.4), layout="constrained")
        grid = figure.subplots(len(examples), len(names), squeeze=False)
        for row, example in zip(grid, examples, strict=True):
            for number, axes in enumerate(row):
                _draw_forecast(axes, example, number, shown_past)
        for axes, name in zip(grid[0], names, strict=True):
            axes.set_title(name)
        lines, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(lines, labels, loc="outside upper right", ncols=len(labels))
        figure.savefig(path)


def _draw_forecast(axes: Axes, example: "Example", column: int, shown_past: int) -> None:
    past = np.concatenate([example.past[-shown_past:, column], example.truth[:, column]])
    steps = np.arange(len(past)) - len(past) + len(example.truth) + 1
    axes.plot(steps, past, color=_QUIET, linewidth=1.2, label="truth")
    axes.axvline(0, color=_QUIET, linestyle=":", linewidth=1)
    colours = (_ACCENT, _SECOND, *_LAYERS[2:])
    for number, (name, forecast) in enumerate(example.forecasts.items()):
        axes.plot(
            np.arange(1, len(forecast) + 1),
            forecast[:, column],
            color=colours[number % len(colours)],
            linewidth=1.2 if number == 0 else 0.8,
            label=name,
        )
    axes.set_xlabel(f"steps ahead of {np.datetime_as_string(example.past_times[-1], 'm')}")


def draw_error_by_step(errors: Mapping[str, NDArray[np.float64]], path: Path) -> None:
    """Mean squared error, scaled, by how many steps ahead a forecast looks.

    Args:
        errors: by who forecasts, ours first, ``float64[horizon]``.
        path: the PNG to write.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.subplots()
        axes.set_title("Error by step ahead")
        colours = (_ACCENT, _SECOND, *_LAYERS[2:])
        for number, (name, values) in enumerate(errors.items()):
            axes.plot(
                np.arange(1, len(values) + 1),
                values,
                color=colours[number % len(colours)],
                linewidth=1.5 if number == 0 else 1,
                label=name,
            )
        axes.set_xlabel("steps ahead")
        axes.set_ylabel("mean squared error, scaled")
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower right")
        figure.savefig(path)


def _axes(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.8, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes
