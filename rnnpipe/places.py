"""Where each problem's files lie, relative to the project's folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """The places of one problem.

    Attributes:
        pipeline: folder of its ``dvc.yaml``, ``dvc.lock`` and ``params.yaml``.
        data: folder of its data.
        reports: folder of what it reports.
        network: folder of the trained network.
        model: folder of the model as it is registered.
        decision: the verdict on that model.
    """

    pipeline: Path
    data: Path
    reports: Path
    network: Path
    model: Path
    decision: Path

    @property
    def model_name(self) -> str:
        """What its model is called in the registry: in tags, in cards, and as DVC's artifact."""
        return self.model.name

    @property
    def params(self) -> Path:
        """The problem's parameter file."""
        return self.pipeline / "params.yaml"

    @property
    def metrics(self) -> Path:
        """The figures of the problem's evaluation."""
        return self.reports / "metrics.json"


_MODELS = Path("models")
_OLD_NAMES = {"sentiment": "classification"}  # what a problem was called before 0.2
_AT_THE_ROOT = {
    "classification": Places(
        pipeline=Path(),
        data=Path("data"),
        reports=Path("reports"),
        network=_MODELS / "network",
        model=_MODELS / "sentiment",
        decision=_MODELS / "registration.json",
    )
}


def places_of(problem: str) -> Places:
    """Return the places of a problem: at the root, or in folders of its own.

    Args:
        problem: its name, or that of its model.

    >>> places_of("forecasting").metrics.as_posix()
    'reports/forecasting/metrics.json'
    >>> places_of("classification").metrics.as_posix()
    'reports/metrics.json'
    >>> places_of("sentiment") == places_of("classification")
    True
    """
    problem = problem_named(problem)
    return _AT_THE_ROOT.get(problem) or Places(
        pipeline=Path("pipelines") / problem,
        data=Path("data") / problem,
        reports=Path("reports") / problem,
        network=_MODELS / f"{problem}_network",
        model=_MODELS / problem,
        decision=_MODELS / f"{problem}.json",
    )


def problem_named(name: str) -> str:
    """Return a problem's name of today.

    >>> problem_named("sentiment"), problem_named("forecasting")
    ('classification', 'forecasting')
    """
    return _OLD_NAMES.get(name, name)
