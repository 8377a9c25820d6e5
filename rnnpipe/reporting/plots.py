"""Pictures: each is drawn from the small table that DVC draws it from too."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, QUIET, ACCENT, SECOND = "#222222", "#8a8a8a", "#1f6fb4", "#d1602b"
LAYERS = (ACCENT, SECOND, "#2e8b57", "#8457b2")  # from the input upwards, then again
_FLOAT32 = (1.2e-38, 3.4e38)  # the least normal and the largest number
STYLE: Any = {
    "axes.edgecolor": QUIET,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "figure.dpi": 110,
    "font.size": 10,
    "legend.frameon": False,
    "text.color": INK,
}


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
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 3.4), layout="constrained")
        panels = figure.subplots(1, 3 if second else 2)
        for axes, metric in zip(panels, ("loss", second) if second else ("loss",), strict=False):
            if metric in epochs:
                axes.plot(
                    epochs["epoch"], epochs[metric], color=QUIET, marker="o", label="training"
                )
            axes.plot(
                epochs["epoch"],
                epochs[f"validation_{metric}"],
                color=ACCENT,
                marker="o",
                label="validation",
            )
            axes.axvline(best_epoch, color=SECOND, linestyle=":", label="kept")
            axes.set_title(metric.upper() if metric in ("mse", "mae") else metric.capitalize())
        panels[0].legend()
        panels[-1].plot(epochs["epoch"], epochs["gradient_norm"], color=ACCENT, marker="o")
        panels[-1].set_title("Gradient norm before clipping")
        for axes in panels:
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
        figure.savefig(path)


def draw_gradient_flow(panels: Mapping[str, pd.DataFrame], path: Path, columns: int = 2) -> None:
    """The gradient's norm at each recurrent state, from a review's first word to its last.

    A line is the median over the reviews, the shade around it their 10 % to 90 % quantile.

    Args:
        panels: tables of :func:`rnnpipe.networks.gradients.flow_table`, by title; all on one scale.
        path: the PNG to write.
        columns: panels side by side.
    """
    everything = pd.concat(panels.values())
    with mpl.rc_context(STYLE):
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
            "color": LAYERS[layers.index(layer) % len(LAYERS)],
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
        axes.axhline(bound, color=QUIET, linestyle=":", linewidth=1)


def _decades(table: pd.DataFrame) -> tuple[float, float]:
    """Return whole powers of ten around all medians, no further than just past what float32 holds."""
    medians = table["median"][(table["median"] > 0) & np.isfinite(table["median"])]
    low, high = (medians.min(), medians.max()) if len(medians) else (1.0, 1.0)
    least, most = np.log10(_FLOAT32)
    return (
        float(10.0 ** max(np.floor(np.log10(low)) - 1, np.floor(least) - 2)),
        float(10.0 ** min(np.ceil(np.log10(high)) + 1, np.ceil(most) + 2)),
    )


def new_axes(title: str) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes."""
    figure = Figure(figsize=(4.8, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes
