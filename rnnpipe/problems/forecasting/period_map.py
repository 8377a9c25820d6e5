"""A linear map from past periods of a series to those ahead."""

import math
from typing import Any

from rnnpipe.networks.backend import keras, tf


@keras.saving.register_keras_serializable("rnnpipe")
class PeriodMap(keras.layers.Layer):  # type: ignore[misc]
    """What a period ahead holds, as weighted sums of the past ones; so a hundred weights do much.

    After SparseTSF (Lin et al. 2024, arXiv:2405.00946): the steps of one phase, such as all the
    noons, are forecast from those of the same phase, by weights that all phases, and all columns,
    share. Here in two parts: the mean of each period by one set of weights, what differs from it
    within the period by another, since a level drifts where the shape of a day stays. Both begin as
    the mean over all past periods. They are kept multiplied by the root of their number, so that a
    step of the optimizer moves a forecast about as far however many there are.

    Steps that fill no whole period, the oldest ones, are not read; a period of one step has no shape,
    and what is left is a map from all steps to all.
    """

    def __init__(self, period: int, horizon: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.period = period
        self.horizon = horizon

    def build(self, past_shape: Any) -> None:
        """Create the weights."""
        _, look_back = past_shape
        self.read, self.ahead = look_back // self.period, -(-self.horizon // self.period)
        self.unit = 1 / math.sqrt(self.read)
        start = keras.initializers.Constant(self.unit)
        shape = (self.ahead, self.read)
        self.means = self.add_weight(shape=shape, initializer=start, name="means")
        self.shapes = (
            self.add_weight(shape=shape, initializer=start, name="shapes")
            if self.period > 1
            else None
        )

    def call(self, past: Any) -> Any:
        """Map ``float32[rows, look_back]`` to ``float32[rows, horizon]``."""
        whole = past[:, past.shape[1] - self.read * self.period :]
        periods = tf.reshape(whole, [-1, self.read, self.period])
        means = tf.reduce_mean(periods, axis=2, keepdims=True)
        future = tf.matmul(self.means[None] * self.unit, means)
        if self.shapes is not None:
            future += tf.matmul(self.shapes[None] * self.unit, periods - means)
        return tf.reshape(future, [-1, self.ahead * self.period])[:, : self.horizon]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "period": self.period, "horizon": self.horizon}
