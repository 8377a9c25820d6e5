"""The figures by which runs of the language model are compared."""

from collections.abc import Mapping
from typing import Any


def figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return them of one model on one split, from its part of ``metrics.json``.

    ``perplexity_mixed``, with the n-grams mixed in, is there only where it was measured.
    """
    return {name: metrics[name] for name in ("perplexity", "perplexity_mixed") if name in metrics}
