"""Forecasting: how does a series go on?"""

from rnnpipe.forecasting.files import NETWORK, REPORTS, SERIES, WINDOWS
from rnnpipe.problems.problem import Problem, later
from rnnpipe.selection import Selection, Wording

PROBLEM = Problem(
    name="forecasting",
    table=SERIES,
    selection=Selection("mse", "lower", "max_validation_mse"),
    wording=Wording("windows", "linear forecaster", "one linear map from look-back to horizon"),
    shaping=frozenset({"problem", "prepare", "windows", "train"}),
    prepare=later("rnnpipe.forecasting.data:prepare"),
    checks={"validate": later("rnnpipe.forecasting.checks:series_checks")},
    baseline=later("rnnpipe.forecasting.linear:fit"),
    inputs=(WINDOWS,),
    learn=later("rnnpipe.forecasting.learning:learn"),
    evaluate=later("rnnpipe.forecasting.figures:evaluate"),
    steps={"series": SERIES, "windows": WINDOWS, "network": NETWORK},
    suites=(REPORTS / "validation.json",),
    assemble=later("rnnpipe.forecasting.model:assemble_model"),
)
