"""Where each problem's files lie, relative to the project's folder."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules


@dataclass(frozen=True)
class ProblemPaths:
    """The paths of one problem.

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
    def run(self) -> str:
        """The command that runs its pipeline.

        >>> paths_of("classification").run, paths_of("forecasting").run
        ('dvc repro', 'dvc repro pipelines/forecasting/dvc.yaml')
        """
        if self.pipeline == Path():
            return "dvc repro"
        return f"dvc repro {(self.pipeline / 'dvc.yaml').as_posix()}"

    @property
    def metrics(self) -> Path:
        """The figures of the problem's evaluation."""
        return self.reports / "metrics.json"


_MODELS = Path("models")
_OLD_NAMES = {"sentiment": "classification"}  # what a problem was called before 0.2
_AT_THE_ROOT = {
    "classification": ProblemPaths(
        pipeline=Path(),
        data=Path("data"),
        reports=Path("reports"),
        network=_MODELS / "network",
        model=_MODELS / "sentiment",
        decision=_MODELS / "registration.json",
    )
}


def paths_of(problem: str) -> ProblemPaths:
    """Return the paths of a problem: at the root, or in folders of its own.

    Args:
        problem: its name, or that of its model.

    >>> paths_of("forecasting").metrics.as_posix()
    'reports/forecasting/metrics.json'
    >>> paths_of("classification").metrics.as_posix()
    'reports/metrics.json'
    >>> paths_of("sentiment") == paths_of("classification")
    True
    """
    problem = current_name(problem)
    return _AT_THE_ROOT.get(problem) or ProblemPaths(
        pipeline=Path("pipelines") / problem,
        data=Path("data") / problem,
        reports=Path("reports") / problem,
        network=_MODELS / f"{problem}_network",
        model=_MODELS / problem,
        decision=_MODELS / f"{problem}.json",
    )


def path_in_project(path: str) -> str:
    """Return a path as DVC takes it: from the project's folder where it lies in there, else a whole one."""
    found = Path(path).absolute()
    here = Path().absolute()
    return found.relative_to(here).as_posix() if found.is_relative_to(here) else found.as_posix()


def current_name(name: str) -> str:
    """Return a problem's name of today.

    >>> current_name("sentiment"), current_name("forecasting")
    ('classification', 'forecasting')
    """
    return _OLD_NAMES.get(name, name)


def problem_names() -> tuple[str, ...]:
    """Return the names of all problems: those of the folders in ``rnnpipe/problems/``."""
    spec = find_spec("rnnpipe.problems")  # found, not imported
    folders = spec.submodule_search_locations if spec else None
    return tuple(sorted(found.name for found in iter_modules(folders) if found.ispkg))


def stage_files() -> dict[str, Path]:
    """Return a file of every stage by its name; one that no problem shares stands in each's own."""
    return {
        path.stem: path
        for package in (*(f"problems.{name}.stages" for name in problem_names()), "stages")
        for path in _modules(package)
    }


def stage_module(problem: str, stage: str) -> str:
    """Return the module of a problem's stage: the one that all problems share, else its own."""
    shared = f"rnnpipe.stages.{stage}"
    return shared if find_spec(shared) else f"rnnpipe.problems.{problem}.stages.{stage}"


def command_modules() -> dict[str, str]:
    """Return the modules of the problems' own commands by the command's name."""
    return {
        path.stem: f"rnnpipe.problems.{problem}.commands.{path.stem}"
        for problem in problem_names()
        for path in _modules(f"problems.{problem}.commands")
    }


def init_modules() -> list[str]:
    """Return the modules that say what ``rnnpipe init`` can be told, of the problems that have one."""
    named = [f"rnnpipe.problems.{problem}.init" for problem in problem_names()]
    return [module for module in named if find_spec(module)]


def _modules(package: str) -> list[Path]:
    spec = find_spec(f"rnnpipe.{package}")
    folders = (spec.submodule_search_locations or []) if spec else []
    return [path for folder in folders for path in sorted(Path(folder).glob("[!_]*.py"))]
