"""Forecasting networks as Keras models: a past goes in, all steps ahead come out at once.

Each is one layer that holds its recurrent layers. A window's level, the mean of its last steps, is
taken off every column before and put back behind, so that one that drifts is no news (of one step:
Zeng et al. 2023, NLinear). What it says is the sum of a linear map over periods, where there is one,
and of what the recurrent layers say.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Self

from rnnpipe.config.series import Windows
from rnnpipe.networks.backend import keras, tf
from rnnpipe.networks.recurrent import StackConfig
from rnnpipe.problems.forecasting.linear_forecaster import LinearForecaster
from rnnpipe.problems.forecasting.params import ForecastTrain
from rnnpipe.problems.forecasting.period_map import PeriodMap
from rnnpipe.problems.forecasting.step_map import StepMap

Loss = Callable[[Any, Any], Any]


class _Forecaster(keras.layers.Layer):  # type: ignore[misc]
    """What both decoders share: level and linear map, a stack of recurrent layers, dropout, a head."""

    def __init__(
        self,
        horizon: int,
        stack_config: StackConfig,
        level_steps: int = 1,
        period: int | None = None,
        corrects_baseline: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.horizon = horizon
        self.stack_config = stack_config
        self.level_steps = level_steps
        self.period = period
        self.corrects_baseline = corrects_baseline
        self.linear: PeriodMap | StepMap | None = None
        if corrects_baseline:
            self.linear = StepMap(horizon, name="linear")
        elif period:
            self.linear = PeriodMap(period, horizon, name="linear")
        self.stack = [
            stack_config.layer(f"recurrent_{number + 1}")
            for number in range(stack_config.num_layers)
        ]
        # One between layers and one before the head.
        self.dropouts = [
            stack_config.dropout(f"dropout_{number + 1}")
            for number in range(stack_config.num_layers)
        ]

    def _build(self, look_back: int, width: int, head: int) -> None:
        """Create the weights that both decoders have.

        Args:
            look_back: steps of the past.
            width: of what the first recurrent layer reads.
            head: values that the head gives.
        """
        for layer in self.stack:
            layer.build((None, None, width), (None,))
            width = self.stack_config.hidden_size
        # Beside a linear map the recurrence begins as no correction at all.
        start = "zeros" if self.linear else "glorot_uniform"
        self.head = keras.layers.Dense(head, kernel_initializer=start, name="head")
        self.head.build((None, width))
        if self.linear:
            self.linear.build((None, look_back))

    def _scan(self, inputs: Any, training: bool | None) -> tuple[Any, list[Any]]:
        """Run all layers over ``float32[batch, time, width]``, none of it padding.

        Returns:
            The last layer's hidden states, and each layer's final state.
        """
        shape = tf.shape(inputs)
        lengths = tf.fill(shape[:1], shape[1])
        finals = []
        for number, layer in enumerate(self.stack):
            if number:
                inputs = self.dropouts[number - 1](inputs, training=training)
            inputs, (final,) = layer.scan(inputs, lengths, training=training)
            finals.append(final)
        return inputs, finals

    def call(self, past: Any, training: bool | None = None) -> Any:
        """Map ``float32[batch, look_back, columns]`` to ``float32[batch, horizon, columns]``."""
        _, look_back, columns = past.shape
        level = tf.reduce_mean(past[:, -self.level_steps :], axis=1, keepdims=True)
        moved = past - level
        future = self._recur(moved, training)
        if self.linear:
            each = tf.reshape(tf.transpose(moved, [0, 2, 1]), [-1, look_back])
            mapped = tf.reshape(self.linear(each), [-1, columns, self.horizon])
            future += tf.transpose(mapped, [0, 2, 1])
        return future + level

    def _recur(self, moved: Any, training: bool | None) -> Any:
        """Map ``float32[batch, look_back, columns]``, the level taken off, as :meth:`call` does."""
        raise NotImplementedError

    def compute_output_shape(self, past_shape: Any) -> Any:
        """Return the shape of the future."""
        return past_shape[0], self.horizon, past_shape[2]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "horizon": self.horizon,
            **self.stack_config.get_config(),
            "level_steps": self.level_steps,
            "period": self.period,
            # What older files lack, they need not say.
            **({"corrects_baseline": True} if self.corrects_baseline else {}),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build it from what :meth:`get_config` gave."""
        stack_config, rest = StackConfig.pop_from(config)
        return cls(stack_config=stack_config, **rest)


