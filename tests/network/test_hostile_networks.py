"""Files of networks that want to harm: each is refused in a sentence, with little memory and time."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from rnnpipe.errors import RegistryError
from rnnpipe.networks.backend import keras
from rnnpipe.networks.onnx_file import read_onnx
from rnnpipe.networks.onnx_sizes import sizes_of
from rnnpipe.networks.saving import load_network, save_network
from rnnpipe.problems.classification.export import save_classifier
from rnnpipe.problems.classification.exported import ExportedNetwork
from rnnpipe.text.batching import Padding
from tests.networks import CELLS, VOCABULARY, small_network

INPUT = helper.make_tensor_value_info("token_ids", TensorProto.INT32, ["batch", "time"])
OUTPUT = helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["batch"])
BOOL, INT, FLOAT = (
    [helper.make_tensor_value_info(name, kind, [])]
    for name, kind in (("c", TensorProto.BOOL), ("i", TensorProto.INT64), ("f", TensorProto.FLOAT))
)


def open_(path: Path) -> ExportedNetwork:
    """Load a classifier as ``predict`` does."""
    network = ExportedNetwork(path)
    network.require_matching(VOCABULARY, Padding(400), 2)
    return network


@pytest.fixture(scope="module")
def good(params, tmp_path_factory) -> onnx.ModelProto:
    """What our exporter writes."""
    path = tmp_path_factory.mktemp("good") / "network.onnx"
    save_classifier(small_network(params), path)
    open_(path)
    return onnx.load(path)


def constant(name: str, value: Any, dtype: Any = np.int64) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, dtype), name)


def graph_of(*nodes: onnx.NodeProto, constants: Any = (), **changes: Any) -> onnx.ModelProto:
    """A model of some nodes, the last of which gives ``logit``."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        changes.get("inputs", [INPUT]),
        changes.get("outputs", [OUTPUT]),
        list(constants),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(operator: str, *inputs: str, out: str = "logit", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, list(inputs), [out], **attributes)


def loop() -> onnx.ModelProto:
    body = helper.make_graph(
        [node("Identity", "c", out="d")],
        "b",
        [*INT, *BOOL],
        [helper.make_tensor_value_info("d", TensorProto.BOOL, [])],
    )
    trips = [constant("most", 2**62), constant("on", True, np.bool_)]
    return graph_of(node("Loop", "most", "on", body=body), constants=trips)


def branch() -> onnx.ModelProto:
    then = helper.make_graph([node("Identity", "on", out="d")], "b", [], BOOL)
    return graph_of(
        node("If", "on", then_branch=then, else_branch=then),
        constants=[constant("on", True, np.bool_)],
    )


def scan() -> onnx.ModelProto:
    body = helper.make_graph([node("Identity", "f", out="g")], "b", FLOAT, FLOAT)
    return graph_of(node("Scan", "token_ids", body=body, num_scan_inputs=1))


def external(place: str) -> onnx.ModelProto:
    model = graph_of(node("Identity", "w"), constants=[constant("w", [1.0], np.float32)])
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    return model


def declared(*dims: int) -> onnx.ModelProto:
    model = graph_of(node("Identity", "w"), constants=[constant("w", [1.0], np.float32)])
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    return model


def doubled(times: int) -> onnx.ModelProto:
    """A tensor laid beside itself so many times."""
    nodes = [node("Identity", "token_ids", out="x0")]
    nodes += [node("Concat", f"x{i}", f"x{i}", out=f"x{i + 1}", axis=1) for i in range(times)]
    return graph_of(*nodes, node("Identity", f"x{times}"))


def squared(times: int) -> onnx.ModelProto:
    """Every number times every number, and once more."""
    constants, nodes = [], [node("Identity", "token_ids", out="x0")]
    for i in range(times):
        constants += [constant(f"r{i}", [-1, 1]), constant(f"c{i}", [1, -1])]
        nodes += [
            node("Reshape", f"x{i}", f"r{i}", out=f"a{i}"),
            node("Reshape", f"x{i}", f"c{i}", out=f"b{i}"),
            node("Mul", f"a{i}", f"b{i}", out=f"x{i + 1}"),
        ]
    return graph_of(*nodes, node("Identity", f"x{times}"), constants=constants)


def with_opset(domain: str) -> onnx.ModelProto:
    model = graph_of(node("Identity", "token_ids"))
    model.opset_import.append(helper.make_opsetid(domain, 1))
    return model


