"""Stage ``windows``: a series divided in time and scaled, ready to be cut into windows."""

import logging

from rnnpipe.problems.forecasting.files import REPORTS, SERIES, WINDOWS
from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.series.reading import load_series
from rnnpipe.series.table import require_regular
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
            "first": first,
            "last": last,
        }
        for name, split in windowed.splits.items()
        for first, last in [series.form.shown(series.times[[split.start, split.stop - 1]])]
    }
    write_json(
        REPORTS / "windows.json",
        {
            "step": str(series.step),
            "zone": series.form.zone.strip(),
            "targets": list(series.names),
            "notes": list(series.form.notes),
            **splits,
        },
    )
    logging.getLogger(__name__).info(
        "%d columns; a step is %s; steps: %s",
        len(series.names),
        series.step,
        ", ".join(f"{name} {facts['steps']:,}" for name, facts in splits.items()),
    )
