"""N-grams in a file: small, of plain arrays, the same bytes for the same model.

Of each context the file holds how many words go on from it, and these words with their shares;
what it leaves to the next shorter context is what the shares lack of one. Shares are kept in half
of their memory (float32), so that a model read back differs from the one written by rounding, and
never again.
"""

import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from rnnpipe.errors import RegistryError
from rnnpipe.storage.files import atomic_file
from rnnpipe.text.ngrams import CONTEXT_LEVELS, NgramModel, Order

_MOST_BYTES = 2**31  # unpacked


def save_ngrams(model: NgramModel, path: Path) -> None:
    """Write n-grams as ``.npz``."""
    size = len(model.unigrams)
    arrays: dict[str, Any] = {"unigrams": model.unigrams}
    for order, table in enumerate(model.orders, start=2):
        followed = np.bincount(table.keys // size, minlength=len(table.backoffs))
        arrays |= {
            f"followed_{order}": followed.astype(np.uint32),
            f"words_{order}": (table.keys % size).astype(np.min_scalar_type(size)),
            f"shares_{order}": table.shares.astype(np.float32),
            f"levels_{order}": table.levels,
        }
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_ngrams(path: Path) -> NgramModel:
    """Read what :func:`save_ngrams` wrote; no code from the file is run.

    Raises:
        RegistryError: the file is missing, or is none of n-grams.
    """
    try:
        with ZipFile(path) as packed:
            unpacked = sum(member.file_size for member in packed.infolist())
        if unpacked > _MOST_BYTES:
            raise ValueError(f"it holds {unpacked:,} bytes")
        with np.load(path, allow_pickle=False) as arrays:
            unigrams = np.asarray(arrays["unigrams"], np.float64)
            _require(unigrams.ndim == 1 and bool((unigrams > 0).all()), "unigrams")
            orders: list[Order] = []
            while f"followed_{len(orders) + 2}" in arrays:
                contexts = len(orders[-1].keys) if orders else len(unigrams)
                of_order = {
                    name: arrays[f"{name}_{len(orders) + 2}"]
                    for name in ("followed", "words", "shares", "levels")
                }
                orders.append(_order(**of_order, contexts=contexts, size=len(unigrams)))
            return NgramModel(unigrams, tuple(orders))
    except (OSError, EOFError, ValueError, KeyError, MemoryError, BadZipFile, zlib.error) as error:
        raise RegistryError(
            f"{path} holds no n-grams ({error or type(error).__name__}): take the file of the"
            " model, or make it again with `dvc repro pipelines/language_model/dvc.yaml`"
        ) from error


def _order(
    followed: NDArray[Any],
    words: NDArray[Any],
    shares: NDArray[Any],
    levels: NDArray[Any],
    contexts: int,
    size: int,
) -> Order:
    _require(followed.dtype == np.uint32 and followed.shape == (contexts,), "contexts")
    # Before anything is made of so many: a file may claim any number.
    _require(words.dtype.kind == "u" and words.shape == (int(followed.sum()),), "words")
    numbers = np.repeat(np.arange(contexts), followed.astype(np.int64))
    keys = numbers * size + words.astype(np.int64)
    _require(bool((np.diff(keys) > 0).all() and (words < size).all()), "words")
    _require(shares.dtype == np.float32 and shares.shape == keys.shape, "shares")
    given = shares.astype(np.float64)
    _require(bool(((given >= 0) & (given <= 1)).all()), "shares")
    _require(levels.dtype == np.uint8 and levels.shape == (contexts,), "levels")
    _require(bool((levels <= CONTEXT_LEVELS).all()), "levels")
    # Rounded shares may exceed one by a hair where a context leaves nothing.
    backoffs = np.maximum(1 - np.bincount(numbers, given, contexts), 0.0)
    return Order(keys, given, backoffs, levels.astype(np.uint8))


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"its {what} are not those of n-grams")
