"""The recurrent layer of every network here: a Keras layer, whichever way it is computed."""

from collections.abc import Sequence
from typing import Any

from rnnpipe.networks.backend import keras, tf
from rnnpipe.networks.recurrent import fused

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
        self.forward = _CELLS[cell](
            hidden_size, return_sequences=True, return_state=True, name="forward"
        )
        self.backward = (
            _CELLS[cell](hidden_size, return_sequences=True, return_state=True, name="backward")
            if bidirectional
            else None
        )

    @property
    def _directions(self) -> list[keras.layers.Layer]:
        return [self.forward] if self.backward is None else [self.forward, self.backward]

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
        return self.scan(inputs, lengths, training=training)[0]

    def scan(
        self,
        inputs: Any,
        lengths: Any,
        initial: Sequence[Any] | None = None,
        training: bool | None = None,
    ) -> tuple[Any, list[Any]]:
        """Run as :meth:`call`, from given states on, and give the states that come out too.

        Args:
            inputs: ``float32[batch, time, width]``, right-padded.
            lengths: ``int32[batch]``.
            initial: a direction each, forward first, ``float32[batch, hidden_size]``; of an LSTM
                hidden state and carry side by side, twice as wide. None: zeros.
            training: as in :meth:`call`.

        Returns:
            The hidden states of all steps, and the state after each sequence's last step, laid
            out as ``initial``; of a sequence of length 0 that is the initial one.
        """
        if initial is None:
            width = self.hidden_size * (2 if self.cell == "lstm" else 1)
            zeros = tf.zeros((tf.shape(inputs)[0], width))
            initial = [zeros] * len(self._directions)
        run = self._fused if fused.available() else self._plain
        found = [
            run(layer, inputs, lengths, state, training)
            for layer, state in zip(self._directions, initial, strict=True)
        ]
        states = [states for states, _ in found]
        joined = states[0] if len(states) == 1 else tf.concat(states, axis=-1)
        return joined, [final for _, final in found]

    def step(self, inputs: Any, state: Any) -> tuple[Any, Any]:
        """Go one step forward from a state; what many rows share is multiplied once.

        Inputs and states may have any leading axes, which are broadcast against each other only
        behind the products: a hundred inputs to one state cost one product of the state.

        Args:
            inputs: ``float32[..., width]``.
            state: ``float32[..., hidden_size]``, of an LSTM twice as wide, as in :meth:`scan`.

        Returns:
            The hidden state, ``float32[..., hidden_size]``, and the state to go on from.
        """
        cell = self.forward.cell
        hidden, *carry = tf.split(state, 2, axis=-1) if self.cell == "lstm" else [state]
        # A GRU alone has a bias on either side, since its reset gate comes between.
        biases = tf.unstack(cell.bias) if self.cell == "gru" else [cell.bias, 0.0]
        given = tf.tensordot(inputs, cell.kernel, 1) + biases[0]
        kept = tf.tensordot(hidden, cell.recurrent_kernel, 1) + biases[1]
        match self.cell:
            case "gru":
                (xz, xr, xh), (hz, hr, hh) = (tf.split(part, 3, axis=-1) for part in (given, kept))
                update = tf.sigmoid(xz + hz)
                new = tf.tanh(xh + tf.sigmoid(xr + hr) * hh)
                hidden = new + update * (hidden - new)
                return hidden, hidden
            case "lstm":
                enter, forget, new, leave = tf.split(given + kept, 4, axis=-1)
                carried = tf.sigmoid(forget) * carry[0] + tf.sigmoid(enter) * tf.tanh(new)
                hidden = tf.sigmoid(leave) * tf.tanh(carried)
                return hidden, tf.concat([hidden, carried], axis=-1)
            case _:
                hidden = tf.tanh(given + kept)
                return hidden, hidden

    def _fused(self, layer: Any, inputs: Any, lengths: Any, initial: Any, training: Any) -> Any:
        return fused.recurrent(
            self.cell,
            inputs,
            lengths,
            (layer.cell.kernel, layer.cell.recurrent_kernel, layer.cell.bias),
            initial,
            reverse=layer is self.backward,
            precision=self.precision if training else "float32",
        )

    def _plain(self, layer: Any, inputs: Any, lengths: Any, initial: Any, training: Any) -> Any:
        """Keras's own layer; its state stands still behind a sequence's end."""
        backward = layer is self.backward
        given = tf.split(initial, 2, axis=-1) if self.cell == "lstm" else [initial]
        real = tf.sequence_mask(lengths, tf.shape(inputs)[1])
        sequences = _reversed(inputs, lengths) if backward else inputs
        states, *final = layer(sequences, mask=real, initial_state=given)
        return _reversed(states, lengths) if backward else states, tf.concat(final, axis=-1)

    def compute_output_shape(self, inputs_shape: Any, lengths_shape: Any) -> Any:
        """Return the shape of the hidden states."""
        return (*inputs_shape[:-1], self.hidden_size * (2 if self.bidirectional else 1))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "cell": self.cell,
            "hidden_size": self.hidden_size,
            "bidirectional": self.bidirectional,
            "precision": self.precision,
        }


def _reversed(sequences: Any, lengths: Any) -> Any:
    return tf.reverse_sequence(sequences, lengths, seq_axis=1)
