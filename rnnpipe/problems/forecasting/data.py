"""From what was downloaded to a table of a regular series."""

from pathlib import Path

from rnnpipe.errors import SourceError
from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.series.table import read_series, write_series
from rnnpipe.storage.addresses import shown_address
from rnnpipe.storage.csv_format import CsvFormat


def prepare(raw: Path, table: Path, params: ForecastingParams) -> None:
    """Read a CSV or parquet file of a time and numbers; what is wrong in time, validation tells.

    Raises:
        SourceError: it cannot be read; names the file that the user gave, not our copy of it.
    """
    keys = params.prepare
    csv_format = CsvFormat(keys.quoting, keys.escape, keys.encoding)
    try:
        series = read_series(raw, keys.time_column, csv_format)
    except SourceError as error:
        source = params.download.source
        given = raw.name if source.endswith(".json") else shown_address(source)
        raise SourceError(str(error).replace(str(raw), given)) from error
    write_series(series, table)
