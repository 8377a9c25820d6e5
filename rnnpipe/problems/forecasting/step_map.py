"""The linear forecaster of the stage ``baseline`` as a part of a network."""

from typing import Any

from rnnpipe.networks.backend import keras, tf
from rnnpipe.problems.forecasting.linear_forecaster import LinearForecaster


@keras.saving.register_keras_serializable("rnnpipe")
class StepMap(keras.layers.Layer):  # type: ignore[misc]
    """A linear map from all steps of a past to all steps ahead, fitted before and not learnt here.

    Least squares finds it at once, where a gradient would take long and few windows would mislead it.
    """

    def __init__(self, horizon: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon = horizon

    def build(self, past_shape: Any) -> None:
        """Create the weights, which are no variables of a training."""
        _, look_back = past_shape
        shape = (look_back, self.horizon)
        self.steps = self.add_weight(
            shape=shape, initializer="zeros", trainable=False, name="steps"
        )
        self.bias = self.add_weight(
            shape=(self.horizon,), initializer="zeros", trainable=False, name="bias"
        )

    def take_over(self, fitted: LinearForecaster) -> None:
        """Take the weights of a linear forecaster of this look-back and horizon."""
        self.steps.assign(fitted.weights)
        self.bias.assign(fitted.bias)

    def call(self, past: Any) -> Any:
        """Map ``float32[rows, look_back]`` to ``float32[rows, horizon]``."""
        last = past[:, -1:]
        return tf.matmul(past - last, self.steps) + self.bias + last

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "horizon": self.horizon}
