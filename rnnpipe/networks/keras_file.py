"""What a ``.keras`` file wants of this machine, before Keras does as it says.

Keras builds whatever a file's configuration names: classes of any module, layers of any size, only
then does it look at the weights. So all is held against what our networks are made of, and the
sizes against the weights that lie in the file.
"""

import io
import json
import math
import random
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py

from rnnpipe.networks.backend import keras

_PARTS = {"config.json": 2**20, "metadata.json": 2**16, "model.weights.h5": 2**33}
_MOST_UNFOLDED = 20  # times the file's size: weights hardly pack, and only before 0.2 were packed
_MOST_LAYERS = 100
_MOST_PARTS = 2000  # of the file of weights
_MOST_TEXT = 10_000
_MOST_SIZE = 2**31 - 1

_CLASSES = {
    None: {"__keras_tensor__"},
    "keras": {"DTypePolicy"},
    "keras.initializers": {
        "GlorotUniform",
        "Ones",
        "Orthogonal",
        "OrthogonalInitializer",
        "RandomNormal",
        "RandomUniform",
        "VarianceScaling",
        "Zeros",
    },
    "keras.layers": {"Dense", "Dropout", "Embedding", "InputLayer", "Reshape"},
    "keras.src.models.functional": {"Functional"},
}
_OUR_CLASSES = {
    f"rnnpipe>{name}"
    for name in (
        "Calibration",
        "DirectForecaster",
        "LanguageModel",
        "MeanForecaster",
        "NgramEmbedding",
        "Pooling",
        "Recurrent",
        "RightAligned",
        "SegmentForecaster",
    )
}


class KerasFileError(ValueError):
    """What is wrong with a file, in a few words."""


def check_keras_file(path: Path) -> None:
    """Make sure that a file holds a network of ours, as large as its weights are.

    Nothing from the file is run, and no weight is made.

    Raises:
        KerasFileError: it does not.
    """
    _require(path.is_file(), "there is no such file")
    with zipfile.ZipFile(path) as written:
        infos = written.infolist()
        found = sorted(info.filename for info in infos)
        _require(found == sorted(_PARTS), f"it holds {str(found)[:200]}, expected {list(_PARTS)}")
        unfolded = sum(info.file_size for info in infos)
        _require(
            unfolded <= _MOST_UNFOLDED * path.stat().st_size
            and all(info.file_size <= _PARTS[info.filename] for info in infos),
            f"it unfolds to {unfolded:,} bytes",
        )
        config = json.loads(written.read("config.json"))
        weights = io.BytesIO(written.read("model.weights.h5"))
    _check_config(config)
    with h5py.File(weights, "r") as groups:
        held = _count(groups, len(weights.getbuffer()))
    wanted = _wanted(config)
    _require(wanted <= held, f"it wants {wanted:,} weights and holds {held:,}")


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise KerasFileError(fault)


def _check_config(value: Any, key: str = "") -> None:
    """Make sure that a configuration names our classes and Keras's plain layers alone."""
    match value:
        case dict():
            if "class_name" in value or "registered_name" in value or "module" in value:
                _check_class(value)
            for name, item in value.items():
                _check_config(item, name)
        case list():
            _require(len(value) <= _MOST_TEXT, f"its {key[:50]!r} is {len(value):,} long")
            for item in value:
                _check_config(item, key)
        case bool() | None:
            pass
        case int() | float():
            most = _MOST_LAYERS if key == "num_layers" else _MOST_SIZE
            _require(abs(value) <= most, f"its {key[:50]!r} is above {most:,}")
        case _:
            _require(len(value) <= _MOST_TEXT, f"its {key[:50]!r} is {len(value):,} long")


def _check_class(value: dict[str, Any]) -> None:
    name, module = value.get("class_name"), value.get("module")
    ours = value.get("registered_name")
    known = (
        ours == f"rnnpipe>{name}" and ours in _OUR_CLASSES and str(module).startswith("rnnpipe")
    ) or (isinstance(name, str) and name in _CLASSES.get(module, ()) and ours in (None, name))
    _require(known, f"it names {str(module)[:50]}.{str(name)[:50]}, which is in no network of ours")


def _count(groups: h5py.File, size: int) -> int:
    """Count the numbers in a file of weights; they must lie in it, as they are."""
    held = seen = 0
    waiting: list[Any] = [groups]
    while waiting:
        group = waiting.pop()
        for name in group:
            seen += 1  # groups may name one another in a circle
            _require(seen <= _MOST_PARTS, "its weights are in too many parts")
            link = group.get(name, getlink=True)
            _require(isinstance(link, h5py.HardLink), "its weights lie elsewhere")
            item = group[name]
            if isinstance(item, h5py.Group):
                waiting.append(item)
                continue
            _require(
                isinstance(item, h5py.Dataset)
                and item.dtype.kind in "fiu"
                and not (item.is_virtual or item.external or item.compression or item.chunks),
                "its weights are laid out as no network of ours writes them",
            )
            held += math.prod(item.shape)
            _require(held <= size, "its weights are larger than the file")
    return held


def _wanted(config: dict[str, Any]) -> int:
    """Count the weights of the network that a configuration describes, without making them."""
    drawn = random.getstate()  # initializers draw their seeds, a training shall not notice
    try:
        # Keras keeps a list, one a thread, of variables that are to be made when next it may.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(_count_weights, config).result()
    finally:
        random.setstate(drawn)


def _count_weights(config: dict[str, Any]) -> int:
    with keras.StatelessScope(initialize_variables=False):
        network = keras.saving.deserialize_keras_object(config, safe_mode=True)
    return sum(math.prod(weight.shape) for weight in network.weights)
