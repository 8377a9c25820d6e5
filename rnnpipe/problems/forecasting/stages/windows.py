"""Stage ``windows``: a series divided in time and scaled, ready to be cut into windows."""

import logging

from rnnpipe.problems.forecasting.files import REPORTS, SERIES, WINDOWS
from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.series.table import load_series, require_regular
from rnnpipe.series.windows import WindowedSeries
from rnnpipe.storage.files import write_json


def run(params: ForecastingParams) -> None:
    """Divide, scale by train alone, and report the splits."""
    series = load_series(SERIES)
    require_regular(series, str(SERIES))
    windowed = WindowedSeries.of(series, params.windows)
    windowed.save(WINDOWS)
    splits = {
        name: {
            "steps": len(split),
            "first": str(series.times[split.start]),
            "last": str(series.times[split.stop - 1]),
        }
        for name, split in windowed.splits.items()
    }
    write_json(REPORTS / "windows.json", splits)
    logging.getLogger(__name__).info(
        "%d columns; steps: %s",
        len(series.names),
        ", ".join(f"{name} {facts['steps']:,}" for name, facts in splits.items()),
    )
