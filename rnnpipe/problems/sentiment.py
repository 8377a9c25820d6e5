"""Sentiment: does a review praise or condemn?

Every function imports its room when it is called: what one stage needs, no other waits for.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.params import Train, Validate
from rnnpipe.problems.problem import Checks, Problem


def _review_checks(reviews: Path, params: Validate) -> Checks:
    from rnnpipe import validation

    return Checks("reviews", validation.review_facts(reviews), validation.review_suite(params))


def _sequence_checks(sequences: Path) -> Checks:
    from rnnpipe import validation

    return Checks("sequences", validation.sequence_facts(sequences), validation.sequence_suite())


def _build_network(
    params: Train, vocabulary_size: int, word_vectors: NDArray[np.float32] | None
) -> Any:
    from rnnpipe.models import build_classifier

    return build_classifier(params, vocabulary_size, word_vectors)


def _metrics() -> Mapping[str, Callable[..., float]]:
    from rnnpipe.evaluation import CLASSIFICATION_METRICS

    return CLASSIFICATION_METRICS


PROBLEM = Problem(
    name="sentiment",
    label_names=("neg", "pos"),
    review_checks=_review_checks,
    sequence_checks=_sequence_checks,
    build_network=_build_network,
    metrics=_metrics,
)
