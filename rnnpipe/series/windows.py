"""A series ready to be learnt from: scaled, divided in time, cut into windows when asked.

In a folder: ``values.npy`` (``float32[n, columns]``, scaled), ``times.npy`` (``int64[n]``,
microseconds since 1970) and ``series.json`` (names, splits, scaling, look-back, horizons, and the
form of the file's times, where it is not the standard one). Windows
overlap and would be a thousand times as large, so they are cut from it batch by batch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.config.series import Windows
from rnnpipe.errors import SourceError, quoted
from rnnpipe.series.form import STANDARD, Form
from rnnpipe.series.table import Scaler, Series, cut, divide, window_starts
from rnnpipe.storage.files import atomic_directory, read_json, write_json

# A column stands still in train where it moves by no more than this share of what it moves by in
# all splits, or of its level (which is what rounding leaves).
_STILL, _ROUNDING = 0.01, 1e-12

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class WindowedSeries:
    """A scaled series and all that is needed to cut it.

    Attributes:
        values: ``float32[n, columns]``, each column with mean 0 and deviation 1 in train, but for
            those that stand still there; see :func:`fit_scaler`.
        times: ``datetime64[us][n]``.
        names: of the columns.
        splits: steps of ``train``, ``validation`` and ``test``.
        scaler: back to the columns' own units.
        look_back: steps of a past.
        horizons: steps ahead that are judged, rising.
        form: how the file that it came from writes its times.
    """

    values: NDArray[np.float32]
    times: NDArray[np.datetime64]
    names: tuple[str, ...]
    splits: Mapping[str, range]
    scaler: Scaler
    look_back: int
    horizons: tuple[int, ...]
    form: Form = STANDARD

    @classmethod
    def of(cls, series: Series, windows: Windows) -> "WindowedSeries":
        """Divide a series and scale it by its train split.

        Raises:
            SourceError: it is too short.
        """
        splits = divide(len(series), windows)
        scaler, _ = fit_scaler(series.values, splits)
        return cls(
            scaler.scale(series.values).astype(np.float32),
            series.times,
            series.names,
            splits,
            scaler,
            windows.look_back,
            tuple(windows.horizons),
            series.form,
        )

    @property
    def horizon(self) -> int:
        """Steps of a future: the last of the horizons."""
        return self.horizons[-1]

    def starts(self, split: str) -> NDArray[np.int64]:
        """Return the first target step of every window of a split, ``int64[windows]``, rising.

        In each at least the shortest horizon's targets lie in the split.
        """
        return window_starts(self.splits[split], self.look_back, self.horizons[0])

    def batch(self, split: str, starts: NDArray[np.int64]) -> Batch:
        """Cut windows of a split.

        Args:
            split: targets beyond it are NaN.
            starts: ``int64[batch]``, first target step of each.

        Returns:
            ``float32[batch, look_back, columns]`` and ``float32[batch, horizon, columns]``.
        """
        return cut(self.values, starts, self.look_back, self.horizon, stop=self.splits[split].stop)

    def save(self, folder: Path) -> None:
        """Write the folder, whole or not at all."""
        kept = self.form.kept()
        with atomic_directory(folder) as partial:
            np.save(partial / "values.npy", self.values)
            np.save(partial / "times.npy", self.times.astype("datetime64[us]").astype(np.int64))
            write_json(
                partial / "series.json",
                {
                    "columns": list(self.names),
                    "splits": {
                        name: [split.start, split.stop] for name, split in self.splits.items()
                    },
                    "look_back": self.look_back,
                    "horizons": list(self.horizons),
                    "scaling": scaling_of(self.names, self.scaler),
                }
                | ({"form": kept} if kept else {}),
            )

    @classmethod
    def load(cls, folder: Path) -> "WindowedSeries":
        """Read what :meth:`save` wrote.

        Raises:
            SourceError: the folder is missing, or something in it.
        """
        try:
            facts = read_json(Path(folder) / "series.json")
            names = tuple(facts["columns"])
            return cls(
                np.load(Path(folder) / "values.npy", allow_pickle=False),
                np.load(Path(folder) / "times.npy", allow_pickle=False).view("datetime64[us]"),
                names,
                {name: range(*bounds) for name, bounds in facts["splits"].items()},
                scaler_of(names, facts["scaling"]),
                facts["look_back"],
                tuple(facts["horizons"]),
                Form.model_validate_json(json.dumps(facts.get("form", {}))),
            )
        except (OSError, EOFError, KeyError, TypeError, ValueError) as error:
            raise SourceError(
                f"{folder} holds no windowed series that can be read ({type(error).__name__}):"
                " run `dvc repro pipelines/forecasting/dvc.yaml`"
            ) from error


def fit_scaler(
    values: NDArray[np.float64], splits: Mapping[str, range]
) -> tuple[Scaler, NDArray[np.bool_]]:
    """Take mean and deviation of train alone, but for columns that stand still there.

    Divided by next to nothing, such a column would outweigh all others as soon as it moves. Train
    says nothing of how it moves, so its deviation is a quarter of what it spans in all splits: its
    errors are small, and nothing is learnt of it.

    Args:
        values: ``float64[n, columns]``.
        splits: steps of each.

    Returns:
        The scaler, by which no value of the splits is farther than 100 from 0, and which columns
        stand still, ``bool[columns]``.
    """
    train = values[splits["train"].start : splits["train"].stop]
    span = np.ptp(values[: splits["test"].stop], axis=0)
    level = np.abs(train).max(axis=0)
    fitted = Scaler.fit(train)
    moved = np.where(np.ptp(train, axis=0) > 0, train.std(axis=0), 0.0)
    still = moved <= np.maximum(_STILL * span, _ROUNDING * level)
    floor = np.maximum(span / 4, _ROUNDING * level)
    deviation = np.where(still & (span > 0), floor, fitted.deviation)
    return Scaler(fitted.mean, deviation), still


def scaling_of(names: tuple[str, ...], scaler: Scaler) -> dict[str, dict[str, float]]:
    """Lay a scaling out for JSON: mean and deviation by column, to the last digit."""
    return {
        name: {"mean": float(mean), "deviation": float(deviation)}
        for name, mean, deviation in zip(names, scaler.mean, scaler.deviation, strict=True)
    }


def scaler_of(names: tuple[str, ...], scaling: Mapping[str, Mapping[str, Any]]) -> Scaler:
    """Undo :func:`scaling_of`.

    Raises:
        KeyError: a column is missing.
    """
    return Scaler(
        *(
            np.array([scaling[name][key] for name in names], np.float64)
            for key in ("mean", "deviation")
        )
    )


def draw_windows(
    starts: NDArray[np.int64], batch_size: int, *, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Shuffle windows into batches, the same for the same seed and epoch; the last may be small."""
    drawn = np.random.default_rng([seed, epoch]).permutation(starts)
    return [drawn[begin : begin + batch_size] for begin in range(0, len(drawn), batch_size)]


