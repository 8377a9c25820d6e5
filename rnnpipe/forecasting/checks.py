"""Facts about a series, and what is expected of them."""

from rnnpipe import validation
from rnnpipe.forecasting.files import SERIES
from rnnpipe.params import ForecastingParams
from rnnpipe.validation import Checks


def series_checks(params: ForecastingParams) -> Checks:
    """What must hold of times and values."""
    facts = validation.series_facts(SERIES, params.validate_)
    return Checks("series", facts, validation.series_suite(params.validate_, params.windows))
