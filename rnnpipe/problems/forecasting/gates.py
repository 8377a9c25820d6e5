"""What a forecaster must show where nobody has said how far off it may be."""

from collections.abc import Mapping, Sequence
from typing import Any

from rnnpipe.problems.forecasting.params import ForecastRegister
from rnnpipe.registry.decision import Gate


def gates_of(metrics: Mapping[str, Any], rules: ForecastRegister) -> Sequence[Gate]:
    """Return the gates beside the bound that the parameters may name, on the validation split.

    Without a bound, saying that the last season comes again is what must be beaten: how far off that
    is, differs from series to series.

    Args:
        metrics: content of ``metrics.json``.
        rules: which may name the largest error.

    Raises:
        KeyError: the split was not compared with its last season.
    """
    if rules.max_validation_mse is not None:
        return ()
    found = float(metrics["validation"]["mse"])
    naive = float(metrics["seasonal_naive"]["validation"]["mse"])
    return (Gate("better_than_last_season", found, naive, found < naive, "most"),)
