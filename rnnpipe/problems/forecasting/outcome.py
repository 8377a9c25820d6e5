"""The figures by which runs of forecasting are compared."""

import re
import statistics
from collections.abc import Mapping
from typing import Any


def figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return them of one model on one split, from its part of ``metrics.json``.

    They are the scaled errors at each horizon, and ``mse_mean``, of all horizons alike.

    >>> figures({"mse_96": 0.25, "mae_96": 0.4, "mse_192": 0.75, "mse_96_low": 0.2})
    {'mse_96': 0.25, 'mse_192': 0.75, 'mse_mean': 0.5}
    """
    errors = {name: value for name, value in metrics.items() if re.fullmatch(r"mse_\d+", name)}
    return errors | {"mse_mean": round(statistics.fmean(errors.values()), 6)}
