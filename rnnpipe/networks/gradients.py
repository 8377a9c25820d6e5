"""How far the loss reaches back: the norm of its gradient at every hidden state of a network.

Backpropagation through time (Werbos 1990) takes the loss's gradient from step to step,

    dL/dh_t = (what reads h_t directly) + (dh_{t+1}/dh_t)^T dL/dh_{t+1},

so a state k steps before the one that is read is reached through a product of k Jacobians. Where
those shrink, nothing is learnt from that far back; where they stretch, one review throws the
weights off (Bengio, Simard and Frasconi 1994; Pascanu, Mikolov and Bengio 2013).

Here every recurrent layer is run step by step with Keras's own cell, and a zero is added to each
state: the gradient with respect to that zero is the total derivative of the loss, through all
that the state has an effect on. States and gradients are float64, since a product of hundreds of
Jacobians soon leaves float32 at one end or the other; training, in float32, sees 0 or infinity
there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rnnpipe.networks.backend import keras, tf
from rnnpipe.networks.layers import Calibration, NgramEmbedding, Pooling, RightAligned
from rnnpipe.networks.recurrent import Recurrent

LANDMARKS = (0, 100, 300)  # steps before the end that the summary tells of

_STATES = ("hidden", "carry")  # in the order of Keras's cells; only an LSTM has the second
_BATCH = 16  # reviews measured at once; every step of every layer keeps several arrays of them


@dataclass(frozen=True)
class GradientFlow:
    """The gradient's norm along one kind of state of one recurrent layer.

    A state is taken for itself: of an LSTM, the hidden state with the carry beside it held fixed,
    and the carry as the next step receives it.

    Attributes:
        layer: the layer's name.
        direction: ``forward`` or ``backward``.
        state: ``hidden``, or an LSTM's ``carry``.
        norms: ``float64[reviews, steps]``; column k is the state that k more steps of the
            recurrence follow: k words before the last one, of a backward direction k words behind
            the first. NaN where a review has no such step.
    """

    layer: str
    direction: str
    state: str
    norms: NDArray[np.float64]

    def median(self, steps: int, reaching: int | None = None) -> float | None:
        """Return the median norm so many steps before the end; None where no review is so long.

        Args:
            steps: counted from the end, 0 for the last state.
            reaching: only of reviews that also have the state this many steps before the end.
        """
        furthest = max(steps, reaching or 0)
        if furthest >= self.norms.shape[1]:
            return None
        rows = ~np.isnan(self.norms[:, furthest])
        return float(np.median(self.norms[rows, steps])) if rows.any() else None


def measure_gradient_flow(
    model: keras.Model, token_ids: NDArray[np.int32], labels: NDArray[np.int8]
) -> list[GradientFlow]:
    """Take the gradient's norm at every recurrent state, for each review by itself; dropout off.

    Args:
        model: built by :func:`rnnpipe.problems.classification.network.build_classifier`.
        token_ids: ``int32[reviews, time]``, padded as the network expects it.
        labels: ``int8[reviews]``, from 0 on; the loss is each review's cross entropy.

    Returns:
        The flows of all layers, directions and states, in the order of the network. Without a
        mask the padding is read like words, and counts as steps.

    Raises:
        TypeError: there is no rule for one of the layers.
    """
    cells = {
        layer.name: [_in_float64(direction.cell) for direction in _directions(layer)]
        for layer in model.layers
        if isinstance(layer, Recurrent)
    }
    backpropagate = tf.function(
        lambda ids, targets: _gradient_norms(model, cells, ids, targets),
        input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.float32)],
        autograph=False,
    ).get_concrete_function()
    parts = []
    for start in range(0, len(token_ids), _BATCH):
        rows = slice(start, start + _BATCH)
        norms, lengths = backpropagate(
            tf.constant(token_ids[rows]), tf.constant(labels[rows], tf.float32)
        )
        parts.append([_from_the_end(one.numpy(), lengths.numpy()) for one in norms])
    flows = (
        (layer.name, direction, state)
        for layer in model.layers
        if isinstance(layer, Recurrent)
        for direction, cell in zip(("forward", "backward"), cells[layer.name], strict=False)
        for state, _ in zip(_STATES, _sizes(cell), strict=False)
    )
    return [
        GradientFlow(layer, direction, state, np.concatenate(norms))
        for (layer, direction, state), norms in zip(flows, zip(*parts, strict=True), strict=True)
    ]


def spread_over_lengths(lengths: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Choose rows evenly from the shortest to the longest, always the same ones.

    >>> spread_over_lengths(np.array([30, 10, 50, 20, 40]), 3).tolist()
    [1, 0, 2]
    """
    order = np.argsort(lengths, kind="stable")
    return order[np.unique(np.linspace(0, len(order) - 1, rows).round().astype(np.int64))]


def _directions(layer: Recurrent) -> list[keras.layers.Layer]:
    return [layer.forward] if layer.backward is None else [layer.forward, layer.backward]


def _in_float64(cell: keras.layers.Layer) -> keras.layers.Layer:
    """Copy a cell with its weights."""
    copy = type(cell).from_config(cell.get_config() | {"dtype": "float64"})
    copy.build((None, cell.kernel.shape[0]))
    copy.set_weights(cell.get_weights())
    return copy


def _sizes(cell: keras.layers.Layer) -> list[int]:
    """Return the width of each of a cell's states."""
    return list(cell.state_size) if isinstance(cell.state_size, list | tuple) else [cell.state_size]


