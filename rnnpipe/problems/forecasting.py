"""Forecasting: how does a series go on?"""

from rnnpipe.forecasting.files import NETWORK, REPORTS, SERIES, WINDOWS
from rnnpipe.problems.problem import Later, Problem
from rnnpipe.selection import Selection, Wording

PROBLEM = Problem(
    name="forecasting",
    table=SERIES,
    selection=Selection("mse", "lower", "max_validation_mse"),
    wording=Wording("windows", "linear forecaster", "one linear map from look-back to horizon"),
    shaping=frozenset({"problem", "prepare", "windows", "train"}),
    prepare=Later("rnnpipe.forecasting.data:prepare"),
    checks={"validate": Later("rnnpipe.forecasting.checks:series_checks")},
    baseline=Later("rnnpipe.forecasting.linear:fit"),
    inputs=(WINDOWS,),
    learn=Later("rnnpipe.forecasting.learning:learn"),
    export=Later("rnnpipe.exporting.forecaster:save_forecaster"),
    check_export=Later("rnnpipe.forecasting.exported:check_export"),
    evaluate=Later("rnnpipe.forecasting.figures:evaluate"),
    steps={"series": SERIES, "windows": WINDOWS, "network": NETWORK},
    suites=(REPORTS / "validation.json",),
    assemble=Later("rnnpipe.forecasting.model:assemble_model"),
)
