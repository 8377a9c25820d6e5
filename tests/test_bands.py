"""Bands about forecasts: they hold what they say, never cross, and come back from their file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnpipe.config.series import Windows
from rnnpipe.errors import RegistryError
from rnnpipe.problems.forecasting.bands import (
    PROBABILITIES,
    Bands,
    band_figures,
    fit_bands,
    load_bands,
    save_bands,
)
from rnnpipe.series.table import Series
from rnnpipe.series.windows import WindowedSeries

WINDOWS = Windows(
    train=0.4, validation=0.3, test=0.3, look_back=6, horizons=[3], season=3, fill="last"
)


def noise(steps: int, seed: int, holes: float = 0.0, spread: float = 3.0) -> WindowedSeries:
    """White noise, of which nothing can be forecast but its spread."""
    random = np.random.default_rng(seed)
    values = random.normal(5, spread, (steps, 2)) * [1, 10]
    values[random.random((steps, 2)) < holes] = np.nan
    times = np.datetime64("2020-01-01", "us") + np.arange(steps) * np.timedelta64(1, "h")
    return WindowedSeries.of(Series(times, values, ("load", "oil"), "date"), WINDOWS)


def nothing(past: np.ndarray) -> np.ndarray:
    return np.zeros((len(past), 3, 2))


@given(seed=st.integers(0, 10_000), steps=st.integers(40, 900), holes=st.sampled_from([0.0, 0.2]))
def test_bands_are_nested_and_never_cross(seed: int, steps: int, holes: float) -> None:
    bands = fit_bands(nothing, noise(steps, seed, holes))
    assert bands.errors.shape == (len(PROBABILITIES), 3, 2)
    assert (np.diff(bands.errors, axis=0) >= 0).all()
    before: tuple[np.ndarray, np.ndarray] | None = None
    for level in (1, 20, 50, 80, 90.5, 95, 99):
        low, high = bands.at(level)
        assert (low <= high).all()
        if before is not None:
            assert (low <= before[0]).all()
            assert (high >= before[1]).all()
        before = low, high


@pytest.mark.parametrize(("steps", "holes"), [(100, 0.0), (400, 0.0), (3000, 0.0), (3000, 0.2)])
def test_what_a_band_says_it_holds(steps: int, holes: float) -> None:
    found = {80: [], 95: []}  # type: dict[int, list[float]]
    for seed in range(30):
        series = noise(steps, seed, holes)
        figures = band_figures(fit_bands(nothing, series), nothing, series, "test", 3)
        for level, each in found.items():
            each.append(figures[f"coverage_{level}"])
        assert figures["msis_95"] > 0
    # Of a hundred steps some thirty are errors, and neighbours among them are the same.
    assert 0.77 < np.mean(found[80]) < 0.84
    assert (0.94 if steps > 100 else 0.92) < np.mean(found[95]) < 0.98


def test_a_score_by_hand() -> None:
    series = noise(200, 1)
    low, high = np.full((3, 2), -0.5), np.full((3, 2), 0.75)
    errors = np.where((PROBABILITIES < 0.5)[:, None, None], low, high)
    figures = band_figures(Bands(errors), nothing, series, "test", 3)
    train = series.values[: series.splits["train"][0].stop].astype(float)
    naive = np.abs(train[3:] - train[:-3]).mean(axis=0)
    _, truth = series.batch("test", series.starts("test"))
    truth = truth.astype(float)
    score = 1.25 + 40 * np.maximum(-0.5 - truth, 0) + 40 * np.maximum(truth - 0.75, 0)
    assert figures["msis_95"] == pytest.approx((score / naive).mean(), rel=1e-6)
    assert figures["coverage_80"] == pytest.approx(
        ((truth >= -0.5) & (truth <= 0.75)).mean(), abs=1e-6
    )


def test_bands_come_back_and_no_others_do(tmp_path: Path) -> None:
    bands, other = (fit_bands(nothing, noise(300, seed)) for seed in (1, 2))
    save_bands(tmp_path / "bands.npz", bands, other)
    for name, each in (("network", bands), ("linear", other)):
        found = load_bands(tmp_path / "bands.npz", name, 3, 2)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.errors, each.errors)
    with pytest.raises(RegistryError, match="no bands of this model"):
        load_bands(tmp_path / "bands.npz", "network", 4, 2)
    (tmp_path / "broken.npz").write_bytes(b"PK")
    with pytest.raises(RegistryError, match="no bands of this model"):
        load_bands(tmp_path / "broken.npz", "network", 3, 2)
    with pytest.raises(RegistryError, match="before bands were kept"):
        load_bands(tmp_path / "gone.npz", "network", 3, 2)
