"""Stage ``windows``: a series divided in time and scaled, ready to be cut into windows."""

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.errors import quoted
from rnnpipe.problems.forecasting.files import REPORTS, SERIES, WINDOWS
from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.series.table import load_series, require_regular
from rnnpipe.series.windows import WindowedSeries, fit_scaler
from rnnpipe.storage.files import write_json

logger = logging.getLogger(__name__)


def run(params: ForecastingParams) -> None:
    """Divide, scale by train alone, and report the splits, what they leave over, what stands still."""
    series = load_series(SERIES)
    require_regular(series, str(SERIES))
    windowed = WindowedSeries.of(series, params.windows)
    windowed.save(WINDOWS)
    report = {
        name: _steps(series.times[split.start : split.stop])
        for name, split in windowed.splits.items()
    }
    logger.info(
        "%d columns; steps: %s",
        len(series.names),
        ", ".join(f"{name} {facts['steps']:,}" for name, facts in report.items()),
    )
    if len(behind := series.times[windowed.splits["test"].stop :]):
        report["behind"] = _steps(behind)
        logger.warning(
            "%s steps, from %s on, lie behind the splits: they are neither learnt from nor judged;"
            " give windows.train, windows.validation and windows.test as shares, or raise them",
            f"{len(behind):,}",
            behind[0],
        )
    scaler, still = fit_scaler(series.values, windowed.splits)
    if still.any():
        standing = {
            name: float(scaler.deviation[n]) for n, name in enumerate(series.names) if still[n]
        }
        report["standing_still"] = standing
        for name, deviation in standing.items():
            logger.warning(
                "column %s stands still in train, so nothing can be learnt of it: it is scaled by %g,"
                " from what it spans in all splits; leave it out, or divide the series otherwise"
                " (windows.train)",
                quoted(name),
                deviation,
            )
    write_json(REPORTS / "windows.json", report)


def _steps(times: NDArray[np.datetime64]) -> dict[str, Any]:
    return {"steps": len(times), "first": str(times[0]), "last": str(times[-1])}
