"""What an exported network would compute, counted without computing it.

A file of a few hundred bytes can ask for terabytes: by a constant as a shape, or by doubling a
tensor forty times. The shapes of all that a graph computes follow from those of its inputs, node by
node; of whole numbers that say a shape the values are followed too. What a shape is made from is
never calculated with in our graphs, so larger inputs never mean less.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnnpipe.networks.onnx_file import Node, OnnxGraph

# More than the largest network that the parameters allow computes for a batch.
MOST_ELEMENTS = 2**31
MOST_PRODUCTS = 10**13
_MOST_FOLLOWED = 64  # values

_Size = tuple[int, ...]
_Values = NDArray[np.int64] | None


@dataclass(frozen=True)
class _Tensor:
    shape: _Size
    values: _Values = None

    def told(self) -> list[int]:
        """Its values, where they say a shape.

        Raises:
            ValueError: they depend on data.
        """
        if self.values is None:
            raise ValueError("a shape depends on data")
        return [int(value) for value in self.values.ravel()]


@dataclass(frozen=True)
class Sizes:
    """How much a graph computes: numbers in all tensors, products in all sums, shapes at its end."""

    elements: float
    products: float
    outputs: Mapping[str, _Size]


def sizes_of(graph: OnnxGraph, inputs: Mapping[str, _Size]) -> Sizes:
    """Count what a graph computes from inputs of these shapes.

    Args:
        graph: any that :func:`rnnpipe.networks.onnx_file.read_onnx` reads.
        inputs: the shape of each input.

    Raises:
        ValueError, LookupError, ArithmeticError: its parts do not fit together.
    """
    tensors = {name: _Tensor(const.shape, const.values) for name, const in graph.constants.items()}
    for name, shape in graph.inputs.items():
        given = inputs[name]
        if len(given) != len(shape) or any(
            isinstance(size, int) and size != found
            for size, found in zip(shape, given, strict=True)
        ):
            raise ValueError(f"{name} has the shape {shape}, expected {given}")
        tensors[name] = _Tensor(given)
    elements = products = 0.0
    for node in graph.nodes:
        given_to = [tensors[name] if name else _Tensor(()) for name in node.inputs]
        rule = _RULES.get(node.operator)
        if rule is None:
            raise ValueError(f"no exporter of ours writes the operator {node.operator[:50]!r}")
        found = rule(node, given_to)
        for name, tensor in zip(node.outputs, found, strict=False):
            if name in tensors or any(size < 0 for size in tensor.shape):
                raise ValueError(f"the node {node.operator} gives {name[:50]} a second time")
            size = float(math.prod(tensor.shape))
            elements += size
            follow = tensor.values is not None and tensor.values.size <= _MOST_FOLLOWED
            tensors[name] = tensor if follow else _Tensor(tensor.shape)
        products += _products(node, given_to, found)
        if elements > MOST_ELEMENTS or products > MOST_PRODUCTS:
            break  # enough is known
    ends = {name: tensors[name].shape for name in graph.outputs if name in tensors}
    return Sizes(elements, products, ends)


def _products(node: Node, given: list[_Tensor], found: list[_Tensor]) -> float:
    size = float(sum(math.prod(tensor.shape) for tensor in found[:1]))
    if node.operator == "Gemm":
        return size * given[0].shape[0 if node.attributes.get("transA") else 1]
    if node.operator in _GATES:
        return size * _GATES[node.operator] * (given[1].shape[2] + given[2].shape[2])
    return size


# --- A rule an operator: the node and what it is given to what it gives ----------------------

_Rule = Callable[[Node, list[_Tensor]], list[_Tensor]]
_GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def _same(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    return [given[0]]


def _same_shape(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    return [_Tensor(given[0].shape)]


def _broadcast(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    return [_Tensor(_joined(*(tensor.shape for tensor in given)))]


def _joined(*shapes: _Size) -> _Size:
    """The shape of several that are broadcast; NumPy's own knows no more than 2^63 elements."""
    rank = max(map(len, shapes))
    joined = []
    for sizes in zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True):
        larger = {size for size in sizes if size != 1} or {1}
        if len(larger) > 1:
            raise ValueError(f"sizes {sorted(larger)} stand beside each other")
        joined.append(larger.pop())
    return tuple(joined)


