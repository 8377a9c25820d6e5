"""Networks as files whose bytes depend on nothing but the network."""

import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from rnnpipe.errors import RegistryError
from rnnpipe.networks.backend import keras
from rnnpipe.networks.keras_file import KerasFileError, check_keras_file
from rnnpipe.storage.files import atomic_file

_OLD_NAMES = {"onward": "forward"}  # of groups of weights, before 0.2
_EPOCH_OF_ZIP = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip file can hold


def save_network(model: keras.Model, path: Path) -> None:
    """Write a model as a ``.keras`` file whose bytes depend on nothing but the model.

    Keras puts the time, memory addresses and zip times into the file; here they are taken out.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        atomic_file(path) as partial,
        zipfile.ZipFile(partial, "w") as canonical,
    ):
        raw = Path(folder) / "network.keras"
        keras.saving.save_model(model, raw)
        with zipfile.ZipFile(raw) as written:
            contents = {name: written.read(name) for name in sorted(written.namelist())}
        for name, content in contents.items():
            if name.endswith(".json"):
                content = json.dumps(_without_chance(json.loads(content)), sort_keys=True).encode()
            canonical.writestr(zipfile.ZipInfo(name, _EPOCH_OF_ZIP), content)


def _without_chance(value: Any) -> Any:
    """Drop what differs between two saves of one model, and where in the code our classes stand.

    Keras finds a registered class by its registered name, so that a class may move to another
    module without a change in the file.
    """
    if isinstance(value, dict):
        chance = ("date_saved", "shared_object_id")
        kept = {key: _without_chance(item) for key, item in value.items() if key not in chance}
        if str(value.get("registered_name")).startswith("rnnpipe>"):
            kept["module"] = "rnnpipe"  # where there is none, Keras takes the file for one of its 2
        return kept
    return [_without_chance(item) for item in value] if isinstance(value, list) else value


def load_network(path: Path) -> keras.Model:
    """Read a model written by :func:`save_network`; no code from the file is run.

    Raises:
        RegistryError: the file is missing or is no such model.
    """
    try:
        check_keras_file(path)
        with _renamed(path) as current:
            return keras.saving.load_model(current, compile=False, safe_mode=True)
    except Exception as error:  # Keras, HDF5 and zipfile raise whatever a broken file leads to
        fault = str(error) if isinstance(error, KerasFileError) else type(error).__name__
        raise RegistryError(
            f"{path} is not a network this rnnpipe can load ({fault}):"
            " run `dvc checkout`, or train it again with `dvc repro train`"
        ) from error


@contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    """The file itself or, of one from before 0.2, a copy whose weights have today's names."""
    with zipfile.ZipFile(path) as written:
        contents = {"config.json": written.read("config.json")}
        if b'"rnnpipe.' not in contents["config.json"]:  # since then no module of ours is named
            yield path
            return
        contents["metadata.json"] = written.read("metadata.json")
        weights = io.BytesIO(written.read("model.weights.h5"))
    with h5py.File(weights, "r+") as groups:
        found: list[str] = []
        groups.visit(found.append)
        for name in found:
            head, _, last = name.rpartition("/")
            if last in _OLD_NAMES:
                groups.move(name, f"{head}/{_OLD_NAMES[last]}")
    contents["model.weights.h5"] = weights.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        current = Path(folder) / path.name
        with zipfile.ZipFile(current, "w") as copy:
            for name, content in contents.items():
                copy.writestr(name, content)
        yield current
