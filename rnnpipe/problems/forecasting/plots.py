"""The pictures of forecasts, each drawn from the small table that DVC draws it from too."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rnnpipe.problems.forecasting.metrics import Example

from rnnpipe.reporting.drawn_names import drawn_names, write_plainly
from rnnpipe.reporting.plots import ACCENT, LAYERS, QUIET, SECOND, STYLE


def draw_forecasts(
    examples: "Sequence[Example]",
    names: Sequence[str],
    path: Path,
    *,
    shown_past: int,
    most_columns: int,
) -> None:
    """Forecasts against the truth: a row a window, a column of panels a column of the series.

    Args:
        examples: windows in the columns' own units; the first forecast of each is ours.
        names: of the series' columns.
        path: the PNG to write.
        shown_past: steps of the past before the first step ahead.
        most_columns: how many are drawn at most, the last ones.
    """
    titles = drawn_names(names, "column")[-most_columns:]
    first = len(names) - len(titles)
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(4.8 * len(titles), 2.3 * len(examples) + 0.4), layout="constrained"
        )
        grid = figure.subplots(len(examples), len(titles), squeeze=False)
        for row, example in zip(grid, examples, strict=True):
            for number, axes in enumerate(row, start=first):
                _draw_forecast(axes, example, number, shown_past)
        write_plainly([axes.set_title("") for axes in grid[0]], titles)
        lines, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(lines, labels, loc="outside upper right", ncols=len(labels))
        figure.savefig(path)


def _draw_forecast(axes: Axes, example: "Example", column: int, shown_past: int) -> None:
    past = np.concatenate([example.past[-shown_past:, column], example.truth[:, column]])
    steps = np.arange(len(past)) - len(past) + len(example.truth) + 1
    axes.plot(steps, past, color=QUIET, linewidth=1.2, label="truth")
    axes.axvline(0, color=QUIET, linestyle=":", linewidth=1)
    colours = (ACCENT, SECOND, *LAYERS[2:])
    if example.band:
        low, high = (end[:, column] for end in example.band)
        ahead = np.arange(1, len(low) + 1)
        axes.fill_between(
            ahead, low, high, color=ACCENT, alpha=0.15, linewidth=0, label="80 % band"
        )
    for number, (name, forecast) in enumerate(example.forecasts.items()):
        axes.plot(
            np.arange(1, len(forecast) + 1),
            forecast[:, column],
            color=colours[number % len(colours)],
            linewidth=1.2 if number == 0 else 0.8,
            label=name,
        )
    of = " of " if example.id else ""
    label = f"steps ahead of {np.datetime_as_string(example.past_times[-1], 'm')}{of}"
    write_plainly(
        [axes.set_xlabel("")], [label + drawn_names([example.id], "series")[0] if of else label]
    )


def draw_error_by_step(errors: Mapping[str, NDArray[np.float64]], path: Path) -> None:
    """Mean squared error, scaled, by how many steps ahead a forecast looks.

    Args:
        errors: by who forecasts, ours first, ``float64[horizon]``.
        path: the PNG to write.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.subplots()
        axes.set_title("Error by step ahead")
        colours = (ACCENT, SECOND, *LAYERS[2:])
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
