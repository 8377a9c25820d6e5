"""A forecaster as ONNX."""

from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from rnnpipe.networks.backend import keras
from rnnpipe.networks.onnx_graph import Graph, dense, save_graph, scanned
from rnnpipe.networks.recurrent import Recurrent
from rnnpipe.problems.forecasting.network import (
    DirectForecaster,
    MeanForecaster,
    SegmentForecaster,
)
from rnnpipe.problems.forecasting.period_map import PeriodMap
from rnnpipe.problems.forecasting.step_map import StepMap


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
    layer = model.layers[-1]
    shape = model.input.shape[1:]
    if isinstance(layer, MeanForecaster):
        told = [_forecast(graph, member, shape, "past") for member in layer.members]
        total = reduce(lambda one, other: graph.add("Add", one, other), told)
        value = graph.add("Mul", total, graph.weight(1 / len(told)))
    else:
        value = _forecast(graph, layer, shape, "past")
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


def _forecast(graph: Graph, layer: keras.layers.Layer, shape: tuple[int, int], past: str) -> str:
    """Do as one forecaster on pasts of a look-back and so many columns."""
    look_back, _ = shape
    begin, end, time = (graph.constant([n]) for n in (-layer.level_steps, look_back, 1))
    recent = graph.add("Slice", past, begin, end, time)
    level = graph.add("ReduceMean", recent, axes=[1], keepdims=1)
    moved = graph.add("Sub", past, level)
    match layer:
        case SegmentForecaster():
            future = _segment_forecast(graph, layer, shape, moved)
        case DirectForecaster():
            future = _direct_forecast(graph, layer, shape, moved)
        case _:
            raise TypeError(f"found a layer {type(layer).__name__}, which has no ONNX rule yet")
    if layer.linear:
        future = graph.add("Add", future, _mapped(graph, layer.linear, shape, moved))
    return graph.add("Add", future, level)


def _mapped(graph: Graph, layer: PeriodMap | StepMap, shape: tuple[int, int], moved: str) -> str:
    """Do as a linear map on each column."""
    return (_steps_mapped if isinstance(layer, StepMap) else _periods_mapped)(
        graph, layer, shape, moved
    )


def _steps_mapped(graph: Graph, layer: StepMap, shape: tuple[int, int], moved: str) -> str:
    """Do as :class:`StepMap` on each column."""
    look_back, columns = shape
    begin, end, time = (graph.constant([n]) for n in (-1, look_back, 1))
    last = graph.add("Slice", moved, begin, end, time)
    rows = graph.add("Transpose", graph.add("Sub", moved, last), perm=[0, 2, 1])
    rows = graph.add("Reshape", rows, graph.constant([-1, look_back]))
    future = graph.add("Gemm", rows, graph.weight(layer.steps), graph.weight(layer.bias))
    return graph.add(
        "Add", _first_steps(graph, future, columns, layer.horizon, layer.horizon), last
    )


def _periods_mapped(graph: Graph, layer: PeriodMap, shape: tuple[int, int], moved: str) -> str:
    """Do as :class:`PeriodMap` on each column."""
    look_back, columns = shape
    oldest, end, time = (graph.constant([n]) for n in (look_back % layer.period, look_back, 1))
    whole = graph.add("Slice", moved, oldest, end, time)
    periods = graph.add("Reshape", whole, graph.constant([-1, layer.read, layer.period, columns]))
    means = graph.add("ReduceMean", periods, axes=[2], keepdims=1)

    def weighted(weights: Any, values: str, width: int) -> str:
        """Map ``[batch, read, width, columns]`` to ``[batch, columns, ahead, width]``."""
        rows = graph.add("Transpose", values, perm=[0, 3, 2, 1])
        rows = graph.add("Reshape", rows, graph.constant([-1, layer.read]))
        future = graph.add("Gemm", rows, graph.weight(weights * layer.unit), transB=1)
        future = graph.add("Reshape", future, graph.constant([-1, columns, width, layer.ahead]))
        return graph.add("Transpose", future, perm=[0, 1, 3, 2])

    future = weighted(layer.means, means, 1)
    if layer.shapes is not None:
        varied = graph.add("Sub", periods, means)
        future = graph.add("Add", future, weighted(layer.shapes, varied, layer.period))
    return _first_steps(graph, future, columns, layer.ahead * layer.period, layer.horizon)


def _first_steps(graph: Graph, told: str, columns: int, steps: int, horizon: int) -> str:
    """Lay steps that were told a column out as a future: ``float32[batch, horizon, columns]``."""
    told = graph.add("Reshape", told, graph.constant([-1, columns, steps]))
    bounds = [graph.constant([bound]) for bound in (0, horizon, 2)]
    return graph.add("Transpose", graph.add("Slice", told, *bounds), perm=[0, 2, 1])


def _segment_forecast(
    graph: Graph, layer: SegmentForecaster, shape: tuple[int, int], moved: str
) -> str:
    """Do as the recurrence of :class:`SegmentForecaster`."""
    look_back, columns = shape
    width = layer.stack_config.hidden_size
    read, ahead = look_back // layer.segment, layer.segments_ahead
    oldest, end, time = (graph.constant([n]) for n in (look_back % layer.segment, look_back, 1))
    each = graph.add("Transpose", graph.add("Slice", moved, oldest, end, time), perm=[0, 2, 1])
    segments = graph.add("Reshape", each, graph.constant([-1, layer.segment]))
    inputs = graph.add("Relu", dense(graph, layer.projection, segments))
    rows = graph.add("Reshape", inputs, graph.constant([-1, read, width]))
    _, finals = _stacked(graph, layer.stack, graph.add("Transpose", rows, perm=[1, 0, 2]))

    def repeated(state: str) -> str:
        """Repeat each row once for each segment ahead: ``[1, rows, hidden_size]``, so many more."""
        row = graph.add("Reshape", state, graph.constant([-1, 1, width]))
        many = graph.add("Expand", row, graph.constant([1, ahead, 1]))
        return graph.add("Reshape", many, graph.constant([1, -1, width]))

    places, own = np.asarray(layer.places), np.asarray(layer.columns)
    questions = np.concatenate(
        [np.tile(places, (columns, 1)), np.repeat(own, ahead, axis=0)], axis=1
    )
    batch = graph.add("Slice", graph.add("Shape", moved), graph.constant([0]), graph.constant([1]))
    copies = graph.add("Concat", batch, graph.constant([1, 1]), axis=0)
    asked = graph.add("Expand", graph.weight(questions[None]), copies)
    asked = graph.add("Reshape", asked, graph.constant([1, -1, width]))
    answers, _ = _stacked(
        graph, layer.stack, asked, [[repeated(part) for part in final] for final in finals]
    )
    answers = graph.add("Reshape", answers, graph.constant([-1, width]))
    told = dense(graph, layer.head, answers)
    return _first_steps(graph, told, columns, ahead * layer.segment, layer.horizon)


def _direct_forecast(
    graph: Graph, layer: DirectForecaster, shape: tuple[int, int], moved: str
) -> str:
    """Do as the recurrence of :class:`DirectForecaster`."""
    _, columns = shape
    states, _ = _stacked(graph, layer.stack, graph.add("Transpose", moved, perm=[1, 0, 2]))
    state = graph.add("Gather", states, graph.constant(-1), axis=0)
    future = dense(graph, layer.head, state)
    return graph.add("Reshape", future, graph.constant([-1, layer.horizon, columns]))


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
