"""The generated series: the same for the same seed, regular, and worth a network."""

import pytest

from rnnpipe.config.series import Windows
from rnnpipe.errors import SourceError
from rnnpipe.problems.forecasting.facts import series_facts
from rnnpipe.problems.forecasting.generated import NAMES, write_series_corpus
from rnnpipe.problems.forecasting.linear_forecaster import choose_linear_forecaster, seasonal_naive
from rnnpipe.problems.forecasting.metrics import forecast_metrics
from rnnpipe.problems.forecasting.params import SeriesValidate
from rnnpipe.series.prepared import write_panel
from rnnpipe.series.reading import read_series
from rnnpipe.series.table import require_regular
from rnnpipe.series.windows import WindowedSeries
from rnnpipe.storage.files import sha256_file


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    def digest(seed):
        write_series_corpus(tmp_path / "series.csv", 300, seed)
        return sha256_file(tmp_path / "series.csv")

    assert digest(1) == digest(1) != digest(2)


def test_it_is_regular_and_nothing_in_it_is_odd(tmp_path):
    write_series_corpus(tmp_path / "series.csv")
    series = read_series(tmp_path / "series.csv", "date")
    assert (len(series), series.names) == (3_000, NAMES)
    require_regular(series, "series.csv")
    write_panel(series, tmp_path / "series.parquet")
    facts = series_facts(tmp_path / "series.parquet", SeriesValidate())
    assert facts.drop(columns=["id", "is_step"]).to_numpy().sum() == 0


def test_who_learns_beats_who_repeats(tmp_path):
    write_series_corpus(tmp_path / "series.csv")
    windows = Windows(train=0.6, validation=0.2, test=0.2, look_back=72, horizons=[24])
    series = WindowedSeries.of(read_series(tmp_path / "series.csv", "date"), windows)
    linear = choose_linear_forecaster(series, [1e-3]).model
    learnt = forecast_metrics(linear.predict, series, "validation").mse[0]
    repeated = forecast_metrics(lambda past: seasonal_naive(past, 24, 24), series, "validation")
    assert learnt < 0.7 * repeated.mse[0]


def test_too_few_steps_are_refused(tmp_path):
    with pytest.raises(SourceError, match="expected at least 200"):
        write_series_corpus(tmp_path / "series.csv", 199)
