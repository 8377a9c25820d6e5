"""A Keras network written as an ONNX graph, which ONNX Runtime computes without TensorFlow.

The graph is laid out node by node, with ONNX's own operators for recurrence
(https://onnx.ai/onnx/operators/). Inside it sequences lie time-major, as those operators want them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

from rnnpipe.backend import keras
from rnnpipe.errors import TrainingError
from rnnpipe.files import atomic_file
from rnnpipe.language_models import LanguageModel
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
        model: built by :func:`rnnpipe.models.build_classifier`.
        path: the file; its input is ``token_ids``, ``int32[batch, time]``, its output
            ``logit``, ``float32[batch]``.

    Raises:
        TypeError: there is no rule for one of the layers.
    """
    with atomic_file(path) as partial:
        partial.write_bytes(_exported(model).SerializeToString(deterministic=True))


def save_exported_language_model(model: LanguageModel, path: Path) -> None:
    """Write the onward direction of a language model as ONNX, to read some words at a time.

    The file's inputs are ``token_ids``, ``int32[batch, time]`` without padding, and ``state``,
    ``float32[layers, batch, width]``; its outputs ``logits``, ``float32[batch,
    vocabulary_size]`` of what follows the last of them, and ``state_after``. Its metadata name
    the vocabulary by its fingerprint.

    Args:
        model: any language model.
        path: the file; its bytes depend on nothing but the model.
    """
    with atomic_file(path) as partial:
        partial.write_bytes(_exported_step(model).SerializeToString(deterministic=True))


class _Graph:
    """Nodes and weights in the order they are added, each named after its place in that order."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return the name of its first output."""
        return self.add_several(1, operator, *inputs, **attributes)[0]

    def add_several(self, number: int, operator: str, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node and return the names of its first outputs."""
        name = f"{operator}_{len(self.nodes)}"
        outputs = [name, *(f"{name}_{place}" for place in range(1, number))]
        self.nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs

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
    value, vectors, lengths = "token_ids", "", ""  # what the layers so far have made of the input
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
                # In float64: summed one by one in float32, large logits would be off by 1e-5.
                weights = (graph.constant(part, np.float64) for part in (layer.kernel, layer.bias))
                value = graph.add("Gemm", _cast(graph, value, np.float64), *weights)
                value = _cast(graph, value, np.float32)
            case keras.layers.Reshape():
                value = graph.add("Squeeze", value, graph.constant([1]))
            case keras.layers.InputLayer() | keras.layers.Dropout():
                pass
            case _:
                raise TypeError(f"found a layer {type(layer).__name__}, which has no ONNX rule yet")
    graph.nodes.append(helper.make_node("Identity", [value], ["logit"]))
    return _checked(
        graph,
        model.name,
        [helper.make_tensor_value_info("token_ids", TensorProto.INT32, ["batch", "time"])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["batch"])],
    )


def _checked(
    graph: _Graph,
    name: str,
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    exported = helper.make_model(
        helper.make_graph(graph.nodes, name, inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="rnnpipe",
    )
    onnx.checker.check_model(exported, full_check=True)
    return exported


def _exported_step(model: LanguageModel) -> onnx.ModelProto:
    graph = _Graph()
    table = graph.weight(model.words)  # once: it is read and predicted by
    token_ids = graph.add("Transpose", "token_ids", perm=[1, 0])
    values = graph.add("Gather", table, token_ids)  # float32[time, batch, embedding_size]
    finals = []
    for number, layer in enumerate(model.stacks[0]):
        state = graph.add("Gather", "state", graph.constant([number]), axis=0)
        parts = [state]  # float32[1, batch, hidden_size] each
        if layer.cell == "lstm":
            parts = graph.add_several(2, "Split", state, axis=2)
        states, *final = _scanned(graph, layer, values, "", parts)
        values = graph.add("Squeeze", states, graph.constant([1]))
        finals.append(graph.add("Concat", *final, axis=2))
    last = graph.add("Gather", values, graph.constant(-1), axis=0)
    projection = model.projections[0]
    weights = (graph.constant(part, np.float64) for part in (projection.kernel, projection.bias))
    predicted = _cast(
        graph, graph.add("Gemm", _cast(graph, last, np.float64), *weights), np.float32
    )
    logits = graph.add("Gemm", predicted, table, graph.weight(model.bias), transB=1)
    after = graph.add("Concat", *finals, axis=0)
    for value, name in ((logits, "logits"), (after, "state_after")):
        graph.nodes.append(helper.make_node("Identity", [value], [name]))
    shape = [len(finals), "batch", model.zero_state(1).shape[-1]]
    exported = _checked(
        graph,
        model.name,
        [
            helper.make_tensor_value_info("token_ids", TensorProto.INT32, ["batch", "time"]),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, shape),
        ],
        [
            helper.make_tensor_value_info(
                "logits", TensorProto.FLOAT, ["batch", model.vocabulary_size]
            ),
            helper.make_tensor_value_info("state_after", TensorProto.FLOAT, shape),
        ],
    )
    helper.set_model_props(exported, {"vocabulary": model.vocabulary})
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


def _recurrent(graph: _Graph, layer: Recurrent, inputs: str, lengths: str) -> str:
    """Map ``float32[time, batch, width]`` to the hidden states of all steps."""
    states = _scanned(graph, layer, inputs, lengths)[0]
    if layer.backward is None:
        return graph.add("Squeeze", states, graph.constant([1]))
    side_by_side = graph.add("Transpose", states, perm=[0, 2, 1, 3])
    return graph.add("Reshape", side_by_side, graph.constant([0, 0, 2 * layer.hidden_size]))


def _scanned(
    graph: _Graph, layer: Recurrent, inputs: str, lengths: str, initial: Sequence[str] = ()
) -> list[str]:
    """Map ``float32[time, batch, width]`` to ``float32[time, directions, batch, hidden_size]``.

    Args:
        graph: what the node is added to.
        layer: whose weights to take.
        inputs: the vectors.
        lengths: ``int32[batch]``; empty where every step is real.
        initial: the cell's states before the first step, ``float32[directions, batch,
            hidden_size]`` each; where given, those after the last are returned too.
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

    return graph.add_several(
        1 + len(initial),
        _OPERATORS[layer.cell],
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


def _numbered(graph: _Graph, value: str, axis: int) -> str:
    """Give the numbers ``int64[size]`` from 0 along an axis of a value."""
    size = graph.add("Gather", graph.add("Shape", value), graph.constant(axis))
    return graph.add("Range", graph.constant(0), size, graph.constant(1))


def _cast(graph: _Graph, value: str, dtype: Any) -> str:
    return graph.add("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
