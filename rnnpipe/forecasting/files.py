"""What forecasting's stages hand each other."""

from rnnpipe.places import places_of

_PLACES = places_of("forecasting")

SERIES = _PLACES.data / "series.parquet"
WINDOWS = _PLACES.data / "windows"
BASELINE = _PLACES.data / "baseline.npz"
NETWORK = _PLACES.network
REPORTS = _PLACES.reports
