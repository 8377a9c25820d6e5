"""The parts that every exported network is laid out from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper

from rnnpipe.errors import TrainingError
from rnnpipe.networks.backend import keras
from rnnpipe.networks.recurrent import Recurrent
from rnnpipe.storage.files import atomic_file

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


class Graph:
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


def save_graph(
    graph: Graph,
    name: str,
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    path: Path,
    properties: dict[str, str] | None = None,
) -> None:
    """Write a graph; the file's bytes depend on nothing but what it is made of.

    Args:
        graph: nodes and weights.
        name: of the network.
        inputs: what goes in.
        outputs: what comes out.
        path: the file.
        properties: what its metadata say.
    """
    exported = helper.make_model(
        helper.make_graph(graph.nodes, name, inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="rnnpipe",
    )
    if properties:
        helper.set_model_props(exported, properties)
    onnx.checker.check_model(exported, full_check=True)
    with atomic_file(path) as partial:
        partial.write_bytes(exported.SerializeToString(deterministic=True))


def dense(graph: Graph, layer: keras.layers.Dense, value: str) -> str:
    """Map ``float32[batch, width]`` to ``float32[batch, units]``."""
    # In float64: summed one by one in float32, large logits would be off by 1e-5.
    weights = (graph.constant(part, np.float64) for part in (layer.kernel, layer.bias))
    value = graph.add("Gemm", cast(graph, value, np.float64), *weights)
    return cast(graph, value, np.float32)


def scanned(
    graph: Graph,
    layer: Recurrent,
    inputs: str,
    lengths: str = "",
    initial: Sequence[str] = (),
    *,
    final: bool = False,
) -> list[str]:
    """Run a recurrent layer, from given states on.

    Args:
        graph: to add to.
        layer: its weights.
        inputs: ``float32[time, batch, width]``.
        lengths: ``int32[batch]``; without, all steps of each row count.
        initial: ``float32[directions, batch, hidden_size]``, of an LSTM also the carry; none: 0.
        final: give the final state too.

    Returns:
        The hidden states of all steps, ``float32[time, directions, batch, hidden_size]``, and the
        final state where it is asked for, laid out as ``initial``.
    """
    directions = [layer.forward] if layer.backward is None else [layer.forward, layer.backward]
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
        1 + final * (2 if layer.cell == "lstm" else 1),
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


def cast(graph: Graph, value: str, dtype: Any) -> str:
    """Turn a value into another type."""
    return graph.add("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
