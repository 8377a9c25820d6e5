"""The folder in which a forecaster is registered."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnnpipe.problems.forecasting.exported import ExportedForecaster
from rnnpipe.problems.forecasting.files import BANDS, BASELINE, NETWORK, REPORTS, SERIES, WINDOWS
from rnnpipe.problems.forecasting.metrics import forecast_metrics
from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.registry.card import card
from rnnpipe.registry.decision import Lineage
from rnnpipe.registry.folder import assemble
from rnnpipe.series.calendar import usual_step
from rnnpipe.series.form import Form
from rnnpipe.series.windows import WindowedSeries, scaling_of
from rnnpipe.storage.files import atomic_file, read_json
from rnnpipe.storage.paths import paths_of
from rnnpipe.storage.tables import column_names


def assemble_model(params: ForecastingParams, lineage: Lineage) -> str:
    """Write ``models/forecasting`` and return its SHA-256."""
    series = WindowedSeries.load(WINDOWS)
    metrics = read_json(REPORTS / "metrics.json")
    figures = [key for horizon in series.horizons for key in (f"mse_{horizon}", f"mae_{horizon}")]
    return assemble(
        paths_of("forecasting").model,
        files={
            "network.keras": NETWORK / "network.keras",
            "network.onnx": NETWORK / "network.onnx",
            "metrics.json": REPORTS / "metrics.json",
            BASELINE.name: BASELINE,
            BANDS.name: BANDS,
        },
        params={
            "problem": "forecasting",
            "time_column": column_names(SERIES)[0],
            "columns": list(series.names),
            "look_back": series.look_back,
            "step_seconds": usual_step(series.times) / np.timedelta64(1, "s"),
            "series_column": series.id_name,
            "horizons": list(series.horizons),
            "fill": params.windows.fill,
            "season": params.windows.season,
            # Of many series each is scaled by its own past.
            "scaling": {} if series.id_name else scaling_of(series.names, series.scalers[0]),
            "train": params.train.model_dump(mode="json"),
        }
        | _reading(series.form),
        card=card(
            "forecasting",
            f"A recurrent neural network that reads the last {series.look_back} steps of"
            f" {', '.join(series.names)} and tells the {series.horizon} steps ahead, all at once.",
            "a linear map from look-back to horizon",
            figures,
            metrics,
            lineage,
            use="Forecasting the series it was trained on, from its most recent steps.",
            limits=(
                "It knows these columns, at this step of time, and scales them by their mean and"
                " deviation in its training data: a level never seen is foreign to it.",
                "Its bands (`--levels`) are those of its errors on validation: where the world has changed"
                " since, they hold less than they say; what they held on test stands in metrics.json.",
            ),
            loading=(
                "    rnnpipe forecast --model PATH series.csv\n\n"
                "With `--baseline`, the linear map of `baseline.npz` forecasts instead.\n\n"
                "`network.onnx` computes it: `past`, `float32[batch, look_back, columns]`, scaled"
                " as `params.json` says, to `future`, `float32[batch, horizon, columns]`."
            ),
        ),
        scores=lambda target: _write_scores(target, series),
    )


def _reading(form: Form) -> dict[str, Any]:
    """How the file writes times and numbers, where that is not as in the standard form."""
    kept = form.model_copy(update={"notes": ()}).kept()
    return {"form": kept} if kept else {}


def _write_scores(target: Path, series: WindowedSeries) -> None:
    """Write the squared error of windows that share no target, each by the time it begins."""
    network = ExportedForecaster(NETWORK / "network.onnx")
    errors = forecast_metrics(network.forecast, series, "validation")
    losses = errors.window_mse[0]
    chosen = np.arange(0, len(losses), series.horizons[0])
    chosen = chosen[np.isfinite(losses[chosen])]
    starts = series.starts("validation")[chosen]
    # As they were judged: scaled otherwise, a loss is in another unit.
    truths = series.batch("validation", starts)[1][:, : series.horizons[0]]
    ids = np.datetime_as_string(series.times[starts]).tolist()
    if series.id_name:
        numbers = series.series_of(starts)
        ids = [f"{series.ids[number]} {id_}" for number, id_ in zip(numbers, ids, strict=True)]
    table = pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "truth_sha256": [
                sha256(np.ascontiguousarray(truth).tobytes()).hexdigest() for truth in truths
            ],
            "loss": losses[chosen],
        }
    )
    with atomic_file(target) as partial:
        pq.write_table(table, partial, compression="zstd")
