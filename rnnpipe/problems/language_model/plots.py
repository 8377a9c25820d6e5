"""The picture of the mixture's weights."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from rnnpipe.problems.language_model.mixture import Mixture
from rnnpipe.reporting.plots import ACCENT, LAYERS, QUIET, STYLE
from rnnpipe.text.ngrams import CONTEXT_LEVELS


def draw_mixture(mixture: Mixture, path: Path) -> None:
    """What the network weighs beside the n-grams, and what the text's own words weigh beside both.

    Args:
        mixture: the weights.
        path: the PNG to write.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        met = 2 ** np.arange(CONTEXT_LEVELS)
        left.axhline(mixture.network[0], color=QUIET, linestyle=":", label="no context met")
        by_length = np.array(mixture.network[1:]).reshape(-1, CONTEXT_LEVELS)
        for number, weights in enumerate(by_length):
            label = f"{number + 1} word{'s' if number else ''}"
            left.plot(met, weights, color=LAYERS[number % len(LAYERS)], marker="o", label=label)
        left.set_title("Network beside n-grams, by the longest context met")
        left.set_xlabel("times that the context was met")
        left.legend(fontsize="small")
        ages = np.concatenate([[0], 2 ** np.arange(len(mixture.cache) - 1)])
        right.plot(ages, mixture.cache, color=ACCENT, marker="o")
        right.set_title("The text's own words beside both")
        right.set_xlabel("words so far")
        right.set_xscale("symlog", base=2)
        left.set_xscale("log", base=2)
        for axes in (left, right):
            axes.set_ylabel("weight")
            axes.set_ylim(0, None)
        figure.savefig(path)