def _shape(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    sizes = np.array(given[0].shape, np.int64)
    return [_Tensor(sizes.shape, sizes)]


def _gather(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    data, places = given
    axis = _axis(node.attributes.get("axis", 0), len(data.shape))
    shape = data.shape[:axis] + places.shape + data.shape[axis + 1 :]
    values = None
    if data.values is not None and places.values is not None:
        values = np.take(data.values, places.values, axis)
    return [_Tensor(shape, values)]


def _gather_nd(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    data, places = given
    return [_Tensor(places.shape[:-1] + data.shape[places.shape[-1] :])]


def _expand(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    return [_Tensor(_joined(given[0].shape, tuple(given[1].told())))]


def _transpose(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    shape = given[0].shape
    order = node.attributes.get("perm", list(range(len(shape)))[::-1])
    if sorted(order) != list(range(len(shape))):
        raise ValueError(f"{order} is no order of {len(shape)} axes")
    return [_Tensor(tuple(shape[axis] for axis in order))]


def _squeeze(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    shape = given[0].shape
    gone = {_axis(axis, len(shape)) for axis in given[1].told()}
    if any(shape[axis] != 1 for axis in gone):
        raise ValueError("an axis that is no longer than 1 is expected")
    return [_Tensor(tuple(size for axis, size in enumerate(shape) if axis not in gone))]


def _unsqueeze(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    rank = len(given[0].shape) + len(given[1].told())
    new = {_axis(axis, rank) for axis in given[1].told()}
    rest = iter(given[0].shape)
    return [_Tensor(tuple(1 if axis in new else next(rest) for axis in range(rank)))]


def _reduce(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    shape = given[0].shape
    axes = given[1].told() if len(given) > 1 else node.attributes["axes"]
    gone = {_axis(axis, len(shape)) for axis in axes}
    kept = node.attributes.get("keepdims", 1)
    return [
        _Tensor(
            tuple(
                1 if axis in gone else size
                for axis, size in enumerate(shape)
                if kept or axis not in gone
            )
        )
    ]


def _pad(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    shape, ends = given[0].shape, given[1].told()
    if len(ends) != 2 * len(shape) or any(end < 0 for end in ends):
        raise ValueError(f"{ends} are no widths to pad by")
    return [_Tensor(tuple(size + ends[i] + ends[len(shape) + i] for i, size in enumerate(shape)))]


def _slice(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    data, starts, ends, *rest = given
    axes = rest[0].told() if rest else list(range(len(starts.told())))
    if len(rest) > 1:
        raise ValueError("a slice has steps")
    cuts = [slice(None)] * len(data.shape)
    for axis, start, end in zip(axes, starts.told(), ends.told(), strict=True):
        cuts[_axis(axis, len(cuts))] = slice(start, end)
    shape = tuple(len(range(size)[cut]) for size, cut in zip(data.shape, cuts, strict=True))
    return [_Tensor(shape, None if data.values is None else data.values[tuple(cuts)])]


def _concat(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    first = given[0].shape
    axis = _axis(node.attributes["axis"], len(first))
    for tensor in given:
        if len(tensor.shape) != len(first):
            raise ValueError("what stands side by side differs in its dimensions")
    length = sum(tensor.shape[axis] for tensor in given)
    parts = [tensor.values for tensor in given if tensor.values is not None]
    values = np.concatenate(parts, axis) if len(parts) == len(given) else None
    return [_Tensor((*first[:axis], length, *first[axis + 1 :]), values)]


def _split(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    if len(given) > 1:
        raise ValueError("a split has lengths")
    shape = list(given[0].shape)
    axis = _axis(node.attributes.get("axis", 0), len(shape))
    shape[axis] = -(-shape[axis] // len(node.outputs))
    return [_Tensor(tuple(shape))] * len(node.outputs)


def _reshape(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    old, new = given[0].shape, given[1].told()
    sizes = [old[axis] if size == 0 else size for axis, size in enumerate(new)]
    if -1 in sizes:
        rest = math.prod(size for size in sizes if size != -1)
        sizes[sizes.index(-1)] = math.prod(old) // rest if rest else 0
    if math.prod(sizes) != math.prod(old) or any(size < 0 for size in sizes):
        raise ValueError(f"{old} does not become {new}")
    return [_Tensor(tuple(sizes))]


def _range(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    (start,), (limit,), (step,) = (tensor.told() for tensor in given)
    return [_Tensor((max(0, -((start - limit) // step)),))]


def _gemm(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    left, right = given[0].shape, given[1].shape
    if node.attributes.get("transA"):
        left = left[::-1]
    if node.attributes.get("transB"):
        right = right[::-1]
    (rows, inner), (found, columns) = left, right
    if inner != found:
        raise ValueError(f"a product of {inner} columns and {found} rows")
    return [_Tensor((rows, columns))]


def _recurrent(node: Node, given: list[_Tensor]) -> list[_Tensor]:
    time, batch, width = given[0].shape
    directions, rows, found = given[1].shape
    hidden_size = node.attributes["hidden_size"]
    if (
        found != width
        or rows != _GATES[node.operator] * hidden_size
        or given[2].shape != (directions, rows, hidden_size)
    ):
        raise ValueError(f"weights {given[1].shape} of a recurrence that reads {width} wide")
    final = _Tensor((directions, batch, hidden_size))
    return [_Tensor((time, directions, batch, hidden_size)), final, final]


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of {rank}")
    return axis % rank


_RULES: dict[str, _Rule] = {
    "Identity": _same,
    "Cast": _same,
    **dict.fromkeys(("Exp", "Log", "Not", "Relu", "ReverseSequence"), _same_shape),
    **dict.fromkeys(
        ("Add", "Div", "Equal", "Less", "Max", "Min", "Mod", "Mul", "Sub", "Where"), _broadcast
    ),
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceSum"), _reduce),
    **dict.fromkeys(_GATES, _recurrent),
    "Concat": _concat,
    "Expand": _expand,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "Gemm": _gemm,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
