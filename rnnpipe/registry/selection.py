"""How models of one problem are compared."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Selection:
    """The figure by which one model is better than another, and which way.

    Attributes:
        metric: its name in ``metrics.json``, taken on validation.
        better: whether more or less of it is better.
        bound: the key of ``register`` that names the worst value allowed.
    """

    metric: str
    better: Literal["higher", "lower"]
    bound: str
