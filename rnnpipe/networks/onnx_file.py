"""The parts of an ONNX file, read without running or trusting any of it.

ONNX Runtime runs whatever a graph says: loops without an end, weights from other files, tensors of
terabytes. What our exporters write is small in kind: a few operators, constants that lie in the
file, one graph. Everything else is refused here, before the runtime sees the file. This is read by
hand since to use a model needs of ONNX its runtime alone (``docs/architecture.md``).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.errors import RegistryError, quoted

MOST_BYTES = 2**31 - 1  # of one protocol buffer
_MOST_NODES = 2000
_MOST_TOLD = 64  # values of a constant that may say a shape
_MOST_DIMENSIONS = 8
_MOST_NAME = 200
_OPSETS = range(13, 22)  # in between our operators mean the same

_TYPES = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 11: np.float64}

Shape = tuple[int | str, ...]
_Field = int | memoryview


class _FaultError(Exception):
    """What is wrong with a file, in a few words."""


@dataclass(frozen=True)
class Constant:
    """A constant of the graph; of weights and whatever else is large the values are left out."""

    shape: tuple[int, ...]
    is_weight: bool
    values: NDArray[np.int64] | None


@dataclass(frozen=True)
class Node:
    """One operator: names of what goes in and comes out, and what it is told besides."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class OnnxGraph:
    """A graph: its nodes in the order they run, constants by name, and the shapes at its ends.

    A dimension that is open has a name.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, Constant]
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]


def read_onnx(path: Path) -> tuple[OnnxGraph, bytes]:
    """Read a file that one of our exporters wrote: what it says, and its very bytes.

    Raises:
        RegistryError: it is missing, no such file, or holds what no exporter of ours writes.
    """
    try:
        _require(path.is_file(), "there is no such file")
        size = path.stat().st_size
        _require(size <= MOST_BYTES, f"it has {size:,} bytes, expected at most {MOST_BYTES:,}")
        content = path.read_bytes()
        return _model(memoryview(content)), content
    except (_FaultError, OSError, ValueError, IndexError) as error:
        fault = str(error) if isinstance(error, _FaultError) else type(error).__name__
        raise unusable(path, fault) from None


def unusable(path: Path, fault: str) -> RegistryError:
    """The error about a file that is no exported network of ours."""
    return RegistryError(
        f"{path} is not an exported network that can be loaded ({fault}): run `dvc checkout`, or"
        " train it again with `dvc repro`; a model registered before networks were exported needs"
        " the rnnpipe version that registered it"
    )


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise _FaultError(fault)


# --- Protocol buffers ----------------------------------------------------------------------


def _fields(message: memoryview) -> Iterator[tuple[int, _Field]]:
    """Yield number and content of each field: whole numbers, or bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        match key & 7:
            case 0:
                value, place = _varint(message, place)
                yield key >> 3, value
                continue
            case 1:
                end = place + 8
            case 2:
                length, place = _varint(message, place)
                end = place + length
            case 5:
                end = place + 4
            case _:
                raise _FaultError("it is no ONNX file")
        _require(end <= len(message), "it is cut off, or no ONNX file")
        yield key >> 3, message[place:end]
        place = end


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        _require(place < len(message) and shift < 70, "it is cut off, or no ONNX file")
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value & (2**64 - 1), place


def _signed(value: _Field) -> int:
    _require(isinstance(value, int), "a number of it is none")
    number = int(value)
    return number - 2**64 if number >= 2**63 else number


def _view(value: _Field) -> memoryview:
    if isinstance(value, int):
        raise _FaultError("it is no ONNX file")
    return value


def _text(value: _Field) -> str:
    view = _view(value)
    _require(len(view) <= _MOST_NAME, f"a name of it is longer than {_MOST_NAME} bytes")
    return str(view, "utf-8")


def _numbers(value: _Field) -> list[int]:
    """A repeated number, packed or one of several."""
    if isinstance(value, int):
        return [_signed(value)]
    _require(len(value) <= 8 * _MOST_NODES, "an attribute of it is too long")
    place, found = 0, []
    while place < len(value):
        number, place = _varint(value, place)
        found.append(_signed(number))
    return found


def _message(message: memoryview, once: set[int], many: set[int]) -> dict[int, list[Any]]:
    """Collect the fields that may be there; merging two of one, as protobuf does, is refused."""
    found: dict[int, list[Any]] = {number: [] for number in once | many}
    for number, value in _fields(message):
        _require(number in found, f"it has a part (field {number}) that no exporter of ours writes")
        found[number].append(value)
        _require(number in many or len(found[number]) == 1, "a part of it is there twice")
        _require(len(found[number]) <= _MOST_NODES, "it has more parts than any network of ours")
    return found


# --- What a model, a graph, a node and a constant are: field numbers as in onnx.proto --------


