"""Stage ``pretrained``: the language model that the training starts from, or an empty folder.

A model is fetched by its pinned version, or taken from a folder. By default there is none: a fresh
clone has no registry, and need not train a language model to train anything else.
"""

import logging
import shutil

from rnnpipe.files import atomic_directory
from rnnpipe.params import SentimentParams
from rnnpipe.registry import find
from rnnpipe.sentiment.files import LANGUAGE_MODEL, PRETRAINED

_FILES = (LANGUAGE_MODEL,)


def run(params: SentimentParams) -> None:
    """Copy what the training needs of the model; the network knows its vocabulary."""
    model = params.pretrained.model
    found = find(model, name="language_model", needed=_FILES) if model else None
    with atomic_directory(PRETRAINED) as folder:
        if found:
            for name in _FILES:
                shutil.copyfile(found / name, folder / name)
        # Git and DVC keep no empty folder.
        (folder / "README").write_text(f"{model or 'none'}\n", encoding="utf-8")
    logging.getLogger(__name__).info("starting from %s", found or "no language model")
