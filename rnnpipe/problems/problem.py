"""What a problem is to the stages: names and functions, no branch anywhere."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.params import Train, Validate


@dataclass(frozen=True)
class Problem:
    """A problem as a value.

    Attributes:
        name: of the problem, of its model, and of its model's folder.
        label_names: what label 0 and label 1 mean.
        review_checks: facts about the reviews file, and what must hold of them.
        sequence_checks: the same for the sequences folder.
        build_network: a Keras model from the training parameters, the vocabulary's size, and
            word vectors ``float32[vocabulary_size, size]`` or None.
        metrics: what the evaluation takes, by name.
    """

    name: str
    label_names: tuple[str, str]
    review_checks: Callable[[Path, Validate], "Checks"]
    sequence_checks: Callable[[Path], "Checks"]
    build_network: Callable[[Train, int, NDArray[np.float32] | None], Any]
    metrics: Callable[[], Mapping[str, Callable[..., float]]]


@dataclass(frozen=True)
class Checks:
    """A narrow table of facts (pandas) and the expectations that it must meet."""

    name: str
    facts: Any
    suite: Any
