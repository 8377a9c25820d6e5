"""Stage ``pretrained``: the language model that the training starts from, or an empty folder.

A model is fetched by its version, or taken from a folder whose content is pinned by a hash: what a
folder holds may change behind DVC's back. By default there is none: a fresh clone has no registry,
and need not train a language model to train anything else.
"""

import logging
import shutil

from rnnpipe.errors import ParameterError
from rnnpipe.problems.classification.files import LANGUAGE_MODEL, PRETRAINED
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.registry.find import find
from rnnpipe.registry.versions import is_version
from rnnpipe.storage.files import atomic_directory, sha256_file

_FILES = (LANGUAGE_MODEL,)


def run(params: ClassificationParams) -> None:
    """Copy what the training needs of the model; the network knows its vocabulary."""
    model = params.pretrained.model
    found = find(model, name="language_model", needed=_FILES) if model else None
    if model and found:
        _require_pinned(model, sha256_file(found / LANGUAGE_MODEL), params.pretrained.sha256)
    with atomic_directory(PRETRAINED) as folder:
        if found:
            for name in _FILES:
                shutil.copyfile(found / name, folder / name)
        # Git and DVC keep no empty folder.
        (folder / "README").write_text(f"{model or 'none'}\n", encoding="utf-8")
    logging.getLogger(__name__).info("starting from %s", found or "no language model")


def _require_pinned(model: str, found: str, expected: str | None) -> None:
    if expected is None and not is_version(model):
        raise ParameterError(
            f"pretrained.model is {model}, which may change: put pretrained.sha256: {found} beside"
            " it, or name a version, such as v0.1.0"
        )
    if expected not in (None, found):
        raise ParameterError(
            f"pretrained.sha256 is {expected}, but {LANGUAGE_MODEL} of {model} is {found}: take the"
            " model that is meant, or put this hash in its place"
        )
