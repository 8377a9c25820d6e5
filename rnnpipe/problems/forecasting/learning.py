"""The forecaster, its windows, and one step of its training."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.networks.backend import keras, tf
from rnnpipe.networks.optimizers import Optimizer
from rnnpipe.networks.training import StepResult, TrainingTask, draw_fraction, tensorflow_variables
from rnnpipe.problems.forecasting.files import BASELINE, WINDOWS
from rnnpipe.problems.forecasting.linear_forecaster import LinearForecaster
from rnnpipe.problems.forecasting.metrics import Forward, forecast_metrics
from rnnpipe.problems.forecasting.network import (
    build_forecaster,
    count_known,
    each_forecast,
    forecast_loss,
)
from rnnpipe.problems.forecasting.params import ForecastingParams, ForecastTrain
from rnnpipe.series.windows import WindowedSeries, draw_windows


def learn(params: ForecastingParams) -> TrainingTask:
    """A fresh forecaster with its windows, and validation to judge it by.

    Its loss on validation is the mean squared error, mean over the horizons, whatever
    ``train.loss`` is: that is what forecasts are compared by.
    """
    series = WindowedSeries.load(WINDOWS)
    baseline = LinearForecaster.load(BASELINE) if params.train.baseline_members else None
    network = build_forecaster(params.train, params.windows, len(series.names), baseline)
    starts = draw_fraction(series.starts("train"), params.train)
    forward = compile_forward(network)

    def batches(epoch: int) -> list[NDArray[np.int64]]:
        return draw_windows(starts, params.train.batch_size, seed=params.train.seed, epoch=epoch)

    def start(optimizer: Optimizer) -> Callable[[NDArray[np.int64]], StepResult]:
        step = compile_step(network, optimizer, params.train, series.horizons)

        def take(batch: NDArray[np.int64]) -> StepResult:
            mine = optimizer.team.share(batch)
            found, norm = step(*map(tf.constant, series.batch("train", mine)))
            return StepResult(float(found), len(batch), float(norm))

        return take

    def validate() -> dict[str, float]:
        errors = forecast_metrics(forward, series, "validation")
        return {"loss": errors.mean_mse, "mae": float(errors.mae.mean())}

    return TrainingTask(network, batches, start, lambda loss, correct: {}, validate, "windows")


def compile_forward(network: keras.Model) -> Forward:
    """Compile a forecaster's prediction, dropout off."""
    compiled = tf.function(
        lambda past: network(past, training=False),
        autograph=False,
        input_signature=[tf.TensorSpec(network.inputs[0].shape, tf.float32)],
    )
    return lambda past: np.asarray(compiled(tf.constant(past)))


def compile_step(
    network: keras.Model, optimizer: Optimizer, params: ForecastTrain, horizons: tuple[int, ...]
) -> Callable[..., tuple[Any, Any]]:
    """Compile one step of the training.

    Args:
        network: maps ``float32[batch, look_back, columns]`` to ``float32[batch, horizon, columns]``.
        optimizer: over the network's variables, in their order.
        params: the loss, and the longest gradient.
        horizons: rising, those of the loss.

    Returns:
        A function of pasts and futures to the loss and the gradient's norm before clipping.
    """
    variables = tensorflow_variables(network)
    loss = forecast_loss(params.loss, horizons)
    forecasts = each_forecast(network)

    def step(past: Any, future: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            losses = [loss(forecast, future) for forecast in forecasts(past)]
            found = tf.add_n(losses) / len(losses)
        gradients, found, _ = optimizer.team.average(
            tf.reduce_sum(count_known(future, horizons)),
            tape.gradient(found, variables),
            found,
            0,
        )
        return found, optimizer.step(gradients, params.gradient_clip_norm)

    compiled: Callable[..., tuple[Any, Any]] = tf.function(
        step,
        autograph=False,
        input_signature=[
            tf.TensorSpec(shape, tf.float32)
            for shape in (network.inputs[0].shape, network.outputs[0].shape)
        ],
    )
    return compiled
