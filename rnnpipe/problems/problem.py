"""What a problem is to the stages: names, places and functions, no branch anywhere."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rnnpipe.places import Places, places_of
from rnnpipe.selection import Selection, Wording


@dataclass(frozen=True)
class Problem:
    """A problem as a value: whatever differs from one problem to the next.

    Its functions are given the problem's own parameters and read and write below its places.
    They stand here by name (:class:`Later`): a stage executes, and depends on, what it needs alone.

    Attributes:
        name: of the problem, of its model, and of its pipeline's folder.
        table: what ``prepare`` writes.
        selection: how its models are compared.
        wording: how its reports speak.
        shaping: the sections of its parameters that shape what is learnt; the others only judge.
        prepare: what was downloaded (a file) to one table (another).
        checks: facts and expectations, by the stage that checks them
            (:class:`rnnpipe.validation.Checks`).
        baseline: fits the simple model that ours is shown beside; returns its report.
        inputs: files and folders that decide what the training learns.
        learn: a fresh network with all that its training needs
            (:class:`rnnpipe.training.Learner`).
        export: writes a trained network, to a file, in the form that is used
            (:mod:`rnnpipe.exporting`).
        check_export: asks a trained network and what was exported of it the same, given parameters,
            network and file; refuses where they differ.
        evaluate: takes every figure and draws every picture; it alone opens the test split.
            Returns the content of ``metrics.json``.
        steps: results that a model's lineage names, the table first.
        suites: the validation reports that the verdict depends on.
        assemble: writes the model's folder from the lineage; see :mod:`rnnpipe.registry`.
    """

    name: str
    table: Path
    selection: Selection
    wording: Wording
    shaping: frozenset[str]
    prepare: Callable[[Path, Path, Any], None]
    checks: Mapping[str, Callable[[Any], Any]]
    baseline: Callable[[Any], Mapping[str, Any]]
    inputs: Sequence[Path]
    learn: Callable[[Any], Any]
    export: Callable[[Any, Path], None]
    check_export: Callable[[Any, Any, Path], None]
    evaluate: Callable[[Any], Mapping[str, Any]]
    steps: Mapping[str, Path]
    suites: Sequence[Path]
    assemble: Callable[[Any, Any], str]

    @property
    def places(self) -> Places:
        """Where its files lie."""
        return places_of(self.name)


@dataclass(frozen=True)
class Later:
    """A function that is imported when it is called first, by its ``package.module:function``."""

    names: str

    def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        module, _, function = self.names.partition(":")
        return getattr(import_module(module), function)(*arguments)
