"""The pictures of a search: what its trials came to, and which parameters that hangs on."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import optuna
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from optuna.importance import FanovaImportanceEvaluator
from optuna.visualization import matplotlib as drawing


def pictures(
    study: optuna.Study, figure: str, default: float, keys: Sequence[str]
) -> Iterator[tuple[str, Figure]]:
    """Draw a search of which at least one trial has ended.

    Args:
        study: of the search.
        figure: name of what is minimized or maximized.
        default: its value for the project's own parameters.
        keys: the parameters whose importance is known, the most important first; of none, the
            first picture alone comes.

    Yields:
        Name and drawing of ``history``, ``importance`` and ``slices``.
    """
    with mpl.rc_context({"font.size": 9}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Optuna: these functions may change one day
        axes = drawing.plot_optimization_history(study, target_name=figure)
        axes.axhline(default, linestyle=":", color="#222222", label="default")
        axes.legend()
        yield "history", _finish(axes.figure, 7, 4)
        if not keys:
            return
        axes = drawing.plot_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=1))
        yield "importance", _finish(axes.figure, 7, 4)
        slices: Any = drawing.plot_slice(study, params=list(keys), target_name=figure)
        yield "slices", _finish(np.ravel(slices)[0].figure, 2.4 * len(keys) + 1, 3.5)


def _finish(figure: Any, width: float, height: float) -> Figure:
    """Return the figure its size, and take it out of pyplot's hands, which would keep it for good."""
    figure.set_size_inches(width, height)
    # The constrained layout divides by zero where one column has a colour bar beside it.
    figure.set_layout_engine("constrained" if len(figure.axes) > 2 else "tight")
    for axes in figure.axes:
        if axes.get_xscale() == "log":
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
    pyplot.close(figure)
    return figure  # type: ignore[no-any-return]
