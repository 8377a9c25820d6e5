"""What must hold of a series (critical), and what is worth a look (warning)."""

import math
from typing import TYPE_CHECKING

from rnnpipe.config.series import Windows
from rnnpipe.problems.forecasting.facts import MOST
from rnnpipe.problems.forecasting.params import SeriesValidate

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

from rnnpipe.validation.expectations import expect, has_columns, never

SERIES_COLUMNS = (
    "id",
    "is_step",
    "is_repeated",
    "is_backward",
    "is_gap",
    "is_short",
    "is_not_finite",
    "is_out_of_range",
    "is_far_off",
    "is_constant",
    "misses_too_many",
    "holds_not_finite",
    "holds_out_of_range",
    "holds_far_off",
    "holds_mark",
)


def series_suite(limits: SeriesValidate, windows: Windows) -> "list[Expectation]":
    """Expectations on the facts about the steps and columns of a series.

    Args:
        limits: how far off a value may be.
        windows: how long the series must be at least.
    """
    from rnnpipe.validation.library import Column, gxe

    horizon = windows.horizons[-1]
    room = {"train": windows.look_back + horizon, "validation": horizon, "test": horizon}
    parts = {name: getattr(windows, name) for name in room}
    if parts["train"] is None:  # what the others leave over
        parts["train"] = room["train"]
    # Splits by number need their sum; those by share so many steps that each has its room.
    least = max(
        math.ceil(sum(part for part in parts.values() if part >= 1)),
        *(math.ceil(room[name] / part) for name, part in parts.items() if part < 1),
        sum(room.values()),
    )
    ranges = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in limits.ranges.items())
    far = (
        f"farther than {limits.max_deviations:g} deviations from its column's median, nor is -99,"
        " -999 and so on far below all others (validate.ranges says that a column may)"
    )
    return [
        has_columns(SERIES_COLUMNS),
        expect(
            gxe.ExpectTableRowCountToBeBetween,
            "long_enough",
            f"at least {least} steps: train, validation and test with a look-back of"
            f" {windows.look_back} and {horizon} steps ahead",
            min_value=least,
            row_condition=Column("is_step") == 1,
        ),
        never("is_backward", "times_rise", "no time is earlier than the one before"),
        never("is_repeated", "times_unique", "no time comes twice"),
        never("is_gap", "no_gaps", "no step is longer than the usual one"),
        never(
            "is_short",
            "regular_steps",
            "no step is shorter than the usual one (a summer hour of local time is)",
        ),
        never(
            "is_not_finite",
            "values_finite",
            f"every value that is not missing is a finite number, at most {MOST:g} in size",
        ),
        never("holds_not_finite", "columns_finite", "no column holds anything else"),
        never(
            "misses_too_many",
            "few_missing",
            f"no column lacks more than {limits.max_missing_share:.0%} of its values, steps that are left"
            " out among them",
        ),
        never("is_constant", "no_constant_column", "no column has the same value throughout"),
        never(
            "is_out_of_range",
            "values_in_range",
            f"every value lies in its column's range ({ranges or 'none is given'})",
        ),
        never("holds_out_of_range", "columns_in_range", "no column holds a value out of its range"),
        never("is_far_off", "values_not_far_off", f"no value lies {far}"),
        never("holds_far_off", "columns_not_far_off", "no column holds a value so far off"),
        never(
            "holds_mark",
            "no_usual_marks",
            "no column holds a usual mark of a missing value (-999, 9999, 1e20) far from all others",
            "warning",
        ),
    ]
