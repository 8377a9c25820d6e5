"""What people call what a problem's reports tell of; each problem brings its own words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_GATES = {
    "better_than_baseline": "Better than the baseline on validation",
    "level_with_baseline": "Level with the baseline on validation, as far as chance lets it be told",
}
_ADVICE = {
    "better_than_baseline": "As long as the loss on validation still falls at the end of training,"
    " train longer (train.epochs); else give it more data, for a network needs more than a simple"
    " model does. Where there are no more, the simple model is the better choice.",
}
_LINEAGE = {"network": "Trained network"}
_CAPTIONS = {
    "training": ("Training", "Where validation turns up while training falls, overfitting begins."),
}


@dataclass(frozen=True)
class Wording:
    """How a problem's reports speak.

    Attributes:
        counted: what metrics are taken over, in the plural.
        baseline: the simple model beside ours.
        described: what kind of model that is.
        metrics: title of each metric, and whether more of it is better, in the standing order;
            ``mse_*`` is any ``mse_`` with a number, which ``{}`` stands for in the title.
        gates: titles of the gates that a model has to pass.
        advice: what to try where a gate does not hold.
        warnings: what it means that an expectation fails, and nothing more than warns.
        captions: title and caption of each picture, in the standing order.
        lineage: titles of the results that a model came from.
        dropped: why rows were dropped, by the key that counts them.
        first_picture: which one, by the metrics, goes before all others; None: no other than usual.
    """

    counted: str
    baseline: str
    described: str
    metrics: Mapping[str, tuple[str, bool]] = field(default_factory=dict)
    gates: Mapping[str, str] = field(default_factory=dict)
    advice: Mapping[str, str] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict)
    captions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    lineage: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)
    first_picture: Callable[[Mapping[str, Any]], str | None] = lambda metrics: None

    def metric(self, key: str) -> tuple[str, bool] | None:
        """Return a metric's title, and whether more of it is better; None: it is none to compare.

        >>> wording = Wording("windows", "map", "map", {"mse_*": ("MSE, {} steps ahead", False)})
        >>> wording.metric("mse_96"), wording.metric("mse_low")
        (('MSE, 96 steps ahead', False), None)
        """
        kind, _, number = key.partition("_")
        if number.isdigit() and (pattern := self.metrics.get(f"{kind}_*")):
            return pattern[0].format(number), pattern[1]
        return self.metrics.get(key)

    def gate(self, name: str) -> str | None:
        """Return a gate's title, if it has one."""
        return self.gates.get(name) or _GATES.get(name)

    def try_next(self, gate: str) -> str:
        """Return what to try where a gate does not hold; nothing where nobody knows."""
        return self.advice.get(gate) or _ADVICE.get(gate) or ""

    def step(self, name: str) -> str | None:
        """Return the title of a result that a model came from, if it has one."""
        return self.lineage.get(name) or _LINEAGE.get(name)

    @property
    def pictures(self) -> Mapping[str, tuple[str, str]]:
        """Title and caption of every picture there may be, in the standing order."""
        return {**_CAPTIONS, **self.captions}
