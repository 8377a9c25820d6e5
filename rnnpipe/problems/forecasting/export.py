"""A forecaster as ONNX."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from rnnpipe.networks.backend import keras
from rnnpipe.networks.onnx_graph import Graph, dense, save_graph, scanned
from rnnpipe.networks.recurrent import Recurrent
from rnnpipe.problems.forecasting.network import DirectForecaster, SegmentForecaster


def save_forecaster(model: keras.Model, path: Path) -> None:
    """Write a forecaster as ONNX; the file's bytes depend on nothing but the network.

    Args:
        model: built by :func:`rnnpipe.problems.forecasting.network.build_forecaster`.
        path: the file; its input is ``past``, ``float32[batch, look_back, columns]``, its output
            ``future``, ``float32[batch, horizon, columns]``.

    Raises:
        TypeError: there is no rule for its layer.
    """
    graph = Graph()
    match layer := model.layers[-1]:
        case SegmentForecaster():
            value = _segment_forecast(graph, layer, "past")
        case DirectForecaster():
            value = _direct_forecast(graph, layer, "past")
        case _:
            raise TypeError(f"found a layer {type(layer).__name__}, which has no ONNX rule yet")
    graph.nodes.append(helper.make_node("Identity", [value], ["future"]))
    save_graph(
        graph,
        model.name,
        [
            helper.make_tensor_value_info(
                "past", TensorProto.FLOAT, ["batch", *model.input.shape[1:]]
            )
        ],
        [
            helper.make_tensor_value_info(
                "future", TensorProto.FLOAT, ["batch", *model.output.shape[1:]]
            )
        ],
        path,
    )


def _segment_forecast(graph: Graph, layer: SegmentForecaster, past: str) -> str:
    """Do as :class:`SegmentForecaster`."""
    _, look_back, columns = layer.input.shape
    read, ahead = look_back // layer.segment, layer.segments_ahead
    last = _last_step(graph, past)
    level = graph.add("Sub", past, last)
    oldest, end, time = (graph.constant([n]) for n in (look_back % layer.segment, look_back, 1))
    each = graph.add("Transpose", graph.add("Slice", level, oldest, end, time), perm=[0, 2, 1])
    segments = graph.add("Reshape", each, graph.constant([-1, layer.segment]))
    inputs = graph.add("Relu", dense(graph, layer.projection, segments))
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
    told = dense(graph, layer.head, answers)
    told = graph.add("Reshape", told, graph.constant([-1, columns, ahead * layer.segment]))
    bounds = [graph.constant([bound]) for bound in (0, layer.horizon, 2)]
    future = graph.add("Transpose", graph.add("Slice", told, *bounds), perm=[0, 2, 1])
    return graph.add("Add", future, last)


def _direct_forecast(graph: Graph, layer: DirectForecaster, past: str) -> str:
    """Do as :class:`DirectForecaster`."""
    columns = layer.input.shape[2]
    last = _last_step(graph, past)
    level = graph.add("Transpose", graph.add("Sub", past, last), perm=[1, 0, 2])
    states, _ = _stacked(graph, layer.stack, level)
    state = graph.add("Gather", states, graph.constant(-1), axis=0)
    future = dense(graph, layer.head, state)
    shape = graph.constant([-1, layer.horizon, columns])
    return graph.add("Add", graph.add("Reshape", future, shape), last)


def _last_step(graph: Graph, past: str) -> str:
    return graph.add("Gather", past, graph.constant([-1]), axis=1)


def _stacked(
    graph: Graph, stack: list[Recurrent], inputs: str, initial: list[list[str]] | None = None
) -> tuple[str, list[list[str]]]:
    """Run layers on top of one another; give the last one's states and each one's final state."""
    finals = []
    for number, layer in enumerate(stack):
        begin = initial[number] if initial else []
        states, *final = scanned(graph, layer, inputs, "", begin, final=True)
        inputs = graph.add("Squeeze", states, graph.constant([1]))
        finals.append(final)
    return inputs, finals
