"""What a problem is to the stages: what it is called, where it lies, and what it does; no branch."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from rnnpipe.config.load import Params
from rnnpipe.errors import ParameterError
from rnnpipe.registry.selection import Selection
from rnnpipe.storage.paths import ProblemPaths, paths_of

if TYPE_CHECKING:
    from rnnpipe.config.rewrite import Survey
    from rnnpipe.networks.training import TrainingTask
    from rnnpipe.registry.decision import Gate, Lineage
    from rnnpipe.reporting.wording import Wording
    from rnnpipe.validation.verdict import Checks

P = TypeVar("P", bound=Params)


class Problem(ABC, Generic[P]):
    """Whatever differs from one problem to the next, for the parameters ``P``.

    A method imports what it calls when it is called, so that a stage executes, and depends on, what
    it needs alone: ``make deps`` follows the imports of the methods that a stage calls, and only
    those.

    Attributes:
        name: of the problem, of its folder in ``rnnpipe/problems/`` and in ``pipelines/``.
        table: what ``prepare`` writes.
        selection: how its models are compared.
        model_sections: the sections of its parameters that shape what is learnt; the others only
            judge.
        inputs: files and folders that decide what the training learns.
        lineage: results that a model's lineage names, the table first.
        validation_reports: reports that the verdict depends on.
        if_baseline_is_better: what to tell whose model is refused for that.
    """

    name: ClassVar[str]
    table: ClassVar[Path]
    selection: ClassVar[Selection]
    model_sections: ClassVar[frozenset[str]]
    inputs: ClassVar[Sequence[Path]]
    lineage: ClassVar[Mapping[str, Path]]
    validation_reports: ClassVar[Sequence[Path]]
    if_baseline_is_better: ClassVar[str] = "the baseline is better on validation"

    @property
    def paths(self) -> ProblemPaths:
        """Where its files lie."""
        return paths_of(self.name)

    @abstractmethod
    def wording(self) -> "Wording":
        """Return how its reports speak."""

    def survey(self, source: str, values: Mapping[str, Any], options: Any) -> "Survey":
        """Look at a source, for ``rnnpipe init``, and propose the parameters that fit it.

        Args:
            source: a path, from the project's folder.
            values: of the parameter file as it stands.
            options: what a person says, as ``init.add_arguments`` beside the problem takes it.

        Raises:
            ParameterError: the problem looks at nothing.
            SourceError: the source cannot be read, or in several ways.
        """
        raise ParameterError(
            f"the problem {self.name} has no init yet: write {self.paths.params} by hand (rnnpipe"
            f" params --params {self.paths.params} explains each line)"
        )

    def recognizes(self, source: str, options: Any) -> bool:
        """Whether a source, for ``rnnpipe init``, is clearly one of this problem's; no source is, here."""
        return False

    def prepare(self, raw: Path, table: Path, params: P) -> None:
        """Read what was downloaded, a file, and write one table.

        Raises:
            ParameterError: another problem's pipeline prepares the table.
        """
        raise _elsewhere(self.name, "prepare")

    def validate(self, params: P) -> "Checks":
        """Return facts about the table, and what is expected of them.

        Raises:
            ParameterError: another problem's pipeline has checked the table.
        """
        raise _elsewhere(self.name, "validate")

    @abstractmethod
    def baseline(self, params: P) -> Mapping[str, Any]:
        """Fit the simple model that ours is shown beside, keep what it predicts, return a report."""

    @abstractmethod
    def learn(self, params: P) -> "TrainingTask":
        """Return a fresh network with all that its training needs."""

    def calibrate(self, params: P, network: Any) -> tuple[Any, Mapping[str, Any]]:
        """Return a trained network that is as sure as it is right, and figures of that.

        Here the network as it is, and none.
        """
        return network, {}

    @abstractmethod
    def export(self, network: Any, path: Path) -> None:
        """Write a trained network, to a file, in the form that is used."""

    @abstractmethod
    def check_export(self, params: P, network: Any, path: Path) -> None:
        """Ask a trained network and what was exported of it the same.

        Raises:
            TrainingError: they answer differently.
        """

    @abstractmethod
    def evaluate(self, params: P) -> Mapping[str, Any]:
        """Measure and draw; this alone opens the test split. Return ``metrics.json``'s content."""

    def gates(self, metrics: Mapping[str, Any], params: P) -> "Sequence[Gate]":
        """Return what its model must show beside what every model must, from ``metrics.json``.

        Raises:
            KeyError: a metric is missing.
        """
        return ()

    @abstractmethod
    def assemble(self, params: P, lineage: "Lineage") -> str:
        """Write the folder in which its model is registered, and return its SHA-256."""


def _elsewhere(problem: str, stage: str) -> ParameterError:
    return ParameterError(
        f"the problem {problem} has no stage {stage}: what it learns from is prepared by another"
        " problem's pipeline; run that one (dvc repro)"
    )
