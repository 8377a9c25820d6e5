"""Forecasting networks as Keras models: a past goes in, all steps ahead come out at once.

Each is one layer that holds its recurrent layers. A window's last value is taken off every column
before and put back behind (Zeng et al. 2023, NLinear), so that a level that drifts is no news.
"""

from collections.abc import Callable
from typing import Any

from rnnpipe.config.series import Windows
from rnnpipe.networks.backend import keras, tf
from rnnpipe.networks.recurrent import Recurrent
from rnnpipe.problems.forecasting.params import ForecastTrain

Loss = Callable[[Any, Any], Any]


class _Forecaster(keras.layers.Layer):  # type: ignore[misc]
    """What both decoders share: a stack of recurrent layers, dropout, and a head."""

    def __init__(
        self,
        horizon: int,
        cell: str,
        hidden_size: int,
        num_layers: int,
        dropout_rate: float,
        precision: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.horizon = horizon
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.dropout_rate = dropout_rate
        self.precision = precision
        self.stack = [
            Recurrent(cell, hidden_size, False, precision, name=f"recurrent_{number + 1}")
            for number in range(num_layers)
        ]
        # One between layers and one before the head.
        self.dropouts = [
            keras.layers.Dropout(dropout_rate, name=f"dropout_{number + 1}")
            for number in range(num_layers)
        ]

    def _build_stack(self, width: int) -> None:
        for recurrent in self.stack:
            recurrent.build((None, None, width), (None,))
            width = self.hidden_size

    def _scan(self, inputs: Any, training: bool | None) -> tuple[Any, list[Any]]:
        """Run all layers over ``float32[batch, time, width]``, none of it padding.

        Returns:
            The last layer's hidden states, and each layer's final state.
        """
        shape = tf.shape(inputs)
        lengths = tf.fill(shape[:1], shape[1])
        finals = []
        for number, recurrent in enumerate(self.stack):
            if number:
                inputs = self.dropouts[number - 1](inputs, training=training)
            inputs, (final,) = recurrent.scan(inputs, lengths, training=training)
            finals.append(final)
        return inputs, finals

    def compute_output_shape(self, past_shape: Any) -> Any:
        """Return the shape of the future."""
        return past_shape[0], self.horizon, past_shape[2]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "horizon": self.horizon,
            "cell": self.cell,
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "dropout_rate": self.dropout_rate,
            "precision": self.precision,
        }


@keras.saving.register_keras_serializable("rnnpipe")
class DirectForecaster(_Forecaster):
    """All columns read step by step; the last state gives every column's steps ahead at once."""

    def build(self, past_shape: Any) -> None:
        """Create the weights."""
        _, _, columns = past_shape
        self._build_stack(columns)
        self.head = keras.layers.Dense(self.horizon * columns, name="head")
        self.head.build((None, self.hidden_size))

    def call(self, past: Any, training: bool | None = None) -> Any:
        """Map ``float32[batch, look_back, columns]`` to ``float32[batch, horizon, columns]``."""
        last = past[:, -1:]
        states, _ = self._scan(past - last, training)
        future = self.head(self.dropouts[-1](states[:, -1], training=training))
        return tf.reshape(future, [-1, self.horizon, past.shape[2]]) + last


