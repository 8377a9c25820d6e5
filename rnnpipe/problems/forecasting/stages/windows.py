"""Stage ``windows``: series divided in time and scaled, ready to be cut into windows."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnpipe.errors import quoted
from rnnpipe.problems.forecasting.files import REPORTS, SERIES, WINDOWS
from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.series.panel import Panel, divide_each, few_ids, lengths_of, require_regular_steps
from rnnpipe.series.prepared import load_panel
from rnnpipe.series.windows import WindowedSeries
from rnnpipe.storage.files import write_json

logger = logging.getLogger(__name__)

_NAMED = 20  # series or columns that are told by name, of more their number


def run(params: ForecastingParams) -> None:
    """Divide, scale by train alone, and report the splits, what they leave over, what stands still."""
    panel = load_panel(SERIES)
    require_regular_steps(panel, str(SERIES))
    windowed = WindowedSeries.of(panel, params.windows)
    windowed.save(WINDOWS)
    form = panel.form
    report: dict[str, Any] = {
        "step": str(panel.step),
        "zone": form.zone.strip(),
        "targets": list(panel.names),
        "notes": list(form.notes),
        **{name: _steps(windowed, split) for name, split in windowed.splits.items()},
    }
    if panel.id_name:
        report["series"] = len(panel.ids)
        logger.info("%s, told apart by %s", lengths_of(panel), quoted(panel.id_name))
    logger.info(
        "%d columns; a step is %s; steps: %s",
        len(panel.names),
        panel.step,
        ", ".join(f"{name} {report[name]['steps']:,}" for name in windowed.splits),
    )
    _, left_out = divide_each(panel, params.windows)
    if left_out:
        report["left_out"] = len(left_out)
        logger.warning(
            "%d series are too short to be divided, and left out: %s",
            len(left_out),
            few_ids(left_out),
        )
    if behind := _behind(windowed):
        report["behind"] = behind
        logger.warning(
            "%s steps, from %s on, lie behind the splits: they are neither learnt from nor judged;"
            " give windows.train, windows.validation and windows.test as shares, or raise them",
            f"{behind['steps']:,}",
            behind["first"],
        )
    values = np.concatenate([part.values for part in panel.parts])
    if (missing := np.isnan(values).sum(axis=0)).any():
        report["missing"] = {
            name: int(count) for name, count in zip(panel.names, missing, strict=True) if count
        }
        report["fill"] = params.windows.fill
    if standing := _standing_still(panel, windowed):
        report["standing_still"] = dict(list(standing.items())[:_NAMED])
        for name, deviation in list(standing.items())[:_NAMED]:
            logger.warning(
                "column %s stands still in train, so nothing can be learnt of it: it is scaled by %g,"
                " from what it spans in all splits; leave it out, or divide the series otherwise"
                " (windows.train)",
                quoted(name),
                deviation,
            )
    write_json(REPORTS / "windows.json", report)


def _standing_still(panel: Panel, windowed: WindowedSeries) -> Mapping[str, float]:
    """By column, and series where there are many, by what those are scaled that stand still in train."""
    found = {}
    for id_, scaler in zip(panel.ids, windowed.scalers, strict=True):
        for number in np.flatnonzero(scaler.still):
            name = f"{panel.names[number]} of {id_}" if panel.id_name else panel.names[number]
            found[name] = float(scaler.deviation[number])
    return found


def _behind(windowed: WindowedSeries) -> dict[str, Any]:
    """The rows that no split has, of the series that have one."""
    ends = [*windowed.begins[1:].tolist(), len(windowed.values)]
    parts = tuple(
        range(own.stop, end) for own, end in zip(windowed.splits["test"], ends, strict=True) if own
    )
    return _steps(windowed, parts) if any(parts) else {}


def _steps(windowed: WindowedSeries, parts: tuple[range, ...]) -> dict[str, Any]:
    held = [part for part in parts if part]
    times = windowed.times
    first = min(times[part[0]] for part in held)
    last = max(times[part[-1]] for part in held)
    shown = windowed.form.shown(np.array([first, last]))
    return {"steps": sum(map(len, held)), "first": shown[0], "last": shown[1]}
