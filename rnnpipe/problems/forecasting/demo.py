"""What the demo shows of forecasting: a generated series, and a step ahead."""

from pathlib import Path

from rnnpipe.problems.forecasting.generated import write_series_corpus

_SERIES = Path("data/mirror/generated_series.csv")
COMMAND = ("forecast", _SERIES.as_posix(), "--steps", "1")


def write_data(folder: Path, size: int) -> None:
    """Write a generated series into a copy of the project; it is as long whatever the size."""
    write_series_corpus(folder / _SERIES)
