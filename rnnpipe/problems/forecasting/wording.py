"""How the reports of forecasting speak."""

from rnnpipe.reporting.wording import Wording

WORDING = Wording(
    counted="windows",
    baseline="linear forecaster",
    described="one linear map from look-back to horizon",
    metrics={
        "mse": ("MSE, shortest horizon", False),
        "mae": ("MAE, shortest horizon", False),
        "mse_mean": ("MSE, mean over the horizons", False),
        "mae_mean": ("MAE, mean over the horizons", False),
        "mse_*": ("MSE, {} steps ahead", False),
        "mae_*": ("MAE, {} steps ahead", False),
    },
    gates={
        "validation_mse": "MSE on validation, shortest horizon",
        "suite_series": "Expectations on the series",
    },
    captions={
        "forecasts": ("Forecasts", "Beside the truth, in the columns' own units."),
        "error_by_step": ("Error by step ahead", "How it grows the farther a forecast looks."),
    },
    lineage={"series": "Table of the series", "windows": "Series, divided and scaled"},
)
