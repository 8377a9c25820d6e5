"""Stage ``windows``: a series divided in time and scaled, ready to be cut into windows."""

import logging
from typing import Any

import numpy as np

from rnnpipe.errors import quoted
from rnnpipe.problems.forecasting.files import REPORTS, SERIES, WINDOWS
from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.series.reading import load_series
from rnnpipe.series.table import Series, divide, require_regular
from rnnpipe.series.windows import WindowedSeries, fit_scaler
from rnnpipe.storage.files import write_json

logger = logging.getLogger(__name__)


def run(params: ForecastingParams) -> None:
    """Divide, scale by train alone, and report the splits, what they leave over, what stands still."""
    series = load_series(SERIES)
    require_regular(series, str(SERIES))
    scaler, still = fit_scaler(series.values, divide(len(series), params.windows), series.names)
    windowed = WindowedSeries.of(series, params.windows, scaler)
    windowed.save(WINDOWS)
    splits = {name: _steps(series, split) for name, split in windowed.splits.items()}
    report: dict[str, Any] = {
        "step": str(series.step),
        "zone": series.form.zone.strip(),
        "targets": list(series.names),
        "notes": list(series.form.notes),
        **splits,
    }
    logger.info(
        "%d columns; a step is %s; steps: %s",
        len(series.names),
        series.step,
        ", ".join(f"{name} {facts['steps']:,}" for name, facts in splits.items()),
    )
    if behind := range(windowed.splits["test"].stop, len(series)):
        report["behind"] = _steps(series, behind)
        logger.warning(
            "%s steps, from %s on, lie behind the splits: they are neither learnt from nor judged;"
            " give windows.train, windows.validation and windows.test as shares, or raise them",
            f"{len(behind):,}",
            report["behind"]["first"],
        )
    if (missing := np.isnan(series.values).sum(axis=0)).any():
        report["missing"] = {
            name: int(count) for name, count in zip(series.names, missing, strict=True) if count
        }
        report["fill"] = params.windows.fill
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


def _steps(series: Series, steps: range) -> dict[str, Any]:
    first, last = series.form.shown(series.times[[steps[0], steps[-1]]])
    return {"steps": len(steps), "first": first, "last": last}
