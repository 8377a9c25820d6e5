"""The forecasts that ours are shown beside: the last season again, and a linear map.

The linear map is DLinear's form (Zeng et al. 2023, AAAI, "Are Transformers Effective for Time
Series Forecasting?"): its moving average and its two layers are linear, so together they are one
matrix from look-back to horizon, the same for every channel. Least squares give the best one at
once. As in their NLinear, a window's last value is taken off before and put back behind.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnnpipe.series import cut

_BATCH = 512  # windows that are cut out at once


@dataclass(frozen=True)
class LinearForecaster:
    """One matrix from the past to the future of a channel.

    Attributes:
        weights: ``float64[look_back, horizon]``.
        bias: ``float64[horizon]``.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def predict(self, past: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map ``float64[batch, look_back, channels]`` to ``float64[batch, horizon, channels]``."""
        last = past[:, -1:]
        forecast = np.einsum("blc,lh->bhc", past - last, self.weights, optimize=True)
        return np.asarray(forecast + self.bias[:, None] + last, np.float64)


def fit_linear_forecaster(
    values: NDArray[np.float64],
    starts: NDArray[np.int64],
    look_back: int,
    horizon: int,
    ridge: float,
) -> LinearForecaster:
    """Fit the linear map by least squares over all windows and channels.

    Args:
        values: ``float64[n, channels]``, scaled.
        starts: ``int64[windows]``, first target step of each window to learn from.
        look_back: steps before it.
        horizon: steps from it on.
        ridge: penalty on the squared weights, for each window.
    """
    # One more column of ones, for the bias, which is not penalised.
    gram = np.zeros((look_back + 1, look_back + 1))
    moments = np.zeros((look_back + 1, horizon))
    for past, future in _rows(values, starts, look_back, horizon):
        gram += past.T @ past
        moments += past.T @ future
    penalty = np.full(look_back + 1, ridge * gram[-1, -1])
    penalty[-1] = 0.0
    solution = np.linalg.solve(gram + np.diag(penalty), moments)
    return LinearForecaster(solution[:-1], solution[-1])


def _rows(
    values: NDArray[np.float64], starts: NDArray[np.int64], look_back: int, horizon: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Give a row a window and channel, less its last value, and ones behind the past."""
    for begin in range(0, len(starts), _BATCH):
        past, future = cut(values, starts[begin : begin + _BATCH], look_back, horizon)
        last = past[:, -1:]
        rows = (past - last).transpose(0, 2, 1).reshape(-1, look_back)
        yield (
            np.concatenate([rows, np.ones((len(rows), 1))], axis=1),
            (future - last).transpose(0, 2, 1).reshape(-1, horizon),
        )


def seasonal_naive(past: NDArray[np.float64], horizon: int, season: int) -> NDArray[np.float64]:
    """Say that the last season comes again.

    >>> seasonal_naive(np.array([[[1.0], [2.0], [3.0]]]), 3, 2)[..., 0].tolist()
    [[2.0, 3.0, 2.0]]

    Args:
        past: ``float64[batch, look_back, channels]``.
        horizon: steps to come.
        season: steps after which things repeat; at most ``look_back``.
    """
    last = past[:, past.shape[1] - season :]
    return np.asarray(last[:, np.arange(horizon) % season], np.float64)
