"""From what was downloaded to a table of a regular series."""

import logging
from pathlib import Path

from rnnpipe.errors import SourceError, quoted
from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.series.prepared import write_panel
from rnnpipe.series.reading import Choices, read_panel
from rnnpipe.storage.addresses import shown_address
from rnnpipe.storage.csv_format import CsvFormat


def prepare(raw: Path, table: Path, params: ForecastingParams) -> None:
    """Read a CSV or parquet file of a time and numbers; what is wrong in time, validation tells.

    Raises:
        SourceError: it cannot be read; names the file that the user gave, not our copy of it.
    """
    keys = params.prepare
    csv_format = CsvFormat(keys.quoting, keys.escape, keys.encoding)
    choices = Choices(
        keys.targets,
        keys.time_order,
        keys.step,
        keys.decimal,
        keys.thousands,
        keys.series_column,
    )
    try:
        panel = read_panel(raw, keys.time_column, csv_format, choices)
    except SourceError as error:
        source = params.download.source
        given = raw.name if source.endswith(".json") else shown_address(source)
        raise SourceError(str(error).replace(str(raw), given)) from error
    write_panel(panel, table)
    logger = logging.getLogger(__name__)
    names = ", ".join(map(quoted, panel.names[:20]))
    more = f" and {len(panel.names) - 20:,} more" if len(panel.names) > 20 else ""
    logger.info("%d steps of %s; targets: %s%s", len(panel), panel.step, names, more)
    for note in panel.form.notes:
        logger.info("%s", note)
