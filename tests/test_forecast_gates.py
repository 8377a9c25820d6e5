"""What a forecaster must show to be registered."""

from typing import Any

import pytest

from rnnpipe.problems.forecasting.gates import gates_of
from rnnpipe.problems.forecasting.params import ForecastRegister
from rnnpipe.problems.forecasting.problem import PROBLEM
from rnnpipe.registry.decision import Decision, Lineage, decide


def decided(ours: float, linear: float, naive: float, p_value: float, **rules: Any) -> Decision:
    metrics = {
        "validation": {"mse": ours},
        "baseline": {"validation": {"mse": linear, "p_value": p_value}},
        "seasonal_naive": {"validation": {"mse": naive}},
    }
    register = ForecastRegister(**rules)
    return decide(
        "forecasting",
        register,
        PROBLEM.selection,
        model="0" * 64,
        metrics=metrics,
        suites=[{"suite": "series", "passed": True}],
        lineage=Lineage(None, {}, ()),
        further=lambda found: gates_of(found, register),
    )


@pytest.mark.parametrize(
    ("ours", "linear", "naive", "p_value", "approved"),
    [
        (0.9, 1.0, 1.2, 0.5, True),  # ahead is ahead
        (1.0, 0.99, 1.2, 0.3, True),  # level: chance explains it
        (1.0, 0.9, 1.2, 0.01, False),
        (1.0, 1.1, 0.95, 0.5, False),  # the last season again is better
        (7.0, 7.1, 9.0, 0.5, True),  # how large an error is says nothing where nobody bounds it
    ],
)
def test_the_last_season_must_be_beaten_and_the_linear_map_as_far_as_chance_allows(
    ours: float, linear: float, naive: float, p_value: float, approved: bool
) -> None:
    decision = decided(ours, linear, naive, p_value)
    assert (decision.verdict == "approved") == approved
    assert decision.baseline_p_value == p_value
    names = [gate.name for gate in decision.reasons]
    assert "better_than_last_season" in names


def test_a_bound_that_is_named_is_the_gate() -> None:
    decision = decided(0.5, 0.6, 0.4, 0.5, max_validation_mse=1.0)
    assert decision.verdict == "approved"
    assert "better_than_last_season" not in [gate.name for gate in decision.reasons]
    assert decided(1.5, 1.6, 2.0, 0.5, max_validation_mse=1.0).verdict == "refused"
