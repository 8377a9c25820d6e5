"""Bands about forecasts: between which errors that validation has seen the truth will lie.

Nothing is assumed of how errors are spread. Those of every window of validation are put in order, by
step ahead and column; a band of level 80 reaches from the tenth to the ninetieth hundredth of them
(split conformal prediction; Vovk et al. 2005, "Algorithmic Learning in a Random World"; by steps as in
Stankeviciute et al. 2021, "Conformal Time-Series Forecasting"). That windows overlap makes the errors
alike, so what a band holds is measured on test and stated beside it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rnnpipe.errors import RegistryError
from rnnpipe.problems.forecasting.metrics import Forward, naive_errors
from rnnpipe.runtime.progress import track
from rnnpipe.series.windows import WindowedSeries
from rnnpipe.storage.files import atomic_file

PROBABILITIES = np.array(
    [0.005, 0.01, 0.025, *np.linspace(0.05, 0.95, 19).round(2).tolist(), 0.975, 0.99, 0.995]
)
LEAST_LEVEL, LARGEST_LEVEL = 1, 99
LEVELS = (80, 95)  # whose coverage is measured
_SCORED = 95
_BATCH = 256
_MOST_BYTES = 1 << 28  # of errors that are put in order at once
_FEWEST = 50  # errors of a step; of fewer those of all steps are taken together


@dataclass(frozen=True)
class Bands:
    """Errors of one forecaster, by how often they are no larger.

    Attributes:
        errors: ``float64[probabilities, horizon, columns]``, truth less forecast, scaled, rising along
            :data:`PROBABILITIES`.
    """

    errors: NDArray[np.float64]

    def at(self, level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what to add for the lower and for the upper end, ``float64[horizon, columns]`` each.

        Args:
            level: in percent, :data:`LEAST_LEVEL` to :data:`LARGEST_LEVEL`.
        """
        tail = (1 - level / 100) / 2
        return self._quantile(tail), self._quantile(1 - tail)

    def _quantile(self, probability: float) -> NDArray[np.float64]:
        place = float(np.interp(probability, PROBABILITIES, np.arange(len(PROBABILITIES))))
        below = min(int(place), len(PROBABILITIES) - 2)
        found = self.errors[below] + (place - below) * (self.errors[below + 1] - self.errors[below])
        return np.asarray(found, np.float64)


def fit_bands(forward: Forward, series: WindowedSeries, split: str = "validation") -> Bands:
    """Take the errors of a split, of very many windows an even choice.

    Of ``n`` errors the ``(n + 1) p``-th is taken, outward: the correction that makes a band of exchangeable
    errors hold what it says, however few there are.

    Raises:
        SourceError: the split holds no window.
    """
    starts = series.starts(split)
    size = 4 * series.horizon * len(series.names)
    most = max(1, _MOST_BYTES // size)
    if len(starts) > most:
        starts = starts[np.linspace(0, len(starts) - 1, most).round().astype(int)]
    errors = np.empty((len(starts), series.horizon, len(series.names)), np.float32)
    for begin in track(range(0, len(starts), _BATCH), f"taking errors of {split}", "batches"):
        past, truth = series.batch(split, starts[begin : begin + _BATCH])
        errors[begin : begin + _BATCH] = truth - forward(past)[:, : series.horizon]
    if np.isfinite(errors).sum(axis=0).min() < _FEWEST:
        together = errors.reshape(-1, 1, errors.shape[2])
        return Bands(np.repeat(_ordered(together), series.horizon, axis=1))
    return Bands(_ordered(errors))


def _ordered(errors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the errors at :data:`PROBABILITIES`, ``float64[probabilities, steps, columns]``."""
    known = np.isfinite(errors).sum(axis=0)  # NaN comes last
    errors = np.sort(errors, axis=0)
    found = []
    for probability in PROBABILITIES:
        rank = (known + 1) * probability
        rank = np.ceil(rank) if probability > 0.5 else np.floor(rank)
        place = np.clip(rank.astype(np.int64), 1, np.maximum(known, 1)) - 1
        found.append(np.take_along_axis(errors, place[None], axis=0)[0])
    return np.nan_to_num(np.stack(found).astype(np.float64))


def band_figures(
    bands: Bands, forward: Forward, series: WindowedSeries, split: str, season: int
) -> dict[str, float]:
    """Measure what bands hold, and how narrow they are for that.

    Args:
        bands: of the forecaster.
        forward: it.
        series: windows and scaling.
        split: whose known targets are counted, all steps of all windows alike.
        season: steps of one.

    Returns:
        ``coverage_80`` and ``coverage_95``, shares of the targets within; ``msis_95``, the mean scaled
        interval score of the band of 95 (Gneiting & Raftery 2007; Makridakis et al. 2018): its width, and
        twenty times twice by how far a target lies outside, as a share of the error of the value a season
        before; left out where no series has a season's error.
    """
    starts = series.starts(split)
    naive = naive_errors(series, season)
    ends = {level: bands.at(level) for level in LEVELS}
    held, count = dict.fromkeys(LEVELS, 0), 0
    scores, scored = 0.0, 0
    for begin in track(range(0, len(starts), _BATCH), f"judging bands on {split}", "batches"):
        chosen = starts[begin : begin + _BATCH]
        past, truth = series.batch(split, chosen)
        error = truth - np.asarray(forward(past), np.float64)[:, : series.horizon]
        count += int(np.isfinite(error).sum())
        for level, (low, high) in ends.items():
            held[level] += int(((error >= low) & (error <= high)).sum())
        low, high = ends[_SCORED]
        outside = np.maximum(low - error, 0) + np.maximum(error - high, 0)
        score = (high - low) + 2 / (1 - _SCORED / 100) * outside
        score /= naive[series.series_of(chosen)][:, None]
        known = np.isfinite(score)
        scores, scored = scores + float(score[known].sum()), scored + int(known.sum())
    found = {f"coverage_{level}": round(held[level] / count, 6) for level in LEVELS}
    return found | ({f"msis_{_SCORED}": round(scores / scored, 6)} if scored else {})


def save_bands(path: Path, network: Bands, linear: Bands) -> None:
    """Write the bands of the network and of the linear forecaster as ``.npz``."""
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.savez(file, network=network.errors, linear=linear.errors)


def load_bands(path: Path, name: Literal["network", "linear"], horizon: int, columns: int) -> Bands:
    """Read the bands of one forecaster.

    Raises:
        RegistryError: they are not there, or not of this many steps and columns.
    """
    expected = (len(PROBABILITIES), horizon, columns)
    try:
        with np.load(path, allow_pickle=False) as saved:
            errors = np.asarray(saved[name], np.float64)
        if errors.shape != expected or not np.isfinite(errors).all():
            raise ValueError(f"found {errors.shape}, expected {expected}")
    except FileNotFoundError:
        raise RegistryError(
            f"{path} is missing, as from models of before bands were kept: train it again, or ask for no"
            " levels"
        ) from None
    except (OSError, EOFError, LookupError, TypeError, ValueError) as error:
        raise RegistryError(
            f"{path} holds no bands of this model ({type(error).__name__}): take the folder anew from"
            " where it came from"
        ) from error
    return Bands(errors)
