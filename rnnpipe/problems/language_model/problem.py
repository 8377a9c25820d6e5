"""Language modelling: what word comes next?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rnnpipe.problems.language_model.files import (
    NETWORK,
    REVIEWS,
    SEQUENCES,
    VALIDATED,
    WORD_VECTORS,
)
from rnnpipe.problems.language_model.params import LanguageModelParams
from rnnpipe.problems.problem import Problem
from rnnpipe.registry.selection import Selection

if TYPE_CHECKING:
    from rnnpipe.networks.training import TrainingTask
    from rnnpipe.registry.decision import Gate, Lineage
    from rnnpipe.reporting.wording import Wording


class LanguageModel(Problem[LanguageModelParams]):
    """Words to the next; the root pipeline prepares its texts, their splits and their words."""

    name = "language_model"
    table = REVIEWS
    selection = Selection("perplexity", "lower", "max_validation_perplexity")
    model_sections = frozenset({"problem", "train"})
    inputs = (SEQUENCES, WORD_VECTORS)
    lineage = MappingProxyType(
        {
            "reviews": REVIEWS,
            "sequences": SEQUENCES,
            "word_vectors": WORD_VECTORS,
            "network": NETWORK,
        }
    )
    validation_reports = (VALIDATED,)

    def wording(self) -> Wording:
        from rnnpipe.problems.language_model.wording import WORDING

        return WORDING

    def baseline(self, params: LanguageModelParams) -> Mapping[str, Any]:
        from rnnpipe.problems.language_model.baseline import learn_and_judge

        return learn_and_judge(params)

    def learn(self, params: LanguageModelParams) -> TrainingTask:
        from rnnpipe.problems.language_model.learning import learn

        return learn(params)

    def export(self, network: Any, path: Path) -> None:
        from rnnpipe.problems.language_model.export import save_language_model

        save_language_model(network, path)

    def check_export(self, params: LanguageModelParams, network: Any, path: Path) -> None:
        from rnnpipe.problems.language_model.check_export import check_export

        check_export(params, network, path)

    def evaluate(self, params: LanguageModelParams) -> Mapping[str, Any]:
        from rnnpipe.problems.language_model.evaluate import evaluate

        return evaluate(params)

    def gates(self, metrics: Mapping[str, Any], params: LanguageModelParams) -> Sequence[Gate]:
        from rnnpipe.problems.language_model.gates import gates_of

        return gates_of(metrics)

    def assemble(self, params: LanguageModelParams, lineage: Lineage) -> str:
        from rnnpipe.problems.language_model.register import assemble_model

        return assemble_model(params, lineage)


PROBLEM = LanguageModel()
