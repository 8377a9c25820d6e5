"""Facts about a series, and what is expected of them."""

from rnnpipe.problems.forecasting.expectations import series_suite
from rnnpipe.problems.forecasting.facts import series_facts
from rnnpipe.problems.forecasting.files import SERIES
from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.validation.verdict import Checks


def series_checks(params: ForecastingParams) -> Checks:
    """What must hold of times and values."""
    facts = series_facts(SERIES, params.validate_, params.download.source)
    return Checks("series", facts, series_suite(params.validate_, params.windows))