def latest_window(
    series: Series, names: tuple[str, ...], scaler: Scaler, look_back: int
) -> NDArray[np.float32]:
    """Return a series' last steps, scaled, as a batch of one to forecast from.

    Args:
        series: may hold more columns, in any order.
        names: the columns that the network knows, in its order.
        scaler: of the network.
        look_back: steps that it reads.

    Returns:
        ``float32[1, look_back, columns]``.

    Raises:
        SourceError: a column is missing, or the series is shorter than the look-back.
    """
    missing = [name for name in names if name not in series.names]
    if missing:
        raise SourceError(
            f"the series has the columns {', '.join(series.names)}, but"
            f" {', '.join(missing)} is missing: the model forecasts {', '.join(names)}"
        )
    if len(series) < look_back:
        raise SourceError(
            f"the series has {len(series):,} steps, the model reads the last {look_back:,}: bring"
            " a longer one"
        )
    columns = [series.names.index(name) for name in names]
    values = series.values[-look_back:, columns]
    with np.errstate(over="ignore"):
        past = scaler.scale(values).astype(np.float32)
    step, column = np.unravel_index(np.argmax(~np.isfinite(past)), past.shape)
    if not np.isfinite(past[step, column]):
        raise SourceError(
            f"column {quoted(names[column])} holds {values[step, column]:g} at"
            f" {series.times[step - look_back]}: too large a number for the model, which learnt"
            f" from some {scaler.mean[column]:g}"
        )
    return past[None]
