"""From what was downloaded to a table of a regular series."""

from pathlib import Path

from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.series.table import read_series, write_series
from rnnpipe.storage.csv_format import CsvFormat


def prepare(raw: Path, table: Path, params: ForecastingParams) -> None:
    """Read a CSV or parquet file of a time and numbers; what is wrong in time, validation tells."""
    keys = params.prepare
    csv_format = CsvFormat(keys.quoting, keys.escape, keys.encoding)
    write_series(read_series(raw, keys.time_column, csv_format), table)
