"""How far forecasts lie from the truth, by horizon, column and step, over every window of a split.

For horizon h every window whose h targets lie in the split counts, the last batch too; what a
forecast says beyond h does not matter, nor what it says where no value is known. Nothing here knows
how a forecast is made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rnnpipe.metrics.interval import Interval
from rnnpipe.runtime.progress import track
from rnnpipe.series.windows import WindowedSeries

# float32[batch, look_back, columns] -> [batch, horizon, columns], all scaled
Forward = Callable[[NDArray[np.float32]], NDArray[Any]]
_BATCH = 256


@dataclass(frozen=True)
class ForecastErrors:
    """Errors over a split; scaled means in standard deviations of train.

    Attributes:
        horizons: rising.
        windows: by horizon, how many windows were judged.
        mse: ``float64[horizons]``, mean squared error, scaled, over windows, steps and columns.
        mae: ``float64[horizons]``, mean absolute error, likewise.
        column_mse: ``float64[horizons, columns]``, in squares of the columns' own units.
        column_mae: ``float64[horizons, columns]``, in the columns' own units.
        step_mse: ``float64[horizon]``, scaled, by step ahead, over the windows that hold the step.
        window_mse: by horizon, ``float64[windows]``, scaled, of each window in the order of time;
            NaN where of its targets none is known.
    """

    horizons: tuple[int, ...]
    windows: tuple[int, ...]
    mse: NDArray[np.float64]
    mae: NDArray[np.float64]
    column_mse: NDArray[np.float64]
    column_mae: NDArray[np.float64]
    step_mse: NDArray[np.float64]
    window_mse: tuple[NDArray[np.float64], ...]

    @property
    def mean_mse(self) -> float:
        """Mean of the scaled MSE over the horizons: what a training is chosen by."""
        return float(self.mse.mean())


def forecast_metrics(
    forward: Forward, series: WindowedSeries, split: str, batch_size: int = _BATCH
) -> ForecastErrors:
    """Judge forecasts over every window of a split, batch by batch.

    Args:
        forward: gives at least the last horizon's steps from a scaled past.
        series: windows, horizons and scaling.
        split: ``train``, ``validation`` or ``test``.
        batch_size: windows at once; the figures do not depend on it, but for the last digits.

    Raises:
        SourceError: the split holds no window.
    """
    starts, stop = series.starts(split), series.splits[split].stop
    horizons, columns = series.horizons, len(series.names)
    squares, sizes, counts = (np.zeros((len(horizons), columns)) for _ in range(3))
    step_squares, step_counts = np.zeros(series.horizon), np.zeros(series.horizon)
    windows = np.array([np.count_nonzero(starts + horizon <= stop) for horizon in horizons])
    window_mse = [np.empty(count) for count in windows]
    begins = range(0, len(starts), batch_size)
    for begin in track(begins, f"judging {split} windows", "batches"):
        chosen = starts[begin : begin + batch_size]
        past, truth = series.batch(split, chosen)
        # Forecasts are judged in float64: sums of so many float32 would lose digits.
        error = np.asarray(forward(past), np.float64)[:, : series.horizon] - truth
        each_step = _mean_known(np.square(error), axis=2)
        step_squares += np.nansum(each_step, axis=0)
        step_counts += np.isfinite(each_step).sum(axis=0)
        for number, horizon in enumerate(horizons):
            held = error[: max(0, int(windows[number]) - begin), :horizon]
            squares[number] += np.nansum(np.square(held), axis=(0, 1))
            sizes[number] += np.nansum(np.abs(held), axis=(0, 1))
            counts[number] += np.isfinite(held).sum(axis=(0, 1))
            window_mse[number][begin : begin + len(held)] = _mean_known(np.square(held), (1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):  # a horizon without windows has no figure
        squares, sizes = squares / counts, sizes / counts
        by_step = step_squares / step_counts
    deviation = series.scaler.deviation
    return ForecastErrors(
        horizons,
        tuple(windows.tolist()),
        _mean_known(squares, axis=1),
        _mean_known(sizes, axis=1),
        squares * deviation**2,
        sizes * deviation,
        by_step,
        tuple(window_mse),
    )


def _mean_known(values: NDArray[np.float64], axis: int | tuple[int, ...]) -> NDArray[np.float64]:
    """Mean over axes of what is known, NaN where nothing is."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(values, axis=axis) / np.isfinite(values).sum(axis=axis)
    return np.asarray(mean, np.float64)


def flatten_errors(errors: ForecastErrors) -> dict[str, float | int]:
    """Lay the scaled figures out as ``mse_96``, ``mae_96``, …, ``windows_96``, and ``mse``, ``mae``.

    The last two are the shortest horizon's, by which models are compared: of what lies farther
    ahead a split holds too few windows that share no target. ``mse_mean`` and ``mae_mean`` are the
    means over the horizons, as papers give them.
    """
    flat: dict[str, float | int] = {
        "mse": round(float(errors.mse[0]), 6),
        "mae": round(float(errors.mae[0]), 6),
        "mse_mean": round(errors.mean_mse, 6),
        "mae_mean": round(float(errors.mae.mean()), 6),
    }
    for horizon, windows, mse, mae in zip(
        errors.horizons, errors.windows, errors.mse, errors.mae, strict=True
    ):
        flat[f"mse_{horizon}"] = round(float(mse), 6)
        flat[f"mae_{horizon}"] = round(float(mae), 6)
        flat[f"windows_{horizon}"] = windows
    return flat