@keras.saving.register_keras_serializable("rnnpipe")
class DirectForecaster(_Forecaster):
    """All columns read step by step; the last state gives every column's steps ahead at once."""

    def build(self, past_shape: Any) -> None:
        """Create the weights."""
        _, look_back, columns = past_shape
        self._build(look_back, columns, self.horizon * columns)

    def _recur(self, moved: Any, training: bool | None) -> Any:
        states, _ = self._scan(moved, training)
        future = self.head(self.dropouts[-1](states[:, -1], training=training))
        return tf.reshape(future, [-1, self.horizon, moved.shape[2]])


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
        width = self.stack_config.hidden_size
        self.projection = keras.layers.Dense(width, "relu", name="projection")
        self.projection.build((None, None, self.segment))
        self._build(look_back, width, self.segment)
        half = width // 2
        # As wide as the inputs of the recurrence are: the usual 0.05 would be drowned.
        start = keras.initializers.RandomNormal(stddev=1.0)
        self.places = self.add_weight(
            shape=(self.segments_ahead, half), initializer=start, name="places"
        )
        self.columns = self.add_weight(
            shape=(columns, width - half), initializer=start, name="columns"
        )

    def _recur(self, moved: Any, training: bool | None) -> Any:
        _, look_back, columns = moved.shape
        read, ahead = look_back // self.segment, self.segments_ahead
        each = tf.transpose(moved[:, look_back - read * self.segment :], [0, 2, 1])
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
        for number, (layer, final) in enumerate(zip(self.stack, finals, strict=True)):
            if number:
                answers = self.dropouts[number - 1](answers, training=training)
            # The same for every segment ahead: [batch, columns, 1, hidden_size].
            state = tf.reshape(final, [-1, columns, 1, final.shape[-1]])
            answers, _ = layer.step(answers, state)
        told = self.head(self.dropouts[-1](answers, training=training))
        future = tf.reshape(told, [-1, columns, ahead * self.segment])[:, :, : self.horizon]
        return tf.transpose(future, [0, 2, 1])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "segment": self.segment}


@keras.saving.register_keras_serializable("rnnpipe")
class MeanForecaster(keras.layers.Layer):  # type: ignore[misc]
    """Several forecasters side by side, each learning by itself; their mean answers.

    Those with a linear map and those without err differently, so the mean errs less than either; of
    one kind they differ by their first weights and by what dropout hides from each.
    """

    def __init__(self, members: list[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.members = members

    def build(self, past_shape: Any) -> None:
        """Create the weights."""
        for member in self.members:
            if not member.built:  # each of a file's comes built
                member.build(past_shape)

    def call(self, past: Any, training: bool | None = None) -> Any:
        """Map ``float32[batch, look_back, columns]`` to ``float32[batch, horizon, columns]``."""
        return tf.add_n(self.each(past, training)) / len(self.members)

    def each(self, past: Any, training: bool | None = None) -> list[Any]:
        """Return each member's own forecast, as :meth:`call` does the mean."""
        return [member(past, training=training) for member in self.members]

    def compute_output_shape(self, past_shape: Any) -> Any:
        """Return the shape of the future."""
        return self.members[0].compute_output_shape(past_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        members = [keras.saving.serialize_keras_object(member) for member in self.members]
        return {**super().get_config(), "members": members}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MeanForecaster":
        """Build it from what :meth:`get_config` gave."""
        members = [keras.saving.deserialize_keras_object(each) for each in config["members"]]
        return cls(**config | {"members": members})


def build_forecaster(
    params: ForecastTrain,
    windows: Windows,
    columns: int,
    baseline: LinearForecaster | None = None,
) -> keras.Model:
    """Build a network from a scaled past to all steps ahead.

    Args:
        params: the network's shape; its seed decides the first weights.
        windows: look-back, and horizons, the last of which says how many steps come out.
        columns: of the series.
        baseline: the linear forecaster to correct, where members do.

    Returns:
        A model from ``float32[batch, look_back, columns]``, named ``past``, to
        ``float32[batch, horizon, columns]``, named ``future``.

    Raises:
        ValueError: the look-back is shorter than a segment.
    """
    keras.utils.set_random_seed(params.seed)
    shape: dict[str, Any] = {
        "horizon": windows.horizons[-1],
        "stack_config": StackConfig.of(params),
        "level_steps": params.level_steps or windows.season,
    }
    kind: Callable[..., _Forecaster] = (
        partial(SegmentForecaster, params.segment)
        if params.decoder == "segments"
        else DirectForecaster
    )
    others = params.members - params.linear_members - params.baseline_members
    parts: list[dict[str, Any]] = [
        *[{"period": windows.season}] * params.linear_members,
        *[{"corrects_baseline": True}] * params.baseline_members,
        *[{}] * others,
    ]
    if len(parts) == 1:
        layer = kind(name="future", **shape, **parts[0])
    else:
        members = [
            kind(name=f"member_{number + 1}", **shape, **part) for number, part in enumerate(parts)
        ]
        layer = MeanForecaster(members, name="future")
    past = keras.Input((windows.look_back, columns), dtype="float32", name="past")
    network = keras.Model(past, layer(past), name="forecaster")
    for part in network._flatten_layers():
        if isinstance(part, StepMap) and baseline is not None:
            part.take_over(baseline)
    return network


def each_forecast(network: keras.Model) -> Callable[[Any], list[Any]]:
    """Return how a network forecasts in training: one forecast for each that learns by itself."""
    layer = network.get_layer("future")
    if isinstance(layer, MeanForecaster):
        return lambda past: layer.each(past, training=True)
    return lambda past: [layer(past, training=True)]


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