@keras.saving.register_keras_serializable("rnnpipe")
class SegmentForecaster(_Forecaster):
    """Each column by itself, read and told in segments of several steps.

    After SegRNN (Lin et al. 2023, arXiv:2308.11200): a segment of the past becomes one input of
    the recurrence, which so has few steps to remember over. The state behind the last is then
    asked for each segment ahead, all side by side ("parallel multi-step forecasting"), one step
    of the same recurrence each: what asks is an embedding of the segment's place beside one of the
    column. Steps of the past that fill no whole segment, the oldest ones, are not read.
    """

    def __init__(self, segment: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.segment = segment

    @property
    def segments_ahead(self) -> int:
        """Number of segments that the horizon takes, the last perhaps in part."""
        return -(-self.horizon // self.segment)

    def build(self, past_shape: Any) -> None:
        """Create the weights."""
        _, look_back, columns = past_shape
        if look_back < self.segment:
            raise ValueError(f"a look-back of {look_back} holds no segment of {self.segment} steps")
        self.projection = keras.layers.Dense(self.hidden_size, "relu", name="projection")
        self.projection.build((None, None, self.segment))
        self._build_stack(self.hidden_size)
        half = self.hidden_size // 2
        # As wide as the inputs of the recurrence are: the usual 0.05 would be drowned.
        start = keras.initializers.RandomNormal(stddev=1.0)
        self.places = self.add_weight(
            shape=(self.segments_ahead, half), initializer=start, name="places"
        )
        self.columns = self.add_weight(
            shape=(columns, self.hidden_size - half), initializer=start, name="columns"
        )
        self.head = keras.layers.Dense(self.segment, name="head")
        self.head.build((None, self.hidden_size))

    def call(self, past: Any, training: bool | None = None) -> Any:
        """Map ``float32[batch, look_back, columns]`` to ``float32[batch, horizon, columns]``."""
        _, look_back, columns = past.shape
        read, ahead = look_back // self.segment, self.segments_ahead
        last = past[:, -1:]
        each = tf.transpose((past - last)[:, look_back - read * self.segment :], [0, 2, 1])
        segments = tf.reshape(each, [-1, read, self.segment])  # a row a window and column
        _, finals = self._scan(self.projection(segments), training)
        # The same for every window: [columns, ahead, hidden_size].
        answers = tf.concat(
            [
                tf.tile(self.places[None], [columns, 1, 1]),
                tf.tile(self.columns[:, None], [1, ahead, 1]),
            ],
            axis=-1,
        )
        for number, (recurrent, final) in enumerate(zip(self.stack, finals, strict=True)):
            if number:
                answers = self.dropouts[number - 1](answers, training=training)
            # The same for every segment ahead: [batch, columns, 1, hidden_size].
            state = tf.reshape(final, [-1, columns, 1, final.shape[-1]])
            answers, _ = recurrent.step(answers, state)
        told = self.head(self.dropouts[-1](answers, training=training))
        future = tf.reshape(told, [-1, columns, ahead * self.segment])[:, :, : self.horizon]
        return tf.transpose(future, [0, 2, 1]) + last

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "segment": self.segment}


def build_forecaster(params: ForecastTrain, windows: Windows, columns: int) -> keras.Model:
    """Build a network from a scaled past to all steps ahead.

    Args:
        params: the network's shape; its seed decides the first weights.
        windows: look-back, and horizons, the last of which says how many steps come out.
        columns: of the series.

    Returns:
        A model from ``float32[batch, look_back, columns]``, named ``past``, to
        ``float32[batch, horizon, columns]``, named ``future``.

    Raises:
        ValueError: the look-back is shorter than a segment.
    """
    keras.utils.set_random_seed(params.seed)
    shape: dict[str, Any] = {
        "horizon": windows.horizons[-1],
        "cell": params.cell,
        "hidden_size": params.hidden_size,
        "num_layers": params.num_layers,
        "dropout_rate": params.dropout_rate,
        "precision": params.precision,
        "name": "future",
    }
    layer = (
        SegmentForecaster(params.segment, **shape)
        if params.decoder == "segments"
        else DirectForecaster(**shape)
    )
    past = keras.Input((windows.look_back, columns), dtype="float32", name="past")
    return keras.Model(past, layer(past), name="forecaster")


def forecast_loss(kind: str, horizons: tuple[int, ...]) -> Loss:
    """Return the loss of a batch: the mean over the horizons of the mean up to each.

    That is what the figures are taken from, so the near steps count more, as they do there: each
    horizon holds them.

    Args:
        kind: of one step's error: ``mae``, ``mse`` or ``huber`` (squared up to 1, linear beyond).
        horizons: rising.

    Returns:
        A TensorFlow function of the forecast and the truth, ``float32[batch, horizon, columns]``
        both, NaN in the truth where it belongs to another split: such steps count nowhere.
    """
    distance = {"mae": tf.abs, "mse": tf.square, "huber": _huber}[kind]

    def loss(forecast: Any, truth: Any) -> Any:
        known = tf.math.is_finite(truth)
        # Behind the choice no NaN may stand, not even unchosen: its gradient would be NaN.
        errors = distance(forecast - tf.where(known, truth, forecast))
        counted = count_known(truth, horizons)
        return tf.reduce_sum(errors * counted) / tf.reduce_sum(counted)

    return loss


def count_known(truth: Any, horizons: tuple[int, ...]) -> Any:
    """Return how much each value of the truth counts in the loss, nothing where it is unknown."""
    weights = [
        sum(1 / each for each in horizons if step < each) / len(horizons)
        for step in range(horizons[-1])
    ]
    return tf.where(tf.math.is_finite(truth), tf.constant(weights, tf.float32)[:, None], 0.0)


def _huber(error: Any) -> Any:
    size = tf.abs(error)
    return tf.where(size < 1, size * size / 2, size - 0.5)
