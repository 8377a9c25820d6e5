"""From what was downloaded to a table of a regular series."""

from pathlib import Path

from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.series.table import read_series, write_series


def prepare(raw: Path, table: Path, params: ForecastingParams) -> None:
    """Read a CSV or parquet file of a time and numbers; what is wrong in time, validation tells."""
    write_series(read_series(raw, params.prepare.time_column), table)
