"""Many series: told apart, divided, scaled and cut each by itself."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnpipe.config.series import Windows
from rnnpipe.errors import SourceError
from rnnpipe.metrics.dependent import block_bootstrap
from rnnpipe.problems.forecasting.facts import series_facts
from rnnpipe.problems.forecasting.linear_forecaster import choose_linear_forecaster, seasonal_naive
from rnnpipe.problems.forecasting.metrics import examples, forecast_metrics
from rnnpipe.problems.forecasting.params import SeriesValidate
from rnnpipe.series.panel import Panel, divide_each, require_regular_steps
from rnnpipe.series.prepared import content_digest, load_panel, write_panel
from rnnpipe.series.reading import Choices, read_panel
from rnnpipe.series.windows import WindowedSeries

WINDOWS = Windows(train=None, validation=8, test=10, look_back=6, horizons=[2, 4], season=3)
BY_SHOP = Choices(series_column="shop")
LENGTHS = st.lists(st.integers(1, 60), min_size=2, max_size=6).filter(lambda found: max(found) > 40)


def long(lengths: list[int], seed: int = 1, shift: int = 0) -> pd.DataFrame:
    """A long table: series of unlike lengths and beginnings, each of a scale of its own."""
    random = np.random.default_rng(seed)
    parts = [
        pd.DataFrame(
            {
                "shop": f"s{number + shift}",
                "day": pd.date_range("2021-03-01", periods=length) + pd.Timedelta(number, "D"),
                "sales": 10.0**number * (5 + random.normal(size=length).cumsum()),
                "price": random.normal(size=length),
            }
        )
        for number, length in enumerate(lengths)
    ]
    return pd.concat(parts, ignore_index=True)


def save(folder: Path, table: pd.DataFrame, name: str = "t.csv") -> Path:
    path = folder / name
    table.to_csv(path, index=False) if name.endswith("csv") else table.to_parquet(path, index=False)
    return path


def panel(folder: Path, lengths: list[int], seed: int = 1) -> Panel:
    return read_panel(save(folder, long(lengths, seed)), "day", choices=BY_SHOP)


@given(lengths=LENGTHS, seed=st.integers(0, 99))
def test_the_order_of_rows_and_columns_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("panel")
    table = long(lengths, seed)
    shuffled = table.sample(frac=1, random_state=seed)[["price", "day", "sales", "shop"]]
    chosen = Choices(["sales", "price"], series_column="shop")
    one = read_panel(save(folder, table), "day", choices=chosen)
    other = read_panel(save(folder, shuffled, "t.parquet"), "day", choices=chosen)
    assert content_digest(one) == content_digest(other)
    assert one.ids == other.ids == tuple(f"s{number}" for number in range(len(lengths)))
    assert [len(part) for part in one.parts] == lengths
    write_panel(one, folder / "series.parquet")
    again = load_panel(folder / "series.parquet")
    assert content_digest(again) == content_digest(one)
    assert (again.id_name, again.form, again.step) == ("shop", one.form, one.step)
    assert len(series_facts(folder / "series.parquet", SeriesValidate())) == len(table) + 2


@given(lengths=LENGTHS, seed=st.integers(0, 99))
def test_no_window_crosses_a_split_or_a_series(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], seed: int
) -> None:
    found = panel(tmp_path_factory.mktemp("panel"), lengths, seed)
    windowed = WindowedSeries.of(found, WINDOWS)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    splits, left_out = divide_each(found, WINDOWS)
    assert [f"s{n}" for n, length in enumerate(lengths) if length < 6 + 4 + 18] == list(left_out)
    for split in splits:
        starts = windowed.starts(split)
        past, future = windowed.batch(split, starts)
        assert np.isfinite(past).all()
        for start, ahead, number in zip(
            starts, np.isfinite(future[..., 0]).sum(axis=1), windowed.series_of(starts), strict=True
        ):
            assert set(rows[start - 6 : start + ahead]) == {number}
            own = splits[split][number]
            assert own.start <= start
            assert ahead == min(4, own.stop - start)
    for number, own in enumerate(splits["test"]):
        if own:
            assert (len(own), own.stop) == (10, sum(lengths[: number + 1]))


def test_each_series_is_scaled_by_its_own_train_alone(tmp_path: Path) -> None:
    table = long([50, 40, 45])
    windowed = WindowedSeries.of(read_panel(save(tmp_path, table), "day", choices=BY_SHOP), WINDOWS)
    for number, own in enumerate(windowed.splits["train"]):
        scaled = windowed.values[own.start : own.stop]
        np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-4)
        raw = table[table["shop"] == f"s{number}"][["sales", "price"]].to_numpy()
        starts = np.array([own.start + 10])
        unscaled = windowed.scaler(starts).unscale(windowed.values[None, own.start : own.stop])
        np.testing.assert_allclose(unscaled[0], raw[: len(own)], rtol=1e-4, atol=1e-4)
    windowed.save(tmp_path / "windows")
    loaded = WindowedSeries.load(tmp_path / "windows")
    assert (loaded.ids, loaded.id_name, loaded.splits) == (windowed.ids, "shop", windowed.splits)
    starts = windowed.starts("test")
    np.testing.assert_array_equal(
        loaded.scaler(starts).deviation, windowed.scaler(starts).deviation
    )


def test_the_errors_of_a_panel_are_those_of_its_series_together(tmp_path: Path) -> None:
    together = panel(tmp_path, [50, 40, 45])

    def errors(of: Panel):  # type: ignore[no-untyped-def]
        windowed = WindowedSeries.of(of, WINDOWS)
        return forecast_metrics(lambda past: seasonal_naive(past, 4, 3), windowed, "test", 7)

    alone = [
        errors(Panel((id_,), (part,), "shop"))
        for id_, part in zip(together.ids, together.parts, strict=True)
    ]
    found = errors(together)
    for number in range(2):
        assert found.windows[number] == sum(each.windows[number] for each in alone)
        np.testing.assert_allclose(
            found.window_mse[number], np.concatenate([each.window_mse[number] for each in alone])
        )
        assert found.mse[number] == pytest.approx(found.window_mse[number].mean())
        assert found.window_series[number].tolist() == sorted(
            n for n, each in enumerate(alone) for _ in range(each.windows[number])
        )
    weights = [each.windows[0] for each in alone]
    own = np.average([each.column_mae[0] for each in alone], axis=0, weights=weights)
    np.testing.assert_allclose(found.column_mae[0], own)
    drawn = examples(
        {"naive": lambda past: seasonal_naive(past, 4, 3)},
        WindowedSeries.of(together, WINDOWS),
        "test",
        9,
    )
    assert {example.id for example in drawn} == {"s0", "s1", "s2"}
    linear = choose_linear_forecaster(WindowedSeries.of(together, WINDOWS), [1e-2, 1.0])
    assert np.isfinite(linear.model.weights).all()


def test_holes_are_of_one_series_and_filled_from_it_alone(tmp_path: Path) -> None:
    table = long([40, 40])
    table = table.drop(index=[45, 46])  # of the second
    table.loc[40, "sales"] = np.nan  # its first value
    found = read_panel(save(tmp_path, table), "day", choices=BY_SHOP)
    require_regular_steps(found, "it")
    assert [len(part) for part in found.parts] == [40, 40]
    windowed = WindowedSeries.of(found, WINDOWS)
    assert np.isfinite(windowed.inputs).all()
    # Nothing came before: the next value, not the last one of another series.
    assert windowed.inputs[40, 0] == windowed.inputs[41, 0]
    np.testing.assert_array_equal(windowed.inputs[45], windowed.inputs[44])


def test_what_repeats_or_jumps_is_named_with_its_series(tmp_path: Path) -> None:
    table = long([40, 40])
    table.loc[50, "day"] = table.loc[49, "day"]
    found = read_panel(save(tmp_path, table), "day", choices=BY_SHOP)
    with pytest.raises(SourceError, match="shop 's1', row 11 by time.*same time as the row before"):
        require_regular_steps(found, "t.csv")
    write_panel(found, tmp_path / "series.parquet")
    facts = series_facts(tmp_path / "series.parquet", SeriesValidate())
    assert facts.loc[facts["is_repeated"], "id"].tolist() == ["s1 2021-03-11 00:00:00"]
    assert not facts["is_backward"].any()


def test_ids_may_be_numbers_and_none_may_be_missing(tmp_path: Path) -> None:
    table = long([30] * 11)
    table["shop"] = table["shop"].str[1:].astype(int)
    for name in ("t.csv", "t.parquet"):
        found = read_panel(save(tmp_path, table, name), "day", choices=BY_SHOP)
        assert found.ids == tuple(map(str, range(11)))  # 2 before 10
    table = table.astype({"shop": object})
    table.loc[7, "shop"] = None
    with pytest.raises(SourceError, match="line 9, column 'shop': found nothing"):
        read_panel(save(tmp_path, table), "day", choices=BY_SHOP)


def test_of_series_that_are_all_too_short_nothing_is_learnt(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="of 3 series none is long enough"):
        WindowedSeries.of(panel(tmp_path, [20, 25, 27]), WINDOWS)


def test_series_are_drawn_whole_where_there_are_enough() -> None:
    random = np.random.default_rng(1)
    series = np.repeat(np.arange(40), 25)
    losses = np.repeat(random.normal(5, 1, 40), 25) + random.normal(0, 0.01, 1000)
    one, each = (
        block_bootstrap(losses, 1, samples=500, confidence=0.95, seed=1, series=of)
        for of in (None, series)
    )
    assert one.value == each.value
    # Windows of one series are alike, so forty say as much as forty, not as a thousand.
    assert each.high - each.low > 3 * (one.high - one.low)
    assert each.high - each.low == pytest.approx(2 * 1.96 / np.sqrt(40), rel=0.35)
