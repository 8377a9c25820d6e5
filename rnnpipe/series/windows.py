"""Series ready to be learnt from: scaled, divided in time, cut into windows when asked.

In a folder: ``values.npy`` (``float32[n, columns]``, scaled), ``times.npy`` (``int64[n]``,
microseconds since 1970) and ``series.json`` (names, splits, scaling, look-back, horizons, and the
form of the file's times, where it is not the standard one); of many series also ``scaling.npy``
(``float64[2, series, columns]``, means and deviations). Windows
overlap and would be a thousand times as large, so they are cut from it batch by batch.

Where a value is missing, ``values.npy`` holds NaN: that is what is learnt from and judged. What is
read is filled (:func:`rnnpipe.series.holes.filled`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.config.series import Windows
from rnnpipe.errors import SourceError, quoted
from rnnpipe.series.form import STANDARD, Form
from rnnpipe.series.holes import Fill, filled
from rnnpipe.series.panel import Panel, divide_each
from rnnpipe.series.table import Scaler, Series, cut, span_of, window_starts
from rnnpipe.storage.files import atomic_directory, read_json, write_json

# A column stands still in train where it moves by no more than this share of what it moves by in
# all splits, or of its level (which is what rounding leaves).
_STILL, _ROUNDING = 0.01, 1e-12

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class WindowedSeries:
    """Scaled series and all that is needed to cut them.

    Rows are counted through all series, which stand one after the other.

    Attributes:
        values: ``float32[n, columns]``, each column with mean 0 and deviation 1 in its series' train, but
            for those that stand still there; see :func:`fit_scaler`. NaN where none is known.
        times: ``datetime64[us][n]``.
        names: of the columns.
        splits: rows of ``train``, ``validation`` and ``test``, of each series; empty where it is left out.
        scalers: of each series, back to its columns' own units.
        look_back: steps of a past.
        horizons: steps ahead that are judged, rising.
        form: how the file that it came from writes its times.
        fill: what a network reads where no value is known.
        season: steps of a season, for that.
        ids: what tells the series apart; ``("",)`` of one alone.
        id_name: of the column that held them; empty of one alone.
    """

    values: NDArray[np.float32]
    times: NDArray[np.datetime64]
    names: tuple[str, ...]
    splits: Mapping[str, tuple[range, ...]]
    scalers: tuple[Scaler, ...]
    look_back: int
    horizons: tuple[int, ...]
    form: Form = STANDARD
    fill: Fill = "last"
    season: int = 1
    ids: tuple[str, ...] = ("",)
    id_name: str = ""

    @classmethod
    def of(cls, panel: Panel | Series, windows: Windows) -> "WindowedSeries":
        """Divide series and scale each by its train split.

        Args:
            panel: regular series, or one.
            windows: splits, look-back, horizons, and what fills holes.

        Raises:
            SourceError: they are too short, or a column has no value to learn from.
        """
        if isinstance(panel, Series):
            panel = Panel.of(panel)
        splits, _ = divide_each(panel, windows)
        scalers, values, begin = [], [], 0
        for number, part in enumerate(panel.parts):
            own = {
                name: range(of[number].start - begin, of[number].stop - begin)
                for name, of in splits.items()
            }
            scaler = _scaler_of_left_out(part) if not own["train"] else None
            scalers.append(scaler or fit_scaler(part.values, own, part.names))
            values.append(scalers[-1].scale(part.values).astype(np.float32))
            begin += len(part)
        return cls(
            np.concatenate(values),
            np.concatenate([part.times for part in panel.parts]),
            panel.names,
            splits,
            tuple(scalers),
            windows.look_back,
            tuple(windows.horizons),
            panel.form,
            windows.fill,
            windows.season,
            panel.ids,
            panel.id_name,
        )

    @property
    def horizon(self) -> int:
        """Steps of a future: the last of the horizons."""
        return self.horizons[-1]

    @cached_property
    def begins(self) -> NDArray[np.int64]:
        """The first row of each series, ``int64[series]``."""
        return np.array([split.start for split in self.splits["train"]], np.int64)

    @cached_property
    def inputs(self) -> NDArray[np.float32]:
        """The values that a network reads, ``float32[n, columns]``, holes filled."""
        if not self.holes:
            return self.values
        found = self.values.copy()
        bounds = [*self.begins.tolist(), len(found)]
        for scaler, begin, end in zip(self.scalers, bounds, bounds[1:], strict=False):
            zero = -scaler.mean / scaler.deviation
            found[begin:end] = filled(found[begin:end], self.fill, self.season, zero)
        return found

    @cached_property
    def holes(self) -> bool:
        """Whether a value is missing."""
        return bool(np.isnan(self.values).any())

    def starts(self, split: str, horizon: int | None = None) -> NDArray[np.int64]:
        """Return the first target row of every window of a split, ``int64[windows]``, rising.

        In each at least the shortest horizon's targets, or so many as are said, lie in the split, and
        one of them is known.

        Raises:
            SourceError: there is no such window.
        """
        horizon = horizon or self.horizons[0]
        found = [
            window_starts(own, self.look_back, horizon, begin)
            for own, begin in zip(self.splits[split], self.begins.tolist(), strict=True)
        ]
        starts = np.concatenate(found)
        if not len(starts):
            steps = sum(map(len, self.splits[split]))
            raise SourceError(
                f"a split of {steps:,} steps holds no window of {self.look_back} steps and {horizon}"
                " to come: lengthen it, or shorten look_back or horizon"
            )
        if self.holes:
            known = np.isfinite(self.values).any(axis=1)
            before = np.concatenate([[0], np.cumsum(known)])
            starts = starts[before[starts + horizon] > before[starts]]
        if not len(starts):
            raise SourceError(
                f"no value is known of the split {split}: fill the series, or divide it otherwise"
                " (windows.train)"
            )
        return starts

    def series_of(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which series each window is of, ``int64[windows]``."""
        return np.searchsorted(self.begins, starts, side="right") - 1

    def stops(self, split: str, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first row that belongs to a window's split no more, ``int64[windows]``."""
        ends = np.array([own.stop for own in self.splits[split]], np.int64)
        return np.asarray(ends[self.series_of(starts)])

    def scaler(self, starts: NDArray[np.int64]) -> Scaler:
        """Return the scaling of windows, ``float64[windows, 1, columns]`` each."""
        number = self.series_of(starts)
        means, deviations = self._scalings
        return Scaler(means[number][:, None], deviations[number][:, None])

    @cached_property
    def _scalings(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return (
            np.stack([scaler.mean for scaler in self.scalers]),
            np.stack([scaler.deviation for scaler in self.scalers]),
        )

    def batch(self, split: str, starts: NDArray[np.int64]) -> Batch:
        """Cut windows of a split.

        Args:
            split: targets beyond it are NaN, and so are missing ones.
            starts: ``int64[batch]``, first target row of each.

        Returns:
            ``float32[batch, look_back, columns]`` and ``float32[batch, horizon, columns]``.
        """
        stops = self.stops(split, starts)
        past, future = cut(self.inputs, starts, self.look_back, self.horizon, stop=stops)
        if self.holes:
            _, future = cut(self.values, starts, self.look_back, self.horizon, stop=stops)
        return past, future

    def save(self, folder: Path) -> None:
        """Write the folder, whole or not at all."""
        kept = self.form.kept()
        one = not self.id_name
        facts: dict[str, Any] = {
            "columns": list(self.names),
            "splits": {
                name: [[own.start, own.stop] for own in split]
                for name, split in self.splits.items()
            },
            "look_back": self.look_back,
            "horizons": list(self.horizons),
        }
        if one:
            facts["splits"] = {name: split[0] for name, split in facts["splits"].items()}
            facts["scaling"] = scaling_of(self.names, self.scalers[0])
        else:
            facts |= {"ids": list(self.ids), "id_name": self.id_name}
        with atomic_directory(folder) as partial:
            np.save(partial / "values.npy", self.values)
            np.save(partial / "times.npy", self.times.astype("datetime64[us]").astype(np.int64))
            if not one:
                np.save(partial / "scaling.npy", np.stack(self._scalings))
            write_json(
                partial / "series.json",
                facts
                | ({"form": kept} if kept else {})
                | ({"fill": self.fill, "season": self.season} if self.holes else {}),
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
            splits = facts["splits"]
            if id_name := facts.get("id_name", ""):
                means, deviations = np.load(Path(folder) / "scaling.npy", allow_pickle=False)
                scalers = tuple(map(Scaler, means, deviations))
            else:
                splits = {name: [bounds] for name, bounds in splits.items()}
                scalers = (scaler_of(names, facts["scaling"]),)
            return cls(
                np.load(Path(folder) / "values.npy", allow_pickle=False),
                np.load(Path(folder) / "times.npy", allow_pickle=False).view("datetime64[us]"),
                names,
                {name: tuple(range(*own) for own in split) for name, split in splits.items()},
                scalers,
                facts["look_back"],
                tuple(facts["horizons"]),
                Form.model_validate_json(json.dumps(facts.get("form", {}))),
                facts.get("fill", "last"),
                facts.get("season", 1),
                tuple(facts.get("ids", ("",))),
                id_name,
            )
        except (OSError, EOFError, KeyError, TypeError, ValueError) as error:
            raise SourceError(
                f"{folder} holds no windowed series that can be read ({type(error).__name__}):"
                " run `dvc repro pipelines/forecasting/dvc.yaml`"
            ) from error


def _scaler_of_left_out(series: Series) -> Scaler:
    """Of a series that is too short to be learnt from nothing is read: any scaling will do."""
    columns = series.values.shape[1]
    return Scaler(np.zeros(columns), np.ones(columns))


def fit_scaler(
    values: NDArray[np.float64], splits: Mapping[str, range], names: tuple[str, ...] = ()
) -> Scaler:
    """Take mean and deviation of train alone, but for columns that stand still there.

    Divided by next to nothing, such a column would outweigh all others as soon as it moves. Train
    says nothing of how it moves, so its deviation is a quarter of what it spans in all splits: its
    errors are small, and nothing is learnt of it.

    Args:
        values: ``float64[n, columns]``, NaN where none is known.
        splits: steps of each.
        names: of the columns, for an error.

    Returns:
        The scaler, by which no value of the splits is farther than 100 from 0; it says which columns
        stand still.

    Raises:
        SourceError: a column has no known value in train.
    """
    train = values[splits["train"].start : splits["train"].stop]
    unknown = np.isnan(train).all(axis=0)
    if unknown.any():
        number = int(np.argmax(unknown))
        name = quoted(names[number]) if names else str(number)
        raise SourceError(
            f"column {name} has no value in the split train: leave it out (prepare.targets), or divide"
            " the series otherwise (windows.train)"
        )
    span = span_of(values[: splits["test"].stop])
    level = np.nanmax(np.abs(train), axis=0)
    fitted = Scaler.fit(train)
    moved = np.where(span_of(train) > 0, np.nanstd(train, axis=0), 0.0)
    still = moved <= np.maximum(_STILL * span, _ROUNDING * level)
    floor = np.maximum(span / 4, _ROUNDING * level)
    deviation = np.where(still & (span > 0), floor, fitted.deviation)
    return Scaler(fitted.mean, deviation, still)


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
    mean, deviation = (
        np.array([scaling[name][key] for name in names], np.float64)
        for key in ("mean", "deviation")
    )
    return Scaler(mean, deviation)


def draw_windows(
    starts: NDArray[np.int64], batch_size: int, *, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Shuffle windows into batches, the same for the same seed and epoch; the last may be small."""
    drawn = np.random.default_rng([seed, epoch]).permutation(starts)
    return [drawn[begin : begin + batch_size] for begin in range(0, len(drawn), batch_size)]


def latest_window(
    series: Series,
    names: tuple[str, ...],
    scaler: Scaler,
    look_back: int,
    fill: Fill = "last",
    season: int = 1,
) -> NDArray[np.float32]:
    """Return a series' last steps, scaled, as a batch of one to forecast from.

    Args:
        series: may hold more columns, in any order.
        names: the columns that the network knows, in its order.
        scaler: of the network.
        look_back: steps that it reads.
        fill: what it reads where a value is missing.
        season: steps of one.

    Returns:
        ``float32[1, look_back, columns]``.

    Raises:
        SourceError: a column is missing, holds nothing in the look-back, or the series is shorter than
            that.
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
    values = series.values[:, columns]
    nothing = np.isnan(values[-look_back:]).all(axis=0)
    if nothing.any():
        raise SourceError(
            f"column {quoted(names[int(np.argmax(nothing))])} holds nothing in the last {look_back:,}"
            " steps, from which the model forecasts: fill them"
        )
    values = np.asarray(filled(values, fill, season)[-look_back:], np.float64)
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
