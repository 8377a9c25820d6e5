"""Figures, gates and expectations in words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rnnpipe.reporting.story import mapping, mappings
from rnnpipe.reporting.wording import Wording

ABSENT = "–"


def number(value: Any, digits: int = 4) -> str:
    """A number as people read it; a dash for what is none.

    >>> number(0.90264), number(25000), number(True), number(None)
    ('0.9026', '25,000', 'yes', '–')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.{digits}f}"
    return ABSENT


def signed(value: float | None) -> str:
    """A difference with its sign.

    >>> signed(0.0192), signed(-0.00004), signed(None)
    ('+0.0192', '0.0000', '–')
    """
    if value is None:
        return ABSENT
    text = f"{abs(value):.4f}"
    sign = "" if float(text) == 0 else "+" if value > 0 else "−"
    return sign + text


def share(value: Any) -> str:
    """A share in percent, fine enough for small ones.

    >>> share(0.03156), share(0.00025)
    ('3.16 %', '0.025 %')
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ABSENT
    return f"{100 * value:.2f} %" if value == 0 or abs(value) >= 0.001 else f"{100 * value:.3f} %"


@dataclass(frozen=True)
class Figure:
    """One figure beside another's.

    Attributes:
        key: its name in the report.
        label: its name for people.
        value: ours.
        low: lower end of our interval.
        high: upper end of our interval.
        other: theirs.
        other_low: lower end of their interval.
        other_high: upper end of their interval.
        verdict: whether ours is better or worse; ``even`` where theirs lies within our interval,
            ``unknown`` where there is nothing to compare.
        more_is_better: or less.
    """

    key: str
    label: str
    value: float | None
    low: float | None
    high: float | None
    other: float | None
    other_low: float | None
    other_high: float | None
    verdict: Literal["better", "worse", "even", "unknown"]
    more_is_better: bool = True

    @property
    def difference(self) -> float | None:
        """Ours less theirs."""
        return None if self.value is None or self.other is None else self.value - self.other

    @property
    def sign(self) -> str:
        """The verdict without colour."""
        return {"better": "▲", "worse": "▼", "even": "≈", "unknown": ""}[self.verdict]


def compare(
    ours: Mapping[str, Any], theirs: Mapping[str, Any] | None, wording: Wording
) -> tuple[Figure, ...]:
    """Set the metrics of one report beside those of another, in the standing order.

    Args:
        ours: ``accuracy``, ``accuracy_low``, ``accuracy_high`` and so on.
        theirs: the same of the other; None where there is no other.
        wording: which of them are metrics, and what they are called.
    """
    known = [key for key in wording.metrics if key in ours]
    known += [key for key in ours if key not in wording.metrics and wording.metric(key)]
    return tuple(
        _figure(key, ours, theirs or {}, wording) for key in known if _real(ours[key]) is not None
    )


def _figure(
    key: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], wording: Wording
) -> Figure:
    label, more_is_better = wording.metric(key) or (in_words(key), True)
    value, low, high = (_real(ours.get(name)) for name in (key, f"{key}_low", f"{key}_high"))
    other = _real(theirs.get(key))
    verdict: Literal["better", "worse", "even", "unknown"] = "unknown"
    if value is not None and other is not None:
        if value == other or (low is not None and high is not None and low <= other <= high):
            verdict = "even"
        else:
            verdict = "better" if (value > other) == more_is_better else "worse"
    return Figure(
        key, label, value, low, high,
        other, _real(theirs.get(f"{key}_low")), _real(theirs.get(f"{key}_high")),
        verdict, more_is_better,
    )  # fmt: skip


def _real(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def paired(test: Any) -> str:
    """The paired test against the baseline as a sentence; nothing where there is none.

    >>> paired({"model_only_correct": 812, "baseline_only_correct": 1040, "p_value": 1.3e-07})
    'The network alone is right about 812 reviews, the baseline alone about 1,040: McNemar p = 1.3e-07.'
    """
    counts = [mapping(test).get(name) for name in ("model_only_correct", "baseline_only_correct")]
    if not all(isinstance(count, int) for count in counts):
        return ""
    return (
        f"The network alone is right about {number(counts[0])} reviews, the baseline alone about"
        f" {number(counts[1])}: McNemar p = {small(mapping(test).get('p_value'))}."
    )


def small(value: Any) -> str:
    """A p value with two digits, however small; a dash for what is none.

    >>> small(0.0071), small(1.3e-07), small(None)
    ('0.0071', '1.3e-07', '–')
    """
    return ABSENT if (known := _real(value)) is None else f"{known:.2g}"


@dataclass(frozen=True)
class Reason:
    """One gate, in words: what was found, what is required, what to try where it does not hold."""

    label: str
    found: str
    required: str
    passed: bool
    advice: str = ""

    @property
    def sentence(self) -> str:
        """The gate as a sentence."""
        holds = "holds" if self.passed else "does not hold"
        return f"{self.label}: found {self.found}, required {self.required}; {holds}"


def reasons(decision: Mapping[str, Any], wording: Wording) -> tuple[Reason, ...]:
    """The gates of a decision, gate by gate."""
    return tuple(
        Reason(
            wording.gate(str(gate.get("name"))) or in_words(gate.get("name")),
            number(gate.get("found")),
            _required(gate.get("required"), gate.get("at")),
            gate.get("passed") is True,
            "" if gate.get("passed") is True else wording.try_next(str(gate.get("name"))),
        )
        for gate in mappings(decision.get("reasons"))
    )


def _required(value: Any, at: Any) -> str:
    bound = "at most" if at == "most" else "at least"
    return number(value) if isinstance(value, bool) else f"{bound} {number(value)}"


@dataclass(frozen=True)
class Check:
    """One expectation, in words; ``explanation`` only where it failed as a warning."""

    name: str
    expected: str
    found: str
    critical: bool
    passed: bool
    explanation: str

    @property
    def sign(self) -> str:
        """Passed, a warning, or failed, without colour."""
        return "✓" if self.passed else "✗" if self.critical else "!"


def checks(suite: Mapping[str, Any], wording: Wording) -> tuple[Check, ...]:
    """The expectations of a validation report; ids and texts of reviews are left out."""
    return tuple(_check(outcome, wording) for outcome in mappings(suite.get("expectations")))


def _check(outcome: Mapping[str, Any], wording: Wording) -> Check:
    name = str(outcome.get("name"))
    critical, passed = outcome.get("severity") != "warning", outcome.get("passed") is True
    observed, count = outcome.get("observed"), outcome.get("unexpected_count")
    if outcome.get("tried") is False:
        found = "not tried, for want of a column"
    elif isinstance(count, int):
        found = f"{count:,} break it ({share(observed)})" if count else "none breaks it"
    elif isinstance(observed, list):
        found = "missing: " + ", ".join(map(str, observed)) if observed else "none missing"
    elif observed is None:
        found = "as expected" if passed else "not as expected"
    else:
        found = str(observed) if isinstance(observed, str) else number(observed)
    explanation = (
        "" if passed or critical else wording.warnings.get(name, "A warning stops nothing.")
    )
    return Check(name, str(outcome.get("expected")), found, critical, passed, explanation)


def in_words(name: Any) -> str:
    """Return a key as words: ``few_unknown_words`` as ``Few unknown words``."""
    return str(name).replace("_", " ").capitalize()
