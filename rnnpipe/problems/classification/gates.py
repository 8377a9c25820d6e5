"""What a classifier must show that its accuracy does not."""

from collections.abc import Mapping, Sequence
from typing import Any

from rnnpipe.registry.decision import Gate

_LARGEST_P_VALUE = 0.05


def gates_of(metrics: Mapping[str, Any]) -> Sequence[Gate]:
    """Return the gates that accuracy alone does not hold, on the validation split.

    Where nearly all texts are of one class, always naming that one is accurate and worth nothing.

    Args:
        metrics: content of ``metrics.json``.

    Raises:
        KeyError: the split was not compared with its largest class.
    """
    against = metrics["validation"]["largest_class"]
    p_value, called = float(against["p_value"]), bool(against["every_class_called"])
    return (
        Gate(
            "chance_against_largest_class",
            p_value,
            _LARGEST_P_VALUE,
            p_value <= _LARGEST_P_VALUE,
            "most",
        ),
        Gate("every_class_called", called, True, called),
    )
