"""What a language model must show that its own perplexity does not."""

from collections.abc import Mapping, Sequence
from typing import Any

from rnnpipe.registry.decision import Gate


def gates_of(metrics: Mapping[str, Any]) -> Sequence[Gate]:
    """Return the gate of the mixture: on validation, no worse than the network alone.

    Args:
        metrics: content of ``metrics.json``.

    Raises:
        KeyError: the split has no figure of one of them.
    """
    validation = metrics["validation"]
    found, alone = float(validation["perplexity_mixed"]), float(validation["perplexity"])
    return (Gate("validation_perplexity_mixed", found, alone, found <= alone, "most"),)
