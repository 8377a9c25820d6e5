"""A classifier of token ids as ONNX."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from rnnpipe.networks.backend import keras
from rnnpipe.networks.layers import (
    BIGRAM_MULTIPLIER,
    Calibration,
    NgramEmbedding,
    Pooling,
    RightAligned,
)
from rnnpipe.networks.onnx_graph import Graph, cast, dense, save_graph, scanned
from rnnpipe.networks.recurrent import Recurrent
from rnnpipe.text.tokens import PADDING_ID


def save_classifier(model: keras.Model, path: Path) -> None:
    """Write a classifier as ONNX; the file's bytes depend on nothing but the network.

    Args:
        model: built by :func:`rnnpipe.problems.classification.network.build_classifier`.
        path: the file; its input is ``token_ids``, ``int32[batch, time]``, its output
            ``logit``, ``float32[batch]``, or of K > 2 classes ``logits``, ``float32[batch, K]``.

    Raises:
        TypeError: there is no rule for one of the layers.
    """
    graph = Graph()
    # What the layers so far have made of the input.
    value, vectors, lengths = "token_ids", "", ""
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
                value = dense(graph, layer, value)
            case keras.layers.Reshape():
                value = graph.add("Squeeze", value, graph.constant([1]))
            case Calibration():
                value = _calibrated(graph, layer, value)
            case keras.layers.InputLayer() | keras.layers.Dropout():
                pass
            case _:
                raise TypeError(f"found a layer {type(layer).__name__}, which has no ONNX rule yet")
    _, *width = model.output.shape  # none of two classes
    output = "logits" if width else "logit"
    graph.nodes.append(helper.make_node("Identity", [value], [output]))
    save_graph(
        graph,
        model.name,
        [helper.make_tensor_value_info("token_ids", TensorProto.INT32, ["batch", "time"])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", *width])],
        path,
    )


def _aligned(graph: Graph, layer: RightAligned, token_ids: str) -> tuple[str, str]:
    """Return ``int32[time, batch]`` with the padding behind, and lengths ``int32[batch]``."""
    shape = graph.add("Shape", token_ids)
    batch = graph.add("Gather", shape, graph.constant([0]))
    time = graph.add("Gather", shape, graph.constant([1]))
    whole = graph.add("Expand", time, batch)  # int64[batch]
    if not layer.mask:
        return graph.add("Transpose", token_ids, perm=[1, 0]), cast(graph, whole, np.int32)
    lengths = _counted(graph, token_ids)
    if layer.padding_side == "left":
        for ends in (whole, lengths):
            token_ids = graph.add("ReverseSequence", token_ids, ends, batch_axis=0, time_axis=1)
    return graph.add("Transpose", token_ids, perm=[1, 0]), cast(graph, lengths, np.int32)


def _counted(graph: Graph, token_ids: str) -> str:
    """Count the words of each row, ``int64[batch]``."""
    padding = graph.add("Equal", token_ids, graph.constant(PADDING_ID, np.int32))
    words = cast(graph, graph.add("Not", padding), np.int64)
    return graph.add("ReduceSum", words, graph.constant([1]), keepdims=0)


def _calibrated(graph: Graph, layer: Calibration, logits: str) -> str:
    """Have the number of words say how sure logits are, as :class:`Calibration` does."""
    words = cast(graph, _counted(graph, "token_ids"), np.float32)
    words = graph.add("Max", words, graph.weight(layer.shortest))
    lengths = graph.add("Log", graph.add("Min", words, graph.weight(layer.longest)))
    slope, *other = (graph.weight(slope) for slope in layer.slopes)
    two = len(layer.output.shape) == 1
    if two:
        second = graph.add("Less", graph.weight(0), logits)
        slope = graph.add("Where", second, *other, slope)
    rise = graph.add("Add", graph.add("Mul", slope, lengths), graph.weight(layer.level))
    factors = graph.add("Exp", rise)
    if not two:
        factors = graph.add("Unsqueeze", factors, graph.constant([1]))
    return graph.add("Mul", logits, factors)


def _embedded(graph: Graph, layer: NgramEmbedding, token_ids: str) -> str:
    """Map ``int32[time, batch]`` to ``float32[time, batch, width]``."""
    vectors = graph.add("Gather", graph.weight(layer.words.embeddings), token_ids)
    if layer.bigrams is None:
        return vectors
    ids = cast(graph, token_ids, np.int64)
    ends = graph.constant([1, 0, 0, 0])  # one step more at the start, on the axis of time
    shifted = graph.add("Pad", ids, ends, graph.constant(PADDING_ID))
    before = graph.add("Slice", shifted, graph.constant([0]), graph.constant([-1]))
    scaled = graph.add("Mul", before, graph.constant(BIGRAM_MULTIPLIER))
    buckets = graph.add("Mod", graph.add("Add", scaled, ids), graph.constant(layer.bigram_buckets))
    pairs = graph.add("Gather", graph.weight(layer.bigrams.embeddings), buckets)
    return graph.add("Concat", vectors, pairs, axis=2)


def _recurrent(graph: Graph, layer: Recurrent, inputs: str, lengths: str) -> str:
    """Map ``float32[time, batch, width]`` to the hidden states of all steps."""
    (states,) = scanned(graph, layer, inputs, lengths)
    if layer.backward is None:
        return graph.add("Squeeze", states, graph.constant([1]))
    side_by_side = graph.add("Transpose", states, perm=[0, 2, 1, 3])
    return graph.add("Reshape", side_by_side, graph.constant([0, 0, 2 * layer.hidden_size]))


def _pooled(graph: Graph, layer: Pooling, states: str, vectors: str, lengths: str) -> str:
    """Map ``float32[time, batch, width]`` to one vector a row, as :class:`Pooling` does."""
    lengths = cast(graph, graph.add("Max", lengths, graph.constant(1, np.int32)), np.int64)
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


def _last(graph: Graph, layer: Pooling, states: str, lengths: str) -> list[str]:
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


def _real(graph: Graph, sequences: str, lengths: str) -> str:
    """Tell, ``bool[time, batch, 1]``, which steps lie before a sequence's end."""
    steps = graph.add("Unsqueeze", _numbered(graph, sequences, axis=0), graph.constant([1]))
    return graph.add("Unsqueeze", graph.add("Less", steps, lengths), graph.constant([2]))


def _mean(graph: Graph, sequences: str, lengths: str) -> str:
    real = _real(graph, sequences, lengths)
    kept = graph.add("Where", real, sequences, graph.weight(0))
    total = graph.add("ReduceSum", kept, graph.constant([0]), keepdims=0)
    divisors = graph.add("Unsqueeze", cast(graph, lengths, np.float32), graph.constant([1]))
    return graph.add("Div", total, divisors)


def _numbered(graph: Graph, value: str, axis: int) -> str:
    """Return the numbers ``int64[size]`` from 0 along an axis of a value."""
    size = graph.add("Gather", graph.add("Shape", value), graph.constant(axis))
    return graph.add("Range", graph.constant(0), size, graph.constant(1))
