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
        "coverage_*": ("Share of values within the {} % band", True),
        "msis_*": ("MSIS of the {} % band", False),
        "smape_*": ("sMAPE in percent, {} steps ahead", False),
        "mase_*": ("MASE, {} steps ahead", False),
    },
    gates={
        "validation_mse": "MSE on validation, shortest horizon",
        "better_than_last_season": "MSE on validation, shortest horizon, against the last season repeated",
        "suite_series": "Expectations on the series",
    },
    advice={
        "better_than_baseline": "The linear forecaster is the better one so far, and registered beside"
        " the network: rnnpipe forecast FILE --baseline forecasts with it. As long as the loss on"
        " validation still falls at the end of training, train longer (train.epochs); else give the"
        " network a longer series, or more series of the kind.",
    },
    captions={
        "forecasts": (
            "Forecasts",
            "Beside the truth, in the columns' own units; eight of ten values should lie in the band.",
        ),
        "error_by_step": ("Error by step ahead", "How it grows the farther a forecast looks."),
    },
    lineage={"series": "Table of the series", "windows": "Series, divided and scaled"},
)
