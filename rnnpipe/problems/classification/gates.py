"""What a classifier must show that its accuracy does not."""

from collections.abc import Mapping, Sequence
from typing import Any

from rnnpipe.problems.classification.params import Register
from rnnpipe.registry.decision import Gate

_LARGEST_P_VALUE = 0.05
_WAY_TO_GO = 0.25  # from always naming the largest class to naming every one rightly


def gates_of(metrics: Mapping[str, Any], rules: Register) -> Sequence[Gate]:
    """Return the gates that accuracy alone does not hold, on the validation split.

    Where nearly all texts are of one class, always naming that one is accurate and worth nothing.

    Args:
        metrics: content of ``metrics.json``.
        rules: which state the least accuracy, or leave it to the largest class.

    Raises:
        KeyError: the split was not compared with its largest class.
    """
    against = metrics["validation"]["largest_class"]
    p_value, called = float(against["p_value"]), bool(against["every_class_called"])
    gates = [
        Gate(
            "chance_against_largest_class",
            p_value,
            _LARGEST_P_VALUE,
            p_value <= _LARGEST_P_VALUE,
            "most",
        ),
        Gate("every_class_called", called, True, called),
    ]
    if rules.min_validation_accuracy is None:
        found, share = float(metrics["validation"]["accuracy"]), float(against["share"])
        least = round(share + _WAY_TO_GO * (1 - share), 6)
        gates.insert(0, Gate("validation_accuracy", found, least, found >= least))
    return gates
