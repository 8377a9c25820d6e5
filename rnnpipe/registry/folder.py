"""The folder in which a model is registered."""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnpipe.errors import RegistryError
from rnnpipe.registry.manifest import write_manifest
from rnnpipe.storage.files import (
    atomic_directory,
    atomic_file,
    sha256_directory,
    write_json,
)

VALIDATION_PREDICTIONS = "validation_predictions.parquet"
MODEL_FILES = (
    "network.keras",
    "network.onnx",
    "params.json",
    "metrics.json",
    VALIDATION_PREDICTIONS,
    "README.md",
)


def assemble(
    target: Path,
    *,
    files: Mapping[str, Path],
    params: Mapping[str, Any],
    card: str,
    scores: Callable[[Path], None],
) -> str:
    """Build a self-contained model folder and return its SHA-256.

    Nothing in it depends on time, host, or path, so equal inputs give equal bytes.

    Args:
        target: the folder to write; an older one is replaced as a whole.
        files: what is copied into it, by the name there.
        params: what a program must know to use the model, as plain JSON values.
        card: the model card, in Markdown.
        scores: writes the file given, one row for each thing of validation that was judged, by
            which two models are compared.

    Raises:
        RegistryError: an input is missing.
    """
    for path in files.values():
        if not path.is_file():
            raise RegistryError(f"{path} is missing, and the model needs it: run dvc repro")
    with atomic_directory(target) as folder:
        for name, path in files.items():
            shutil.copyfile(path, folder / name)
        write_json(folder / "params.json", dict(params))
        scores(folder / VALIDATION_PREDICTIONS)
        with atomic_file(folder / "README.md") as written:
            written.write_text(card, encoding="utf-8")
        write_manifest(folder)
    return sha256_directory(target)


def check_model(path: Path, needed: Sequence[str] = MODEL_FILES, run: str = "dvc repro") -> None:
    """Make sure that a folder is a whole model, or has the files that are needed of it.

    Args:
        path: the folder.
        needed: files without which it is none.
        run: the command that makes it anew.

    Raises:
        RegistryError: it is no folder, or files are missing; every one of them is named.
    """
    try:
        is_folder = path.is_dir()
        missing = [name for name in needed if not (path / name).is_file()]
    except OSError as error:  # a name that is too long, links in a circle
        raise RegistryError(f"{path} is no model folder: {error.strerror}") from None
    if not is_folder:
        raise RegistryError(f"{path} is no model folder: it is not there, or not a folder")
    if missing:
        raise RegistryError(
            f"{path} is no whole model: {', '.join(missing)} missing;"
            f" run {run}, or take the model from the registry"
        )


def write_predictions(target: Path, predictions: Path, reviews: Path) -> None:
    """Write the validation predictions with the hash of each text, but not the text itself.

    Args:
        target: the file to write.
        predictions: table of validation predictions with id, label, and ``probability`` or,
            of each class, ``probability_0`` and so on.
        reviews: table of all reviews with id, text.

    Raises:
        RegistryError: a table is missing, or a prediction belongs to no review.
    """
    for path in (predictions, reviews):
        if not path.is_file():
            raise RegistryError(f"{path} is missing, and the model needs it: run dvc repro")
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = pq.read_schema(predictions).names
    given = [name for name in names if name == "probability" or name.startswith("probability_")]
    table = pq.read_table(predictions, columns=["id", "label", *given])
    table = table.sort_by("id")
    ids = table["id"].to_pylist()
    # The columns are cast, so that the bytes do not depend on who wrote the predictions.
    written = pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "text_sha256": text_hashes(table["id"], reviews),
            "label": table["label"].combine_chunks().cast(pa.int8()),
            **{name: table[name].combine_chunks().cast(pa.float64()) for name in given},
        }
    )
    with atomic_file(target) as partial:
        pq.write_table(written, partial, compression="zstd")


def text_hashes(ids: Any, reviews: Path) -> Any:
    """Return the SHA-256 of each review's text: a text is known again by it, and not shown.

    Args:
        ids: Arrow array of reviews' ids.
        reviews: table of all reviews with id, text.

    Returns:
        An Arrow array of strings, in the order of ``ids``.

    Raises:
        RegistryError: an id belongs to no review.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    texts = pq.read_table(reviews, columns=["id", "text"], filters=pc.field("id").isin(ids))
    hashes = {
        key: hashlib.sha256(text.encode()).hexdigest()
        for key, text in zip(texts["id"].to_pylist(), texts["text"].to_pylist(), strict=True)
    }
    wanted = ids.to_pylist()
    foreign = [key for key in wanted if key not in hashes]
    if foreign:
        raise RegistryError(
            f"{len(foreign)} validation predictions belong to no review in {reviews}, the first"
            f" being {foreign[0][:100]!r}: run dvc repro, which brings both to one state"
        )
    return pa.array([hashes[key] for key in wanted], pa.string())