def with_function() -> onnx.ModelProto:
    model = graph_of(node("Identity", "token_ids"))
    model.functions.append(
        helper.make_function("f", "g", ["x"], ["y"], [], [helper.make_opsetid("", 17)])
    )
    return model


def named(inputs: str, outputs: str) -> onnx.ModelProto:
    return graph_of(
        node("Identity", inputs, out=outputs),
        inputs=[helper.make_tensor_value_info(inputs, TensorProto.INT32, ["batch", "time"])],
        outputs=[helper.make_tensor_value_info(outputs, TensorProto.INT32, ["batch", "time"])],
    )


def answering(last: onnx.NodeProto, *constants: onnx.TensorProto) -> onnx.ModelProto:
    """What the last node gives, said to be the logits of three classes."""
    told = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])
    return graph_of(last, constants=constants, outputs=[told])


HUGE = 10**12
GRAPHS = {
    "a loop": loop,
    "a branch": branch,
    "a scan": scan,
    "another file": lambda: external("/etc/passwd"),
    "a file above": lambda: external("../../secret"),
    "an empty place": lambda: external(""),
    "terabytes declared": lambda: declared(HUGE),
    "overflowing dimensions": lambda: declared(2**62, 2**62),
    "negative dimensions": lambda: declared(-1),
    "a hundred dimensions": lambda: declared(*[1] * 100),
    "expanded": lambda: graph_of(
        node("Expand", "one", "to"),
        constants=[constant("one", [1.0], np.float32), constant("to", [HUGE])],
    ),
    "expanded from the input": lambda: graph_of(
        node("Expand", "token_ids", "to"), constants=[constant("to", [HUGE, 1, 1])]
    ),
    "a long range": lambda: graph_of(
        node("Range", "a", "b", "c"),
        constants=[constant("a", 0), constant("b", 2**62), constant("c", 1)],
    ),
    "no step": lambda: graph_of(
        node("Range", "a", "b", "c"),
        constants=[constant("a", 0), constant("b", 2), constant("c", 0)],
    ),
    "padded": lambda: graph_of(
        node("Pad", "token_ids", "ends"), constants=[constant("ends", [0, 0, 0, HUGE])]
    ),
    "a shape made from data": lambda: graph_of(
        node("Cast", "token_ids", out="n", to=TensorProto.INT64),
        node("Reshape", "n", "flat", out="m"),
        node("Expand", "one", "m"),
        constants=[constant("flat", [-1]), constant("one", [1.0], np.float32)],
    ),
    "doubled": lambda: doubled(60),
    "doubled beyond all numbers": lambda: doubled(1500),
    "squared": lambda: squared(6),
    "ones that fill": lambda: graph_of(
        node("ConstantOfShape", "to"), constants=[constant("to", [HUGE])]
    ),
    "tiles": lambda: graph_of(
        node("Tile", "token_ids", "to"), constants=[constant("to", [HUGE, 1])]
    ),
    "a long convolution": lambda: graph_of(node("Conv", "token_ids", "token_ids")),
    "a great hidden size": lambda: graph_of(
        node("LSTM", "w", "w", "w", hidden_size=2**40),
        constants=[constant("w", np.ones((1, 4, 1)), np.float32)],
    ),
    "an operator of someone": lambda: graph_of(
        helper.make_node("Identity", ["token_ids"], ["logit"], domain="evil")
    ),
    "operators of someone": lambda: with_opset("evil"),
    "a function": with_function,
    "two outputs of one name": lambda: graph_of(
        node("Identity", "token_ids", out="x"),
        node("Identity", "token_ids", out="x"),
        node("Identity", "x"),
    ),
    "a circle": lambda: graph_of(node("Identity", "logit")),
    "another input": lambda: named("tokens", "logit"),
    "another output": lambda: named("token_ids", "probability"),
    "too many dimensions come out": lambda: named("token_ids", "logit"),
    "answers of no width": lambda: answering(
        node("ReduceSum", "token_ids", "axes", out="logits", keepdims=0), constant("axes", [1])
    ),
    "a logit for each of a million": lambda: answering(
        node("Expand", "one", "to", out="logits"),
        constant("one", [1.0], np.float32),
        constant("to", [1, 10**6]),
    ),
    "no weights": lambda: graph_of(node("Identity", "token_ids")),
    "ten thousand nodes": lambda: graph_of(
        *(node("Identity", "token_ids", out=f"x{i}") for i in range(10_000))
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_that_no_exporter_writes_is_refused(name, tmp_path):
    (tmp_path / "network.onnx").write_bytes(GRAPHS[name]().SerializeToString())
    with pytest.raises(RegistryError) as refused:
        open_(tmp_path / "network.onnx")
    assert len(str(refused.value)) < 1000
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_no_number_is_refused(good, tmp_path, value):
    model = onnx.ModelProto()
    model.CopyFrom(good)
    weights = next(t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT)
    array = numpy_helper.to_array(weights).copy()
    array.flat[-1] = value
    weights.raw_data = array.tobytes()
    (tmp_path / "network.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(RegistryError, match="no finite number"):
        open_(tmp_path / "network.onnx")


def test_weights_that_overflow_give_no_answer(good, tmp_path):
    model = onnx.ModelProto()
    model.CopyFrom(good)
    for weights in model.graph.initializer:
        if weights.data_type in (TensorProto.FLOAT, TensorProto.DOUBLE):
            kind = numpy_helper.to_array(weights)
            weights.raw_data = np.full_like(kind, np.finfo(kind.dtype).max).tobytes()
    (tmp_path / "network.onnx").write_bytes(model.SerializeToString())
    network = open_(tmp_path / "network.onnx")
    with pytest.raises(RegistryError, match="no finite number"):
        network.logits(np.ones((1, 3), np.int32))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_damage_to_a_file_ends_in_anything_but_a_sentence(good, tmp_path_factory, data):
    content = bytearray(good.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(content)
    try:
        network = open_(path)
        network.logits(np.array([[3, 4, 0]], np.int32))
    except RegistryError:
        pass


@settings(max_examples=8, deadline=None)
@given(
    cell=st.sampled_from(CELLS),
    bidirectional=st.booleans(),
    pooling=st.sampled_from(["last", "max", "mean", "max_mean"]),
    side=st.sampled_from(["left", "right"]),
    mask=st.booleans(),
    batch=st.integers(1, 4),
    time=st.integers(1, 9),
)
def test_what_is_counted_is_what_is_computed(
    params, tmp_path_factory, cell, bidirectional, pooling, side, mask, batch, time
):
    model = small_network(
        params,
        cell=cell,
        bidirectional=bidirectional,
        pooling=pooling,
        padding_side=side,
        mask=mask,
    )
    path = tmp_path_factory.getbasetemp() / "counted.onnx"
    save_classifier(model, path)
    # Every value in between as an output too: the runtime tells its shape.
    whole = onnx.shape_inference.infer_shapes(onnx.load(path))
    graph, _ = read_onnx(path)
    kinds = {value.name: value.type for value in whole.graph.value_info}
    for each in graph.nodes[:-1]:
        for name in each.outputs:
            if name in kinds:
                whole.graph.output.append(helper.make_value_info(name, kinds[name]))
    import onnxruntime

    session = onnxruntime.InferenceSession(whole.SerializeToString())
    found = session.run(None, {"token_ids": np.full((batch, time), 3, np.int32)})
    names = [output.name for output in session.get_outputs()]
    widened = type(graph)(graph.nodes, graph.constants, graph.inputs, dict.fromkeys(names, ()))
    counted = sizes_of(widened, {"token_ids": (batch, time)})
    assert counted.outputs == {n: a.shape for n, a in zip(names, found, strict=True)}
    assert counted.elements >= sum(array.size for array in found[1:])


# --- Files of Keras ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras_file(params, tmp_path_factory) -> dict[str, bytes]:
    """The parts of a file that we write."""
    path = tmp_path_factory.mktemp("keras") / "network.keras"
    save_network(small_network(params), path)
    load_network(path)
    with zipfile.ZipFile(path) as written:
        return {name: written.read(name) for name in written.namelist()}


def altered(config: bytes, change: Any) -> bytes:
    """A configuration in which each layer's own was changed."""
    values = json.loads(config)
    for layer in values["config"]["layers"]:
        change(layer)
    return json.dumps(values).encode()


def set_(name: str, value: Any) -> Any:
    def change(layer: dict[str, Any]) -> None:
        if name in layer["config"]:
            layer["config"][name] = value

    return change


def foreign(**named: Any) -> Any:
    def change(layer: dict[str, Any]) -> None:
        if layer["class_name"] == "Dense":
            layer.update(named)

    return change


def weights_of(write: Any) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as groups:
        write(groups)
    return file.getvalue()


LAMBDA = {"class_name": "__lambda__", "config": {"value": "YWJj"}}
CONFIGS = {
    "gigabytes of words": set_("vocabulary_size", 2_000_000_000),
    "gigabytes of pairs": set_("bigram_buckets", 10**9),
    "terabytes": set_("hidden_size", 10**6),
    "beyond all numbers": set_("units", 10**30),
    "5,000 digits": set_("units", 10**4200),
    "less than nothing": set_("units", -3),
    "no number": set_("units", "many"),
    "infinite": set_("rate", float("inf")),
    "a lambda": foreign(class_name="Lambda", config={"name": "x", "function": LAMBDA}),
    "a function": foreign(class_name="function", module="builtins", config="exec"),
    "a class of the system": foreign(class_name="system", module="os", registered_name="os>system"),
    "a class under our name": foreign(
        class_name="Popen", module="subprocess", registered_name="rnnpipe>Popen"
    ),
    "a helper of Keras": foreign(class_name="get_file", module="keras.utils"),
    "a layer that reads files": foreign(
        class_name="StringLookup", module="keras.layers", config={"vocabulary": "/etc/passwd"}
    ),
    "a model in a model": foreign(class_name="TorchModuleWrapper", module="keras.layers"),
    "no class": foreign(class_name=None, module="keras.layers"),
    "a list for a class": foreign(class_name=["Dense"], module=["keras.layers"]),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_that_is_not_ours_is_refused(name, keras_file, tmp_path):
    parts = keras_file | {"config.json": altered(keras_file["config.json"], CONFIGS[name])}
    assert "\n" not in refused(parts, tmp_path)


def test_what_is_only_counted_is_never_made(keras_file, tmp_path):
    """Keras would make it together with what it makes next."""
    config = altered(keras_file["config.json"], set_("vocabulary_size", 20_000_000))
    refused(keras_file | {"config.json": config}, tmp_path)
    memory = psutil.Process().memory_info
    before = memory().rss
    with keras.StatelessScope():  # as every stock layer opens and leaves
        pass
    assert memory().rss - before < 50_000_000


PARTS: dict[str, Any] = {
    "a file above": lambda parts: {"../evil.txt": b"x"},
    "a file from the root": lambda parts: {"/tmp/evil.txt": b"x"},
    "assets": lambda parts: {"assets/a.txt": b"x"},
    "no weights": lambda parts: {"model.weights.h5": None},
    "weights that are none": lambda parts: {"model.weights.h5": b"x" * 100},
    "a configuration that is none": lambda parts: {"config.json": b"<html>"},
    "a list": lambda parts: {"config.json": b"[]"},
    "deep": lambda parts: {"config.json": b"[" * 10**5},
    "a long configuration": lambda parts: {"config.json": b" " * 2**21},
    "weights of terabytes": lambda parts: {
        "model.weights.h5": weights_of(lambda groups: groups.create_dataset("a", (10**12,), "f4"))
    },
    "weights that unfold": lambda parts: {
        "model.weights.h5": weights_of(
            lambda groups: groups.create_dataset("a", (10**6,), "f4", compression="gzip")
        )
    },
    "weights of another file": lambda parts: {
        "model.weights.h5": weights_of(
            lambda groups: groups.__setitem__("a", h5py.ExternalLink("/etc/passwd", "/"))
        )
    },
    "weights in another file": lambda parts: {
        "model.weights.h5": weights_of(
            lambda groups: groups.create_dataset("a", (4,), "f4", external=[("/etc/passwd", 0, 16)])
        )
    },
    "groups in a circle": lambda parts: {
        "model.weights.h5": weights_of(
            lambda groups: groups.create_group("a").__setitem__("b", groups)
        )
    },
    "fewer weights": lambda parts: {"model.weights.h5": weights_of(lambda groups: None)},
}


@pytest.mark.parametrize("name", PARTS)
def test_a_file_of_other_parts_is_refused(name, keras_file, tmp_path):
    assert "\n" not in refused(keras_file | PARTS[name](keras_file), tmp_path)


def test_a_bomb_is_not_unfolded(keras_file, tmp_path):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in keras_file.items():
            written.writestr(name, content if name != "model.weights.h5" else bytes(2**25))
    assert path.stat().st_size < 2**18
    with pytest.raises(RegistryError, match="unfolds to"):
        load_network(path)


def refused(parts: dict[str, bytes | None], folder: Path) -> str:
    path = folder / "network.keras"
    with zipfile.ZipFile(path, "w") as written:
        for name, content in parts.items():
            if content is not None:
                written.writestr(name, content)
    with pytest.raises(RegistryError, match="is not a network this rnnpipe can load") as error:
        load_network(path)
    assert not list(folder.parent.glob("evil*"))
    assert len(str(error.value)) < 1000
    return str(error.value)
