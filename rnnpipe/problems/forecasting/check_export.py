"""The exported forecaster beside the one that was trained."""

from pathlib import Path

from rnnpipe.networks.backend import keras, tf
from rnnpipe.networks.onnx_comparison import probe, require_equal
from rnnpipe.problems.forecasting.exported import ExportedForecaster
from rnnpipe.problems.forecasting.files import WINDOWS
from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.series.windows import WindowedSeries

_PROBE = 64


def check_export(params: ForecastingParams, network: keras.Model, path: Path) -> None:
    """Ask both about some validation windows.

    Raises:
        TrainingError: their forecasts, scaled, differ.
    """
    series = WindowedSeries.load(WINDOWS)
    starts = series.starts("validation")
    chosen = starts[probe(len(starts), _PROBE)]
    past, _ = series.batch("validation", chosen)
    expected = network(tf.constant(past), training=False).numpy()
    exported = ExportedForecaster(path).forecast(past)
    require_equal(exported, expected, f"the forecasts of {len(chosen)} validation windows")
