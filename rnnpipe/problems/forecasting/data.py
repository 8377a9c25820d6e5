"""From what was downloaded to a table of a regular series."""

import logging
from pathlib import Path

from rnnpipe.errors import SourceError, quoted
from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.series.reading import Choices, read_series, write_series
from rnnpipe.storage.addresses import shown_address
from rnnpipe.storage.csv_format import CsvFormat


def prepare(raw: Path, table: Path, params: ForecastingParams) -> None:
    """Read a CSV or parquet file of a time and numbers; what is wrong in time, validation tells.

    Raises:
        SourceError: it cannot be read; names the file that the user gave, not our copy of it.
    """
    keys = params.prepare
    csv_format = CsvFormat(keys.quoting, keys.escape, keys.encoding)
    choices = Choices(keys.targets, keys.time_order, keys.step, keys.decimal, keys.thousands)
    try:
        series = read_series(raw, keys.time_column, csv_format, choices)
    except SourceError as error:
        source = params.download.source
        given = raw.name if source.endswith(".json") else shown_address(source)
        raise SourceError(str(error).replace(str(raw), given)) from error
    write_series(series, table)
    logger = logging.getLogger(__name__)
    names = ", ".join(map(quoted, series.names[:20]))
    more = f" and {len(series.names) - 20:,} more" if len(series.names) > 20 else ""
    logger.info("%d steps of %s; targets: %s%s", len(series), series.step, names, more)
    for note in series.form.notes:
        logger.info("%s", note)
