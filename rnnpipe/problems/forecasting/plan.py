"""How far to look back and ahead, and how to divide a series, where nobody has said so.

All of it follows from the length of the series and from its step; the season is the one of the calendar
that the first steps, those that are learnt from, show most clearly.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnnpipe.errors import SourceError
from rnnpipe.series.calendar import DAY, Step

# Shares of a series to learn from, to choose by, and to judge by.
TRAIN, VALIDATION, TEST = 0.7, 0.15, 0.15
_FEWEST = 40  # steps, of which 6 are to choose by
_HORIZONS = {"business": 10, "month": 12}  # two weeks, a year
_MOST_AHEAD = 96
# A lag is a season if values so far apart differ by this much less than those of other lags up to it.
_CLEAR = 0.9
_CLEARER = 0.95  # than a shorter season, or it is not worth its length
_LAGS = 50  # looked at below a season
_LOOKED_AT = 50  # series, of many
_SHORT = 0.25  # share of the series that may be shorter than what is planned for
_FEWEST_SEASONS = 4  # in what is learnt from


@dataclass(frozen=True)
class Plan:
    """What parameters a series asks for.

    Attributes:
        season: steps after which it is most alike; 1 where no season is clear.
        horizon: steps ahead.
        look_back: steps that a forecast is made from; whole seasons.
        segment: steps of the recurrence's inputs.
        batch_size: windows a step of the training.
        train: share of the steps to learn from; None: all but the last ones, of many series.
        validation: share of the steps to choose by; of many series, steps of each.
        test: likewise, to judge by.
    """

    season: int
    horizon: int
    look_back: int
    segment: int
    batch_size: int
    train: float | None
    validation: float
    test: float


def plan(
    series: Sequence[NDArray[np.float64]],
    step: Step,
    horizon: int | None = None,
    season: int | None = None,
) -> Plan:
    """Choose what is not said.

    Args:
        series: ``float64[n, columns]`` each, NaN where no value is known; of many that are not alike in
            length, a quarter may be too short for what is chosen.
        step: what lies between two of their values.
        horizon: steps ahead, where a person says them.
        season: likewise.

    Raises:
        SourceError: the series is too short for that.
    """
    for word, number in (("steps ahead", horizon), ("a season", season)):
        if number is not None and number < 1:
            raise SourceError(f"found {number} for {word}, expected a number from 1 on")
    lengths = [len(values) for values in series if len(values) >= _FEWEST] or [
        max(map(len, series))
    ]
    steps = int(np.quantile(lengths, _SHORT, method="lower"))
    if steps < _FEWEST:
        raise SourceError(
            f"the series has {steps:,} steps, expected {_FEWEST} or more: a network learns nothing of"
            " fewer"
        )
    train = int(TRAIN * steps)
    most = max(1, int(VALIDATION * steps) // 2)
    if horizon is None:
        horizon = _usual_horizon(step)
        while horizon > most:
            horizon = math.ceil(horizon / 2)
    elif horizon > most:
        raise SourceError(
            f"found {horizon:,} steps ahead, expected at most {most:,} of a series of {steps:,} steps:"
            " its validation and test hold no more"
        )
    clear = {season: 0.0} if season is not None else _clear_in_most(series, step)
    season = _best(clear)
    longest = max(1, train // _FEWEST_SEASONS, horizon)
    if season > longest:
        raise SourceError(
            f"found a season of {season:,} steps, expected at most {longest:,} of a series of"
            f" {steps:,} steps"
        )
    wanted = max(4 * season, 3 * horizon, 2 * max(clear, default=1), 8)
    look_back = max(1, min(wanted, longest) // season) * season
    segment = season if season > 1 else max(1, look_back // 8)
    windows = len(series) * (train - look_back - horizon + 1)
    splits: tuple[float | None, float, float] = (TRAIN, VALIDATION, TEST)
    if len(series) > 1:  # unlike in length, they are alike in their ends
        splits = (None, int(VALIDATION * steps), int(TEST * steps))
    return Plan(
        season, horizon, look_back, min(segment, look_back), 32 if windows < 5_000 else 128, *splits
    )


def _clear_in_most(series: Sequence[NDArray[np.float64]], step: Step) -> dict[int, float]:
    """The seasons that most series show, of many some, each with its mean share."""
    places = np.unique(np.linspace(0, len(series) - 1, _LOOKED_AT).round().astype(int))
    found = [
        clear_seasons(series[place][: int(TRAIN * len(series[place]))], seasons_of(step))
        for place in places.tolist()
    ]
    shares = {
        season: [each[season] for each in found if season in each]
        for season in sorted({season for each in found for season in each})
    }
    return {
        season: float(np.mean(each))
        for season, each in shares.items()
        if 2 * len(each) > len(found)
    }


def seasons_of(step: Step) -> tuple[int, ...]:
    """Return how many steps an hour, a day, a week, and a year have, where it is a whole number above 1.

    >>> seasons_of(Step("clock", DAY // 24)), seasons_of(Step("clock", 7 * DAY)), seasons_of(Step("month", 3))
    ((24, 168), (52,), (4,))
    """
    if step.kind == "business":
        return (5,)
    if step.kind == "month":
        return (12 // step.size,) if step.size < 12 and 12 % step.size == 0 else ()
    if not step.size:
        return ()
    if step.size == 7 * DAY:
        return (52,)
    spans = (DAY // 24, DAY, 7 * DAY)
    return tuple(span // step.size for span in spans if span % step.size == 0 and span > step.size)


def clear_seasons(values: NDArray[np.float64], seasons: tuple[int, ...]) -> dict[int, float]:
    """Return those seasons that values show, each with how far apart a season's values still are.

    Args:
        values: ``float64[n, columns]``.
        seasons: in steps.

    Returns:
        By season the mean difference of values a season apart, as a share of that of values any other
        number of steps up to a season apart: 0 where the season is all.
    """
    found = {}
    for season in seasons:
        if len(values) < _FEWEST_SEASONS * season:
            continue
        lags = np.unique(np.linspace(1, season - 1, _LAGS).round().astype(int))
        others = np.mean([_apart(values, int(lag)) for lag in lags], axis=0)
        moving = others > 0
        if not moving.any():
            continue
        share = float(np.mean(_apart(values, season)[moving] / others[moving]))
        if share <= _CLEAR:
            found[season] = share
    return found


def _apart(values: NDArray[np.float64], lag: int) -> NDArray[np.float64]:
    """Mean absolute difference of values so many steps apart, by column, of those that are known."""
    apart = np.abs(values[lag:] - values[:-lag])
    return np.asarray(np.nansum(apart, axis=0) / np.maximum(np.isfinite(apart).sum(axis=0), 1))


def _best(clear: dict[int, float]) -> int:
    """The clearest season; of two that are nearly as clear the shorter."""
    best = 1
    for season in sorted(clear):
        if best == 1 or clear[season] < _CLEARER * clear[best]:
            best = season
    return best


def _usual_horizon(step: Step) -> int:
    """Steps ahead that people ask for: a day of hours, two weeks of days, a quarter, a year of months."""
    if step.kind == "business":
        return _HORIZONS["business"]
    if step.kind == "month":
        return max(2, math.ceil(_HORIZONS["month"] / step.size))
    if step.size >= 7 * DAY:
        return 13
    if step.size >= DAY:
        return 14
    return min(_MOST_AHEAD, max(1, DAY // max(1, step.size)))
