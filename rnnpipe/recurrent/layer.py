"""The recurrent layer of every network here: a Keras layer, whichever way it is computed."""

from typing import Any

from rnnpipe.backend import keras, tf
from rnnpipe.recurrent import fused

_CELLS = {
    "simple_rnn": keras.layers.SimpleRNN,
    "lstm": keras.layers.LSTM,
    "gru": keras.layers.GRU,
}


@keras.saving.register_keras_serializable("rnnpipe")
class Recurrent(keras.layers.Layer):  # type: ignore[misc]
    """One recurrent layer over right-padded sequences, in one direction or both.

    Its weights are those of the Keras layers that it holds; the fused operation works on them
    where it is available, else the layers themselves.
    """

    def __init__(
        self, cell: str, hidden_size: int, bidirectional: bool, precision: str, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.cell = cell
        self.hidden_size = hidden_size
        self.bidirectional = bidirectional
        self.precision = precision
        self.onward = _CELLS[cell](hidden_size, return_sequences=True, name="onward")
        self.backward = (
            _CELLS[cell](hidden_size, return_sequences=True, name="backward")
            if bidirectional
            else None
        )

    @property
    def _directions(self) -> list[keras.layers.Layer]:
        return [self.onward] if self.backward is None else [self.onward, self.backward]

    def build(self, inputs_shape: Any, lengths_shape: Any) -> None:
        """Create the weights."""
        for layer in self._directions:
            layer.build(inputs_shape)

    def call(self, inputs: Any, lengths: Any, training: bool | None = None) -> Any:
        """Map ``float32[batch, time, width]`` to the hidden states of all steps.

        Args:
            inputs: right-padded vectors.
            lengths: ``int32[batch]``.
            training: whether products may be of the lower precision; judging never is.

        Returns:
            ``float32[batch, time, hidden_size]``, twice as wide where bidirectional; what
            stands behind a sequence's end means nothing.
        """
        if fused.available():
            precision = self.precision if training else "float32"
            states = [
                fused.recurrent(
                    self.cell,
                    inputs,
                    lengths,
                    (layer.cell.kernel, layer.cell.recurrent_kernel, layer.cell.bias),
                    reverse=layer is self.backward,
                    precision=precision,
                )[0]
                for layer in self._directions
            ]
        else:
            states = [self.onward(inputs)]
            if self.backward is not None:
                states.append(_reversed(self.backward(_reversed(inputs, lengths)), lengths))
        return states[0] if len(states) == 1 else tf.concat(states, axis=-1)

    def compute_output_shape(self, inputs_shape: Any, lengths_shape: Any) -> Any:
        """Give the shape of the hidden states."""
        return (*inputs_shape[:-1], self.hidden_size * (2 if self.bidirectional else 1))

    def get_config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        return {
            **super().get_config(),
            "cell": self.cell,
            "hidden_size": self.hidden_size,
            "bidirectional": self.bidirectional,
            "precision": self.precision,
        }


def _reversed(sequences: Any, lengths: Any) -> Any:
    return tf.reverse_sequence(sequences, lengths, seq_axis=1)
