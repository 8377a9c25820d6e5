"""The forecasts that ours are shown beside: the last season again, and a linear map.

The linear map is DLinear's form (Zeng et al. 2023, AAAI, "Are Transformers Effective for Time
Series Forecasting?"): its moving average and its two layers are linear, so together they are one
matrix from look-back to horizon, the same for every column. Least squares give the best one at
once. As in their NLinear, a window's last value is taken off before and put back behind.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.runtime.progress import track
from rnnpipe.series.table import cut
from rnnpipe.series.windows import WindowedSeries
from rnnpipe.storage.files import atomic_file

_BATCH = 512  # windows that are cut out at once


@dataclass(frozen=True)
class LinearForecaster:
    """One matrix from the past to the future of a column.

    Attributes:
        weights: ``float64[look_back, horizon]``.
        bias: ``float64[horizon]``.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    @property
    def look_back(self) -> int:
        """Steps that it reads."""
        return len(self.weights)

    @property
    def horizon(self) -> int:
        """Steps ahead that it tells."""
        return len(self.bias)

    def predict(self, past: NDArray[Any]) -> NDArray[np.float64]:
        """Map ``[batch, look_back, columns]`` to ``float64[batch, horizon, columns]``."""
        last = past[:, -1:].astype(np.float64)
        forecast = np.einsum("blc,lh->bhc", past - last, self.weights, optimize=True)
        return np.asarray(forecast + self.bias[:, None] + last, np.float64)

    def save(self, path: Path) -> None:
        """Write it as ``.npz``."""
        with atomic_file(path) as partial, partial.open("wb") as file:
            np.savez(file, weights=self.weights, bias=self.bias)

    @classmethod
    def load(cls, path: Path) -> "LinearForecaster":
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as saved:
            return cls(saved["weights"], saved["bias"])


@dataclass(frozen=True)
class Chosen:
    """A linear forecaster for all horizons, and how it was chosen.

    Attributes:
        model: it gives as many steps as the last horizon.
        ridges: the penalty chosen for each horizon, for its steps beyond the horizon before.
        validation_mse: by horizon, mean squared error on validation of each penalty over those
            steps, in the order of the penalties.
    """

    model: LinearForecaster
    ridges: Mapping[int, float]
    validation_mse: Mapping[int, tuple[float, ...]]


def choose_linear_forecaster(series: WindowedSeries, ridges: Sequence[float]) -> Chosen:
    """Fit one map for all horizons, its penalties chosen on validation.

    The steps up to the first horizon are learnt from every window that holds them, those up to
    the next from every window that holds these, and so on: as if each horizon had a map of its own.
    One solution for all steps needs every target, so what is missing is learnt as it was filled; it
    is not judged.

    Args:
        series: scaled and divided; look-back and horizons.
        ridges: penalties to choose from.
    """
    look_back = series.look_back
    values = series.values.astype(np.float64)
    inputs = series.inputs.astype(np.float64) if series.holes else values
    parts, chosen, figures = [], {}, {}
    for begin, horizon in zip([0, *series.horizons], series.horizons, strict=False):
        steps = range(begin, horizon)
        learnt, judged = (series.starts(name, horizon) for name in ("train", "validation"))
        candidates = fit_linear_forecasters(inputs, learnt, look_back, steps, ridges)
        errors = [
            _mse(values, inputs, judged, look_back, steps, candidate) for candidate in candidates
        ]
        best = int(np.argmin(errors))
        parts.append(candidates[best])
        chosen[horizon], figures[horizon] = ridges[best], tuple(errors)
    model = LinearForecaster(
        np.concatenate([part.weights for part in parts], axis=1),
        np.concatenate([part.bias for part in parts]),
    )
    return Chosen(model, chosen, figures)


def fit_linear_forecasters(
    values: NDArray[np.float64],
    starts: NDArray[np.int64],
    look_back: int,
    steps: range,
    ridges: Sequence[float],
) -> list[LinearForecaster]:
    """Fit linear maps by least squares over all windows and columns.

    Args:
        values: ``float64[n, columns]``, scaled.
        starts: ``int64[windows]``, first target step of each window to learn from.
        look_back: steps before it.
        steps: which steps are forecast, counted from the first target step.
        ridges: penalties on the squared weights, for each window and column.

    Returns:
        One for each penalty.
    """
    # One more column of ones, for the bias, which is not penalised.
    gram = np.zeros((look_back + 1, look_back + 1))
    moments = np.zeros((look_back + 1, len(steps)))
    for past, future in _rows(values, values, starts, look_back, steps):
        gram += past.T @ past
        moments += past.T @ future
    fitted = []
    for ridge in ridges:
        penalty = np.full(look_back + 1, ridge * gram[-1, -1])
        penalty[-1] = 0.0
        # Not solve: with a tiny penalty and columns that stand still the sum may be singular.
        found = np.linalg.lstsq(gram + np.diag(penalty), moments, rcond=None)[0]
        solution: NDArray[np.float64] = found.astype(np.float64)
        fitted.append(LinearForecaster(solution[:-1], solution[-1]))
    return fitted


def _rows(
    values: NDArray[np.float64],
    inputs: NDArray[np.float64],
    starts: NDArray[np.int64],
    look_back: int,
    steps: range,
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return a row a window and column, less its last value, and ones behind the past."""
    begins = range(0, len(starts), _BATCH)
    for begin in track(begins, "fitting and judging linear maps", "batches"):
        past, future = cut(inputs, starts[begin : begin + _BATCH], look_back, steps.stop)
        if inputs is not values:
            _, future = cut(values, starts[begin : begin + _BATCH], look_back, steps.stop)
        last = past[:, -1:]
        rows = (past - last).transpose(0, 2, 1).reshape(-1, look_back)
        yield (
            np.concatenate([rows, np.ones((len(rows), 1))], axis=1),
            (future[:, steps.start :] - last).transpose(0, 2, 1).reshape(-1, len(steps)),
        )


def _mse(
    values: NDArray[np.float64],
    inputs: NDArray[np.float64],
    starts: NDArray[np.int64],
    look_back: int,
    steps: range,
    model: LinearForecaster,
) -> float:
    total, count = 0.0, 0
    for past, future in _rows(values, inputs, starts, look_back, steps):
        errors = (past[:, :-1] @ model.weights + model.bias - future) ** 2
        total += float(np.nansum(errors))
        count += int(np.isfinite(errors).sum())
    return total / count if count else math.inf


def seasonal_naive(past: NDArray[Any], horizon: int, season: int) -> NDArray[Any]:
    """Say that the last season comes again.

    >>> seasonal_naive(np.array([[[1.0], [2.0], [3.0]]]), 3, 2)[..., 0].tolist()
    [[2.0, 3.0, 2.0]]

    Args:
        past: ``[batch, look_back, columns]``.
        horizon: steps to come.
        season: steps after which things repeat; at most ``look_back``.

    Returns:
        ``[batch, horizon, columns]``, of the past's type.
    """
    last = past[:, past.shape[1] - season :]
    return last[:, np.arange(horizon) % season]