def _gradient_norms(
    model: keras.Model, cells: dict[str, list[keras.layers.Layer]], token_ids: Any, targets: Any
) -> tuple[list[Any], Any]:
    """Return ``float64[time, batch]`` for each state of each direction of each layer, and lengths.

    Time runs as the recurrence does: of a backward direction from each review's last word on.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        # What the layers so far have made of the input.
        value, vectors, lengths = token_ids, None, None
        added: list[Any] = []
        for layer in model.layers:
            match layer:
                case RightAligned():
                    value, lengths = layer(value)
                case Recurrent():
                    outputs = []
                    for cell, backward in zip(cells[layer.name], (False, True), strict=False):
                        given = tf.cast(value, tf.float64)
                        given = _reversed(given, lengths) if backward else given
                        zeros = [
                            tf.zeros((tf.shape(given)[1], tf.shape(given)[0], size), tf.float64)
                            for size in _sizes(cell)
                        ]
                        tape.watch(zeros)
                        added += zeros
                        states = _run(cell, given, zeros)
                        outputs.append(_reversed(states, lengths) if backward else states)
                    value = tf.concat(outputs, axis=-1)
                case Pooling():
                    value = layer(value, vectors, lengths)
                case NgramEmbedding():
                    value = vectors = layer(value)
                case keras.layers.Dense() | keras.layers.Reshape():
                    value = layer(value)
                case keras.layers.InputLayer() | keras.layers.Dropout() | Calibration():
                    pass  # the loss that was learnt from is of what is not calibrated yet
                case _:
                    name = type(layer).__name__
                    raise TypeError(f"found a layer {name}, which has no rule for gradients yet")
        if len(value.shape) == 1:
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=value)
        else:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=tf.cast(targets, tf.int32), logits=value
            )
    gradients = tape.gradient(losses, added, unconnected_gradients="zero")
    # Pooling takes a sequence of no word for one of a single step.
    return [tf.norm(gradient, axis=-1) for gradient in gradients], tf.maximum(lengths, 1)


def _run(cell: keras.layers.Layer, inputs: Any, added: Sequence[Any]) -> Any:
    """Run a cell over ``float64[batch, time, width]``, adding to each state after each step.

    Args:
        cell: one of Keras's; the first of its states is its output.
        inputs: right-padded. What is computed behind a sequence's end, nothing reads.
        added: ``float64[time, batch, size]`` for each of the cell's states.

    Returns:
        The hidden states, ``float64[batch, time, hidden_size]``.
    """

    def step(states: Any, given: Any) -> Any:
        word, *additions = given
        _, new = cell(word, states, training=False)
        return [state + addition for state, addition in zip(new, additions, strict=True)]

    begin = [tf.zeros_like(addition[0]) for addition in added]
    states = tf.scan(step, [tf.transpose(inputs, [1, 0, 2]), *added], begin)
    return tf.transpose(states[0], [1, 0, 2])


def _reversed(sequences: Any, lengths: Any) -> Any:
    return tf.reverse_sequence(sequences, lengths, seq_axis=1)


def _from_the_end(norms: NDArray[np.float64], lengths: NDArray[np.int32]) -> NDArray[np.float64]:
    """Turn ``[time, batch]`` into ``[batch, time]`` counted from each sequence's end.

    >>> _from_the_end(np.array([[1.0, 4.0], [2.0, 0.0]]), np.array([2, 1])).tolist()
    [[2.0, 1.0], [4.0, nan]]
    """
    ends = lengths[:, None] - 1
    steps = ends - np.arange(len(norms))
    places = np.maximum(steps, 0)
    return np.where(steps >= 0, np.take_along_axis(norms.T, places, axis=1), np.nan)


def flow_table(flows: Sequence[GradientFlow]) -> pd.DataFrame:
    """Lay flows out as one row a state and step.

    Returns:
        ``layer``, ``direction``, ``state``, ``steps_before_end``, ``reviews`` that are so long,
        and over these the norm's ``low`` (10 %), ``median`` and ``high`` (90 %) quantile.
    """
    tables = []
    for flow in flows:
        reviews = np.sum(~np.isnan(flow.norms), axis=0)
        norms = flow.norms[:, reviews > 0]  # a fixed width may be wider than any review
        low, median, high = np.nanquantile(norms, (0.1, 0.5, 0.9), axis=0)
        tables.append(
            pd.DataFrame(
                {
                    "layer": flow.layer,
                    "direction": flow.direction,
                    "state": flow.state,
                    "steps_before_end": np.arange(norms.shape[1]),
                    "reviews": reviews[reviews > 0],
                    "low": low,
                    "median": median,
                    "high": high,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def summarize(flows: Sequence[GradientFlow]) -> dict[str, dict[str, float]]:
    """Return the few figures that say whether a gradient vanishes or explodes, by layer.

    Returns:
        For each layer (a backward direction by its own), of the hidden state: ``norm_0``,
        ``norm_100`` and ``norm_300``, the median so many steps before the end, and ``ratio_100``
        and ``ratio_300``, that median as a share of the one at the end of the same reviews. What
        no review is long enough for, or is not finite, is left out.
    """
    summary: dict[str, dict[str, float]] = {}
    for flow in flows:
        if flow.state != "hidden":
            continue
        figures: dict[str, float | None] = {}
        for steps in LANDMARKS:
            norm, end = flow.median(steps), flow.median(0, reaching=steps)
            figures[f"norm_{steps}"] = norm
            if steps:
                figures[f"ratio_{steps}"] = norm / end if norm is not None and end else None
        name = flow.layer if flow.direction == "forward" else f"{flow.layer}_{flow.direction}"
        summary[name] = {
            key: float(f"{value:.6g}")
            for key, value in figures.items()
            if value is not None and np.isfinite(value)
        }
    return summary
