"""An exported network as ONNX Runtime computes it: nothing here knows TensorFlow."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from rnnpipe.errors import RegistryError
from rnnpipe.networks.onnx_file import OnnxGraph, Shape, read_onnx, unusable
from rnnpipe.networks.onnx_sizes import MOST_ELEMENTS, MOST_PRODUCTS, Sizes, sizes_of


class Session:
    """An exported network, loaded; what its file says stands in ``graph``."""

    def __init__(self, path: Path, graph: OnnxGraph, runtime: onnxruntime.InferenceSession) -> None:
        self.path = path
        self.graph = graph
        self._runtime = runtime

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the file tells besides the graph."""
        found: Mapping[str, str] = self._runtime.get_modelmeta().custom_metadata_map
        return found

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Compute outputs; may be called from several threads.

        Raises:
            RegistryError: the network cannot compute them, or answers with no finite number.
        """
        try:
            found: list[NDArray[Any]] = self._runtime.run(list(outputs), dict(inputs))
        except Exception as error:  # ONNX Runtime's errors have no class of their own above them
            raise unusable(self.path, f"it does not run: {type(error).__name__}") from error
        for name, answer in zip(outputs, found, strict=True):
            if not np.isfinite(answer).all():
                raise unusable(self.path, f"its {name} is no finite number")
        return found

    def require_bounded(self, **inputs: tuple[int, ...]) -> Sizes:
        """Make sure, without running it, that the network is content with a usual machine.

        Args:
            inputs: shapes of the largest inputs that it will be given, by name.

        Returns:
            What it would compute.

        Raises:
            RegistryError: it would want more memory or work than any network of ours.
        """
        return _require_bounded(self.path, self.graph, inputs)


def open_session(
    path: Path,
    kind: str,
    inputs: Mapping[str, int],
    *outputs: Mapping[str, int],
    threads: int = 1,
) -> Session:
    """Open an exported network.

    Args:
        path: the file.
        kind: what it should be, for errors.
        inputs: names of what goes in, with the number of dimensions.
        outputs: likewise of what comes out; of several, any one.
        threads: that share out one step; 0: as many as there are cores.

    Raises:
        RegistryError: the file is missing or is no such network.
    """
    graph, content = read_onnx(path)
    for word, found, allowed in (("in", graph.inputs, (inputs,)), ("out", graph.outputs, outputs)):
        if {name: len(shape) for name, shape in found.items()} not in map(dict, allowed):
            expected = " or ".join(", ".join(one) for one in allowed)
            raise RegistryError(
                f"{path} is no {kind}: {_told(found)} goes {word}, expected {expected};"
                " name a model of this problem"
            )
    # While it is opened, what depends on constants alone is computed: on the smallest inputs too.
    _require_bounded(path, graph, _smallest(graph))
    options = onnxruntime.SessionOptions()
    # A step of a recurrence is too little work to share out; whole batches run side by side.
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = False  # it pays for batches of one shape, ours have many
    options.log_severity_level = 4  # fatal errors alone: ours are told by exceptions
    try:
        runtime = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no class of their own above them
        raise unusable(path, type(error).__name__) from error
    return Session(path, graph, runtime)


def _smallest(graph: OnnxGraph) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(size if isinstance(size, int) else 1 for size in shape)
        for name, shape in graph.inputs.items()
    }


def _require_bounded(path: Path, graph: OnnxGraph, inputs: Mapping[str, tuple[int, ...]]) -> Sizes:
    try:
        sizes = sizes_of(graph, inputs)
    except (ValueError, LookupError, ArithmeticError) as error:
        raise unusable(
            path, f"as a network of ours it makes no sense: {str(error)[:200]}"
        ) from None
    for found, most, what in (
        (sizes.elements, MOST_ELEMENTS, "numbers"),
        (sizes.products, MOST_PRODUCTS, "products"),
    ):
        if found > most:
            raise unusable(
                path, f"it would compute {found:.2g} {what} at once, expected at most {most:.2g}"
            )
    return sizes


def _told(values: Mapping[str, Shape]) -> str:
    return ", ".join(f"{name[:50]} of {len(shape)} dimensions" for name, shape in values.items())[
        :300
    ]


def require_size(path: Path, what: str, found: object, expected: object) -> None:
    """Make sure that two parts of a model agree about a size.

    Raises:
        RegistryError: they do not: they are of two models.
    """
    if found != expected:
        raise RegistryError(
            f"{path} has {found} {what}, the files beside it say {expected}: they are of two models;"
            " take the folder from the registry again"
        )