def _model(message: memoryview) -> OnnxGraph:
    # ir_version, producer and its version, domain, model_version, doc; graph; opsets; metadata.
    found = _message(message, {1, 2, 3, 4, 5, 6, 7}, {8, 14})
    _require(len(found[7]) == 1, "it holds no graph")
    _require(len(found[8]) == 1, "it names other sets of operators than ONNX's own")
    opset = _message(_view(found[8][0]), {1, 2}, set())
    _require(not any(map(_text, opset[1])), "it uses operators that are none of ONNX's own")
    _require([_signed(version) in _OPSETS for version in opset[2]] == [True], "its opset is not 17")
    return _graph(_view(found[7][0]))


def _graph(message: memoryview) -> OnnxGraph:
    # node, name, initializer, doc, input, output; value_info says what can be inferred.
    found = _message(message, {2, 10}, {1, 5, 11, 12, 13})
    named = [_constant(_view(value)) for value in found[5]]
    constants = dict(named)
    _require(len(constants) == len(named), "two constants of it have one name")
    nodes = tuple(_node(_view(value)) for value in found[1])
    inputs, outputs = (dict(_value(_view(value)) for value in found[part]) for part in (11, 12))
    _require(not constants.keys() & inputs.keys(), "an input of it is a constant too")
    return OnnxGraph(nodes, constants, inputs, outputs)


def _node(message: memoryview) -> Node:
    # input, output, name, operator, attributes, doc, domain
    found = _message(message, {3, 4, 6, 7}, {1, 2, 5})
    operator = "".join(map(_text, found[4]))
    _require(not any(map(_text, found[7])), f"its {quoted(operator)} is none of ONNX's own")
    attributes = dict(_attribute(_view(value)) for value in found[5])
    return Node(operator, tuple(map(_text, found[1])), tuple(map(_text, found[2])), attributes)


def _attribute(message: memoryview) -> tuple[str, Any]:
    # name, float, integer, string, integers, doc, type; a graph (6) within a node is refused.
    found = _message(message, {1, 2, 3, 4, 13, 20}, {8})
    name = "".join(map(_text, found[1]))
    match sum(found[20]):
        case 1:
            return name, float(np.frombuffer(_view(found[2][0]), "<f4")[0])
        case 2:
            return name, _signed(found[3][0]) if found[3] else 0
        case 3:
            return name, _text(found[4][0])
        case 7:
            return name, [number for value in found[8] for number in _numbers(value)]
    raise _FaultError(f"the attribute {quoted(name)} is of a kind that no exporter of ours writes")


def _constant(message: memoryview) -> tuple[str, Constant]:
    # dims, type, name, raw data, doc, where the data lie; external data (13) are refused.
    found = _message(message, {2, 8, 9, 12, 14}, {1})
    name = "".join(map(_text, found[8]))
    shape = tuple(number for value in found[1] for number in _numbers(value))
    kind = _TYPES.get(sum(found[2]))
    _require(not any(found[14]), f"the constant {quoted(name)} lies in another file")
    if kind is None or len(shape) > _MOST_DIMENSIONS or any(size < 0 for size in shape):
        raise _FaultError(f"the constant {quoted(name)} is of a shape or type that we do not write")
    data = _view(found[9][0]) if found[9] else memoryview(b"")
    expected = math.prod(shape) * np.dtype(kind).itemsize
    _require(
        len(data) == expected,
        f"the constant {quoted(name)} has {len(data):,} bytes, its shape wants {expected:,}",
    )
    values: NDArray[Any] = np.frombuffer(data, kind)
    is_weight = bool(np.issubdtype(kind, np.floating))
    if is_weight:
        _require(bool(np.isfinite(values).all()), f"a weight in {quoted(name)} is no finite number")
    small = None if is_weight or values.size > _MOST_TOLD else values.astype(np.int64)
    return name, Constant(shape, is_weight, None if small is None else small.reshape(shape))


def _value(message: memoryview) -> tuple[str, Shape]:
    """Name and shape of an input or output."""
    found = _message(message, {1, 2, 3}, set())
    name = "".join(map(_text, found[1]))
    tensor = _message(_view(found[2][0]), {1}, set())[1]
    parts = _message(_view(tensor[0]), {1, 2}, set())
    shape = _message(_view(parts[2][0]), set(), {1})[1] if parts[2] else []
    _require(len(shape) <= _MOST_DIMENSIONS, f"{quoted(name)} has too many dimensions")
    sizes: list[int | str] = []
    for dimension in shape:
        said = _message(_view(dimension), {1, 2}, set())
        sizes.append(_signed(said[1][0]) if said[1] else "".join(map(_text, said[2])))
    _require(
        all(isinstance(size, str) or 0 < size <= MOST_BYTES for size in sizes),
        f"{quoted(name)} has a dimension out of all bounds",
    )
    return name, tuple(sizes)