def column_table(errors: ForecastErrors, names: tuple[str, ...]) -> pd.DataFrame:
    """Lay errors in the columns' own units out: horizon, column, mse, rmse, mae."""
    return pd.DataFrame(
        {
            "horizon": np.repeat(errors.horizons, len(names)),
            "column": list(names) * len(errors.horizons),
            "mse": errors.column_mse.ravel(),
            "rmse": np.sqrt(errors.column_mse.ravel()),
            "mae": errors.column_mae.ravel(),
        }
    )


def block_bootstrap(
    losses: NDArray[np.float64], block: int, *, samples: int, confidence: float, seed: int
) -> Interval:
    """Return the mean of a sequence with its percentile interval, dependence along it kept.

    Windows that start one step apart share nearly all targets: as single rows their interval would
    be far too narrow. Blocks of neighbours are drawn instead, the end joined to the beginning
    (Politis & Romano 1992, "A circular block-resampling procedure for stationary data").

    Args:
        losses: ``float64[windows]``, in the order of time; for a comparison, differences; NaN is left
            out.
        block: windows a block; the horizon is natural, beyond it two windows share no target.
            At most a third of the windows is taken, so that several blocks are drawn.
        samples: number of resamples.
        confidence: coverage of the interval.
        seed: seed of the resampling.

    Raises:
        ValueError: there is no window.
    """
    losses = losses[np.isfinite(losses)]
    drawn = _resampled_means(losses, block, samples, seed)
    tail = (1 - confidence) / 2
    return Interval(
        float(losses.mean()), float(np.quantile(drawn, tail)), float(np.quantile(drawn, 1 - tail))
    )


def block_p_value(
    differences: NDArray[np.float64], block: int, *, samples: int, seed: int
) -> float:
    """Return how easily chance gives a mean as far from 0, by resamples as :func:`block_bootstrap`'s.

    It is the share of resamples, shifted to a mean of 0, whose mean is as far from 0 or farther. Of few
    blocks it says somewhat too small a value: of 60, .05 one time in nine where there is no difference.

    Args:
        differences: ``float64[windows]``, in the order of time; NaN is left out.
        block: as there.
        samples: number of resamples.
        seed: seed of the resampling.

    Raises:
        ValueError: there is no window.
    """
    differences = differences[np.isfinite(differences)]
    mean = differences.mean() if len(differences) else 0.0
    drawn = _resampled_means(differences, block, samples, seed) - mean
    return float((np.count_nonzero(np.abs(drawn) >= abs(mean)) + 1) / (samples + 1))


def _resampled_means(
    losses: NDArray[np.float64], block: int, samples: int, seed: int
) -> NDArray[np.float64]:
    count = len(losses)
    if not count:
        raise ValueError("no windows to take a mean of")
    block = max(1, min(block, count // 3))
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([losses, losses[: block - 1]]))])
    means = (sums[block:] - sums[:-block]) / block  # of the block that begins at each window
    random = np.random.default_rng(seed)
    drawn = means[random.integers(0, count, (samples, -(-count // block)))].mean(axis=1)
    return np.asarray(drawn, np.float64)


@dataclass(frozen=True)
class Example:
    """One window's forecasts in the columns' own units.

    Attributes:
        past_times: ``datetime64[us][look_back]``.
        times: ``datetime64[us][horizon]``, of the truth and the forecasts.
        past: ``float64[look_back, columns]``.
        truth: ``float64[horizon, columns]``, NaN beyond the split.
        forecasts: by who made them, ``float64[horizon, columns]``.
    """

    past_times: NDArray[np.datetime64]
    times: NDArray[np.datetime64]
    past: NDArray[np.float64]
    truth: NDArray[np.float64]
    forecasts: dict[str, NDArray[np.float64]]


def examples(
    forwards: dict[str, Forward], series: WindowedSeries, split: str, count: int
) -> list[Example]:
    """Take windows that lie evenly over a split, with all targets where there are such.

    Args:
        forwards: by the name that a picture shows.
        series: windows and scaling.
        split: of the windows.
        count: number of windows, at most.
    """
    starts = series.starts(split)
    whole = starts[starts + series.horizon <= series.splits[split].stop]
    starts = whole if len(whole) else starts[:1]
    chosen = starts[np.unique(np.linspace(0, len(starts) - 1, count).round().astype(int))]
    past, truth = series.batch(split, chosen)
    forecasts = {
        name: series.scaler.unscale(np.asarray(forward(past), np.float64)[:, : series.horizon])
        for name, forward in forwards.items()
    }
    unscaled = [series.scaler.unscale(part.astype(np.float64)) for part in (past, truth)]
    return [
        Example(
            series.times[start - series.look_back : start],
            series.times[start : start + series.horizon],
            unscaled[0][row],
            unscaled[1][row],
            {name: forecast[row] for name, forecast in forecasts.items()},
        )
        for row, start in enumerate(chosen)
    ]
