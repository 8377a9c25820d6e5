"""A language model as ONNX, one reading after the other."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from rnnpipe.networks.onnx_graph import Graph, cast, save_graph, scanned
from rnnpipe.networks.transfer import Start
from rnnpipe.problems.language_model.network import LanguageModel


def save_language_model(model: LanguageModel, path: Path) -> None:
    """Write the forward direction of a language model as ONNX, to read some words at a time.

    The file's inputs are ``token_ids``, ``int32[batch, time]`` without padding, and ``state``,
    ``float32[layers, batch, width]``; its outputs ``logits``, ``float32[batch,
    vocabulary_size]`` of what follows the last of them, and ``state_after``. Its metadata name
    the vocabulary by its fingerprint.

    Args:
        model: any language model.
        path: the file; its bytes depend on nothing but the model. Beside it lies ``start.npz``,
            from which a classifier can start (:mod:`rnnpipe.networks.transfer`).
    """
    graph = Graph()
    table = graph.weight(model.words)  # once: it is read and predicted by
    token_ids = graph.add("Transpose", "token_ids", perm=[1, 0])
    values = graph.add("Gather", table, token_ids)  # float32[time, batch, embedding_size]
    finals = []
    for number, layer in enumerate(model.stacks[0]):
        state = graph.add("Gather", "state", graph.constant([number]), axis=0)
        parts = [state]  # float32[1, batch, hidden_size] each
        if layer.cell == "lstm":
            parts = graph.add_all("Split", 2, state, axis=2)
        states, *final = scanned(graph, layer, values, "", parts, final=True)
        values = graph.add("Squeeze", states, graph.constant([1]))
        finals.append(graph.add("Concat", *final, axis=2))
    last = graph.add("Gather", values, graph.constant(-1), axis=0)
    projection = model.projections[0]
    weights = (graph.constant(part, np.float64) for part in (projection.kernel, projection.bias))
    predicted = cast(graph, graph.add("Gemm", cast(graph, last, np.float64), *weights), np.float32)
    logits = graph.add("Gemm", predicted, table, graph.weight(model.bias), transB=1)
    after = graph.add("Concat", *finals, axis=0)
    for value, name in ((logits, "logits"), (after, "state_after")):
        graph.nodes.append(helper.make_node("Identity", [value], [name]))
    shape = [len(finals), "batch", model.zero_state(1).shape[-1]]
    save_graph(
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
        path,
        {"vocabulary": model.vocabulary},
    )
    Start.of(model).save(path.with_name("start.npz"))
