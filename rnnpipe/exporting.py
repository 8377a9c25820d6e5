"""A Keras network written as an ONNX graph, which ONNX Runtime computes without TensorFlow.

The graph is laid out node by node, with ONNX's own operators for recurrence
(https://onnx.ai/onnx/operators/). Inside it sequences lie time-major, as those operators want them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

from rnnpipe.backend import keras
from rnnpipe.errors import TrainingError
from rnnpipe.files import atomic_file
from rnnpipe.forecasters import DirectForecaster, SegmentForecaster
from rnnpipe.models import BIGRAM_MULTIPLIER, NgramEmbedding, Pooling, RightAligned
from rnnpipe.recurrent import Recurrent
from rnnpipe.tokens import PADDING_ID

# Old enough for every runtime since 2022: the graph must outlive the program that wrote it.
_OPSET = 17
_IR_VERSION = 8
_MOST_BYTES = 2**31 - 1  # of one protocol buffer

_OPERATORS = {"simple_rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
# Blocks of a Keras kernel in ONNX's order: an LSTM's i, f, c, o become i, o, f, c; a GRU's z, r, h
# stay.
_BLOCKS = {"simple_rnn": [0], "lstm": [0, 3, 1, 2], "gru": [0, 1, 2]}
# Keras applies a GRU's reset gate behind the product (reset_after), as cuDNN does.
_ATTRIBUTES: dict[str, dict[str, Any]] = {"gru": {"linear_before_reset": 1}}


@dataclass(frozen=True)
class _Interface:
    """What goes into a kind of network and what comes out, by name."""

    input: str
    input_type: int
    output: str

    @staticmethod
    def value(name: str, shape: tuple[int | None, ...], kind: int) -> onnx.ValueInfoProto:
        """Describe one of them; a size that Keras leaves open is named."""
        sizes = [size or free for size, free in zip(shape, ("batch", "time", ""), strict=False)]
        return helper.make_tensor_value_info(name, kind, sizes)


_INTERFACES = {
    "token_ids": _Interface("token_ids", TensorProto.INT32, "logit"),
    "past": _Interface("past", TensorProto.FLOAT, "future"),
}


def require_exportable(model: keras.Model) -> None:
    """Make sure, before a long training, that its result will fit into an ONNX file.

    Raises:
        TrainingError: the weights are larger than such a file can hold.
    """
    size = 4 * model.count_params()  # float32
    if size > _MOST_BYTES:
        raise TrainingError(
            f"the network has {size / 2**30:.1f} GiB of weights, its exported form holds less than"
            " 2 GiB: lower sequences.vocabulary_size, train.embedding_size, train.bigram_buckets or"
            " train.hidden_size"
        )


def save_exported(model: keras.Model, path: Path) -> None:
    """Write a network as ONNX; the file's bytes depend on nothing but the network.

    Args:
        model: built by :func:`rnnpipe.models.build_classifier` or
            :func:`rnnpipe.forecasters.build_forecaster`.
        path: the file; a classifier's input is ``token_ids``, ``int32[batch, time]``, its output
            ``logit``, ``float32[batch]``; a forecaster's input is ``past``, ``float32[batch,
            look_back, columns]``, its output ``future``, ``float32[batch, horizon, columns]``.

    Raises:
        TypeError: there is no rule for one of the layers.
    """
    with atomic_file(path) as partial:
        partial.write_bytes(_exported(model).SerializeToString(deterministic=True))


class _Graph:
    """Nodes and weights in the order they are added, each named after its place in that order."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return the name of its first output."""
        return self.add_all(operator, 1, *inputs, **attributes)[0]

    def add_all(self, operator: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node and return the names of its first outputs, as many as asked for."""
        first = f"{operator}_{len(self.nodes)}"
        names = [first, *(f"{first}_{number}" for number in range(1, outputs))]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names

    def constant(self, value: ArrayLike, dtype: Any = np.int64) -> str:
        """Add a constant and return its name."""
        name = f"constant_{len(self.constants)}"
        array = np.array(value, dtype, order="C")
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, value: ArrayLike) -> str:
        """Add a ``float32`` constant and return its name."""
        return self.constant(value, np.float32)


def _exported(model: keras.Model) -> onnx.ModelProto:
    graph = _Graph()
    # What the layers so far have made of the input.
    value, vectors, lengths = model.input.name, "", ""
    for layer in model.layers:
        match layer:
            case RightAligned():
                value, lengths = _aligned(graph, layer, value)
            case NgramEmbedding():
                value = vectors = _embedded(graph, layer, value)
            case Recurrent():
                value = _recurrent(graph, layer, value, lengths)
            case Pooling():
                value = _pooled(graph, layer, value, vectors, lengths)
            case keras.layers.Dense():
                value = _dense(graph, layer, value)
            case keras.layers.Reshape():
                value = graph.add("Squeeze", value, graph.constant([1]))
            case SegmentForecaster():
                value = _segment_forecast(graph, layer, value)
            case DirectForecaster():
                value = _direct_forecast(graph, layer, value)
            case keras.layers.InputLayer() | keras.layers.Dropout():
                pass
            case _:
                raise TypeError(f"found a layer {type(layer).__name__}, which has no ONNX rule yet")
    interface = _INTERFACES[model.input.name]
    graph.nodes.append(helper.make_node("Identity", [value], [interface.output]))
    exported = helper.make_model(
        helper.make_graph(
            graph.nodes,
            model.name,
            [interface.value(interface.input, model.input.shape, interface.input_type)],
            [interface.value(interface.output, model.output.shape, TensorProto.FLOAT)],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="rnnpipe",
    )
    onnx.checker.check_model(exported, full_check=True)
    return exported


def _aligned(graph: _Graph, layer: RightAligned, token_ids: str) -> tuple[str, str]:
    """Give ``int32[time, batch]`` with the padding behind, and lengths ``int32[batch]``."""
    shape = graph.add("Shape", token_ids)
    batch = graph.add("Gather", shape, graph.constant([0]))
    time = graph.add("Gather", shape, graph.constant([1]))
    whole = graph.add("Expand", time, batch)  # int64[batch]
    if not layer.mask:
        return graph.add("Transpose", token_ids, perm=[1, 0]), _cast(graph, whole, np.int32)
    padding = graph.add("Equal", token_ids, graph.constant(PADDING_ID, np.int32))
    words = _cast(graph, graph.add("Not", padding), np.int64)
    lengths = graph.add("ReduceSum", words, graph.constant([1]), keepdims=0)
    if layer.padding_side == "left":
        for ends in (whole, lengths):
            token_ids = graph.add("ReverseSequence", token_ids, ends, batch_axis=0, time_axis=1)
    return graph.add("Transpose", token_ids, perm=[1, 0]), _cast(graph, lengths, np.int32)


def _embedded(graph: _Graph, layer: NgramEmbedding, token_ids: str) -> str:
    """Map ``int32[time, batch]`` to ``float32[time, batch, width]``."""
    vectors = graph.add("Gather", graph.weight(layer.words.embeddings), token_ids)
    if layer.bigrams is None:
        return vectors
    ids = _cast(graph, token_ids, np.int64)
    ends = graph.constant([1, 0, 0, 0])  # one step more at the start, on the axis of time
    shifted = graph.add("Pad", ids, ends, graph.constant(PADDING_ID))
    before = graph.add("Slice", shifted, graph.constant([0]), graph.constant([-1]))
    scaled = graph.add("Mul", before, graph.constant(BIGRAM_MULTIPLIER))
    buckets = graph.add("Mod", graph.add("Add", scaled, ids), graph.constant(layer.bigram_buckets))
    pairs = graph.add("Gather", graph.weight(layer.bigrams.embeddings), buckets)
    return graph.add("Concat", vectors, pairs, axis=2)


def _dense(graph: _Graph, layer: keras.layers.Dense, value: str) -> str:
    """Map ``float32[batch, width]`` to ``float32[batch, units]``."""
    # In float64: summed one by one in float32, large logits would be off by 1e-5.
    weights = (graph.constant(part, np.float64) for part in (layer.kernel, layer.bias))
    value = graph.add("Gemm", _cast(graph, value, np.float64), *weights)
    return _cast(graph, value, np.float32)


def _recurrent(graph: _Graph, layer: Recurrent, inputs: str, lengths: str) -> str:
    """Map ``float32[time, batch, width]`` to the hidden states of all steps."""
    states, *_ = _scanned(graph, layer, inputs, lengths)
    if layer.backward is None:
        return graph.add("Squeeze", states, graph.constant([1]))
    side_by_side = graph.add("Transpose", states, perm=[0, 2, 1, 3])
    return graph.add("Reshape", side_by_side, graph.constant([0, 0, 2 * layer.hidden_size]))


def _scanned(
    graph: _Graph, layer: Recurrent, inputs: str, lengths: str = "", *initial: str
) -> list[str]:
    """Run a recurrent layer, from given states on.

    Args:
        graph: to add to.
        layer: its weights.
        inputs: ``float32[time, batch, width]``.
        lengths: ``int32[batch]``; without, all steps of each row count.
        initial: ``float32[directions, batch, hidden_size]``, of an LSTM also the carry; none: 0.

    Returns:
        The hidden states of all steps, ``float32[time, directions, batch, hidden_size]``, and the
        final state, laid out as ``initial``.
    """
    directions = [layer.onward] if layer.backward is None else [layer.onward, layer.backward]
    blocks = _BLOCKS[layer.cell]

    def ordered(weights: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Reorder the blocks along the last axis, then transpose: ONNX multiplies from the left."""
        parts = np.split(np.asarray(weights), len(blocks), axis=-1)
        return np.concatenate([parts[block] for block in blocks], axis=-1).T

    def biases(direction: keras.layers.Layer) -> np.ndarray[Any, np.dtype[np.float32]]:
        """ONNX has one bias for the inputs and one for the state, of Keras's cells only a GRU."""
        bias = np.asarray(direction.cell.bias)
        return ordered(bias if bias.ndim == 2 else [bias, np.zeros_like(bias)]).T.ravel()

    return graph.add_all(
        _OPERATORS[layer.cell],
        3 if layer.cell == "lstm" else 2,
        inputs,
        graph.weight([ordered(direction.cell.kernel) for direction in directions]),
        graph.weight([ordered(direction.cell.recurrent_kernel) for direction in directions]),
        graph.weight([biases(direction) for direction in directions]),
        lengths,
        *initial,
        hidden_size=layer.hidden_size,
        direction="forward" if layer.backward is None else "bidirectional",
        **_ATTRIBUTES.get(layer.cell, {}),
    )


def _pooled(graph: _Graph, layer: Pooling, states: str, vectors: str, lengths: str) -> str:
    """Map ``float32[time, batch, width]`` to one vector a row, as :class:`Pooling` does."""
    lengths = _cast(graph, graph.add("Max", lengths, graph.constant(1, np.int32)), np.int64)
    pooled = []
    if layer.how == "last":
        pooled += _last(graph, layer, states, lengths)
    if layer.how in ("max", "max_mean"):
        least = graph.weight(np.finfo(np.float32).min)
        kept = graph.add("Where", _real(graph, states, lengths), states, least)
        pooled.append(graph.add("ReduceMax", kept, axes=[0], keepdims=0))
    if layer.how in ("mean", "max_mean"):
        pooled.append(_mean(graph, states, lengths))
    if layer.shortcut:
        pooled.append(_mean(graph, vectors, lengths))
    return graph.add("Concat", *pooled, axis=1)


def _last(graph: _Graph, layer: Pooling, states: str, lengths: str) -> list[str]:
    rows = _numbered(graph, states, axis=1)
    ends = graph.add("Sub", lengths, graph.constant(1))
    places = [graph.add("Unsqueeze", number, graph.constant([1])) for number in (ends, rows)]
    last = graph.add("GatherND", states, graph.add("Concat", *places, axis=1))
    if not layer.bidirectional:
        return [last]
    # The last state of the backward direction is the one at the first word.
    first = graph.add("Gather", states, graph.constant(0), axis=0)
    width = layer.input[0].shape[-1]
    bounds = [graph.constant([bound]) for bound in (0, width // 2, width)]
    return [
        graph.add("Slice", last, bounds[0], bounds[1], graph.constant([1])),
        graph.add("Slice", first, bounds[1], bounds[2], graph.constant([1])),
    ]


def _real(graph: _Graph, sequences: str, lengths: str) -> str:
    """Tell, ``bool[time, batch, 1]``, which steps lie before a sequence's end."""
    steps = graph.add("Unsqueeze", _numbered(graph, sequences, axis=0), graph.constant([1]))
    return graph.add("Unsqueeze", graph.add("Less", steps, lengths), graph.constant([2]))


def _mean(graph: _Graph, sequences: str, lengths: str) -> str:
    real = _real(graph, sequences, lengths)
    kept = graph.add("Where", real, sequences, graph.weight(0))
    total = graph.add("ReduceSum", kept, graph.constant([0]), keepdims=0)
    divisors = graph.add("Unsqueeze", _cast(graph, lengths, np.float32), graph.constant([1]))
    return graph.add("Div", total, divisors)


def _segment_forecast(graph: _Graph, layer: SegmentForecaster, past: str) -> str:
    """Do as :class:`SegmentForecaster`."""
    _, look_back, columns = layer.input.shape
    read, ahead = look_back // layer.segment, layer.segments_ahead
    last = _last_step(graph, past)
    level = graph.add("Sub", past, last)
    oldest, end, time = (graph.constant([n]) for n in (look_back % layer.segment, look_back, 1))
    each = graph.add("Transpose", graph.add("Slice", level, oldest, end, time), perm=[0, 2, 1])
    segments = graph.add("Reshape", each, graph.constant([-1, layer.segment]))
    inputs = graph.add("Relu", _dense(graph, layer.projection, segments))
    rows = graph.add("Reshape", inputs, graph.constant([-1, read, layer.hidden_size]))
    _, finals = _stacked(graph, layer.stack, graph.add("Transpose", rows, perm=[1, 0, 2]))

    def repeated(state: str) -> str:
        """Repeat each row once for each segment ahead: ``[1, rows, hidden_size]``, so many more."""
        row = graph.add("Reshape", state, graph.constant([-1, 1, layer.hidden_size]))
        many = graph.add("Expand", row, graph.constant([1, ahead, 1]))
        return graph.add("Reshape", many, graph.constant([1, -1, layer.hidden_size]))

    places, own = np.asarray(layer.places), np.asarray(layer.columns)
    questions = np.concatenate(
        [np.tile(places, (columns, 1)), np.repeat(own, ahead, axis=0)], axis=1
    )
    batch = graph.add("Slice", graph.add("Shape", past), graph.constant([0]), graph.constant([1]))
    copies = graph.add("Concat", batch, graph.constant([1, 1]), axis=0)
    asked = graph.add("Expand", graph.weight(questions[None]), copies)
    asked = graph.add("Reshape", asked, graph.constant([1, -1, layer.hidden_size]))
    answers, _ = _stacked(
        graph, layer.stack, asked, [[repeated(part) for part in final] for final in finals]
    )
    answers = graph.add("Reshape", answers, graph.constant([-1, layer.hidden_size]))
    told = _dense(graph, layer.head, answers)
    told = graph.add("Reshape", told, graph.constant([-1, columns, ahead * layer.segment]))
    bounds = [graph.constant([bound]) for bound in (0, layer.horizon, 2)]
    future = graph.add("Transpose", graph.add("Slice", told, *bounds), perm=[0, 2, 1])
    return graph.add("Add", future, last)


def _direct_forecast(graph: _Graph, layer: DirectForecaster, past: str) -> str:
    """Do as :class:`DirectForecaster`."""
    columns = layer.input.shape[2]
    last = _last_step(graph, past)
    level = graph.add("Transpose", graph.add("Sub", past, last), perm=[1, 0, 2])
    states, _ = _stacked(graph, layer.stack, level)
    state = graph.add("Gather", states, graph.constant(-1), axis=0)
    future = _dense(graph, layer.head, state)
    shape = graph.constant([-1, layer.horizon, columns])
    return graph.add("Add", graph.add("Reshape", future, shape), last)


def _last_step(graph: _Graph, past: str) -> str:
    return graph.add("Gather", past, graph.constant([-1]), axis=1)


def _stacked(
    graph: _Graph, stack: list[Recurrent], inputs: str, initial: list[list[str]] | None = None
) -> tuple[str, list[list[str]]]:
    """Run layers on top of one another; give the last one's states and each one's final state."""
    finals = []
    for number, layer in enumerate(stack):
        begin = initial[number] if initial else []
        states, *final = _scanned(graph, layer, inputs, "", *begin)
        inputs = graph.add("Squeeze", states, graph.constant([1]))
        finals.append(final)
    return inputs, finals


def _numbered(graph: _Graph, value: str, axis: int) -> str:
    """Give the numbers ``int64[size]`` from 0 along an axis of a value."""
    size = graph.add("Gather", graph.add("Shape", value), graph.constant(axis))
    return graph.add("Range", graph.constant(0), size, graph.constant(1))


def _cast(graph: _Graph, value: str, dtype: Any) -> str:
    return graph.add("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
