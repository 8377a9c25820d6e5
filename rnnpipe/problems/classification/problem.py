"""Classification: which of its classes is a text? By default, does a review praise or condemn?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rnnpipe.problems.classification.files import (
    BASELINE,
    NETWORK,
    PRETRAINED,
    REPORTS,
    REVIEWS,
    SEQUENCES,
    WORD_VECTORS,
)
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.problems.problem import Problem
from rnnpipe.registry.selection import Selection

if TYPE_CHECKING:
    from rnnpipe.config.rewrite import Survey
    from rnnpipe.networks.training import TrainingTask
    from rnnpipe.registry.decision import Gate, Lineage
    from rnnpipe.reporting.wording import Wording
    from rnnpipe.validation.verdict import Checks


class Classification(Problem[ClassificationParams]):
    """Texts to classes; the root pipeline, whose default data are the sentiment of reviews."""

    name = "classification"
    table = REVIEWS
    selection = Selection("accuracy", "higher", "min_validation_accuracy")
    model_sections = frozenset(
        {"problem", "sequences", "word_vectors", "pretrained", "baseline", "train"}
    )
    inputs = (SEQUENCES, WORD_VECTORS, PRETRAINED, BASELINE)
    lineage = MappingProxyType(
        {
            "reviews": REVIEWS,
            "sequences": SEQUENCES,
            "pretrained": PRETRAINED,
            "network": NETWORK,
        }
    )
    validation_reports = (REPORTS / "validation.json", REPORTS / "validation_sequences.json")

    def wording(self) -> Wording:
        from rnnpipe.problems.classification.wording import WORDING

        return WORDING

    def survey(self, source: str, values: Mapping[str, Any], options: Any) -> Survey:
        from rnnpipe.problems.classification.survey import survey

        return survey(source, values, options)

    def prepare(self, raw: Path, table: Path, params: ClassificationParams) -> None:
        from rnnpipe.problems.classification.data import prepare

        prepare(raw, table, params)

    def validate(self, params: ClassificationParams) -> Checks:
        from rnnpipe.problems.classification.checks import review_checks

        return review_checks(params)

    def baseline(self, params: ClassificationParams) -> Mapping[str, Any]:
        from rnnpipe.problems.classification.baseline import fit_and_predict

        return fit_and_predict(params)

    def learn(self, params: ClassificationParams) -> TrainingTask:
        from rnnpipe.problems.classification.learning import learn

        return learn(params)

    def calibrate(
        self, params: ClassificationParams, network: Any
    ) -> tuple[Any, Mapping[str, Any]]:
        from rnnpipe.problems.classification.calibrate import calibrate

        return calibrate(params, network)

    def export(self, network: Any, path: Path) -> None:
        from rnnpipe.problems.classification.export import save_classifier

        save_classifier(network, path)

    def check_export(self, params: ClassificationParams, network: Any, path: Path) -> None:
        from rnnpipe.problems.classification.check_export import check_export

        check_export(params, network, path)

    def evaluate(self, params: ClassificationParams) -> Mapping[str, Any]:
        from rnnpipe.problems.classification.evaluate import evaluate

        return evaluate(params)

    def gates(self, metrics: Mapping[str, Any], params: ClassificationParams) -> Sequence[Gate]:
        from rnnpipe.problems.classification.gates import gates_of

        return gates_of(metrics, params.register_)

    def assemble(self, params: ClassificationParams, lineage: Lineage) -> str:
        from rnnpipe.problems.classification.register import assemble_model

        return assemble_model(params, lineage)


PROBLEM = Classification()
