"""What forecasting's stages hand each other."""

from rnnpipe.storage.paths import paths_of

_PLACES = paths_of("forecasting")

SERIES = _PLACES.data / "series.parquet"
WINDOWS = _PLACES.data / "windows"
BASELINE = _PLACES.data / "baseline.npz"
BANDS = _PLACES.data / "bands.npz"
NETWORK = _PLACES.network
REPORTS = _PLACES.reports
