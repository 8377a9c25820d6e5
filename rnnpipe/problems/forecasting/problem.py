"""Forecasting: how does a series go on?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rnnpipe.problems.forecasting.files import BASELINE, NETWORK, REPORTS, SERIES, WINDOWS
from rnnpipe.problems.forecasting.params import ForecastingParams
from rnnpipe.problems.problem import Problem
from rnnpipe.registry.selection import Selection

if TYPE_CHECKING:
    from rnnpipe.config.rewrite import Survey
    from rnnpipe.networks.training import TrainingTask
    from rnnpipe.registry.decision import Gate, Lineage
    from rnnpipe.reporting.wording import Wording
    from rnnpipe.validation.verdict import Checks


class Forecasting(Problem[ForecastingParams]):
    """The steps ahead of a series from its past."""

    name = "forecasting"
    table = SERIES
    selection = Selection("mse", "lower", "max_validation_mse")
    model_sections = frozenset({"problem", "prepare", "windows", "train"})
    inputs = (WINDOWS, BASELINE)
    lineage = MappingProxyType({"series": SERIES, "windows": WINDOWS, "network": NETWORK})
    validation_reports = (REPORTS / "validation.json",)
    if_baseline_is_better = (
        "the linear forecaster is better on validation: `rnnpipe forecast FILE --baseline` uses it"
    )

    def wording(self) -> Wording:
        from rnnpipe.problems.forecasting.wording import WORDING

        return WORDING

    def survey(self, source: str, values: Mapping[str, Any], options: Any) -> Survey:
        from rnnpipe.problems.forecasting.survey import survey

        return survey(source, values, options)

    def recognizes(self, source: str, options: Any) -> bool:
        from rnnpipe.problems.forecasting.survey import recognizes

        return recognizes(source, options)

    def prepare(self, raw: Path, table: Path, params: ForecastingParams) -> None:
        from rnnpipe.problems.forecasting.data import prepare

        prepare(raw, table, params)

    def validate(self, params: ForecastingParams) -> Checks:
        from rnnpipe.problems.forecasting.checks import series_checks

        return series_checks(params)

    def baseline(self, params: ForecastingParams) -> Mapping[str, Any]:
        from rnnpipe.problems.forecasting.baseline import fit

        return fit(params)

    def learn(self, params: ForecastingParams) -> TrainingTask:
        from rnnpipe.problems.forecasting.learning import learn

        return learn(params)

    def export(self, network: Any, path: Path) -> None:
        from rnnpipe.problems.forecasting.export import save_forecaster

        save_forecaster(network, path)

    def check_export(self, params: ForecastingParams, network: Any, path: Path) -> None:
        from rnnpipe.problems.forecasting.check_export import check_export

        check_export(params, network, path)

    def evaluate(self, params: ForecastingParams) -> Mapping[str, Any]:
        from rnnpipe.problems.forecasting.evaluate import evaluate

        return evaluate(params)

    def gates(self, metrics: Mapping[str, Any], params: ForecastingParams) -> Sequence[Gate]:
        from rnnpipe.problems.forecasting.gates import gates_of

        return gates_of(metrics, params.register_)

    def assemble(self, params: ForecastingParams, lineage: Lineage) -> str:
        from rnnpipe.problems.forecasting.register import assemble_model

        return assemble_model(params, lineage)


PROBLEM = Forecasting()
