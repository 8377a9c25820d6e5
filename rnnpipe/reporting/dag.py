"""The stages of a pipeline and what each waits for, read from its dvc.yaml."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rnnpipe.errors import RnnpipeError


def read_dag(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the stages of a ``dvc.yaml`` and which of them each depends on, in topological order.

    A stage depends on another when one of its deps is an output of it, lies in one, or holds one.

    Raises:
        RnnpipeError: the file is missing or names no stages, or they depend on one another in a
            circle.
    """
    try:
        stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
        outputs = {
            name: [
                _path(entry) for kind in ("outs", "metrics", "plots") for entry in _of(stage, kind)
            ]
            for name, stage in stages.items()
        }
        needs = {
            name: {
                other
                for dep in map(_path, _of(stage, "deps"))
                for other, made in outputs.items()
                if any(dep == out or dep in out.parents or out in dep.parents for out in made)
            }
            for name, stage in stages.items()
        }
    except FileNotFoundError:
        raise RnnpipeError(f"{path} is not here: run this in the project's folder") from None
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise RnnpipeError(f"{path} names no stages: found {type(error).__name__}") from error
    ordered: dict[str, tuple[str, ...]] = {}
    while len(ordered) < len(needs):
        ready = [name for name in needs if name not in ordered and needs[name] <= set(ordered)]
        if not ready:
            circle = ", ".join(sorted(set(needs) - set(ordered)))
            raise RnnpipeError(f"{path}: {circle} depend on one another in a circle")
        # One at a time, so that the order stays as near as can be to that of the file.
        ordered[ready[0]] = tuple(name for name in ordered if name in needs[ready[0]])
    return ordered


def _of(stage: Mapping[str, Any], kind: str) -> Sequence[Any]:
    return stage.get(kind) or ()


def _path(entry: Any) -> Path:
    """An entry of dvc.yaml is a path, or a mapping of one path to its options."""
    return Path(next(iter(entry)) if isinstance(entry, dict) else entry)


def direct(dag: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Leave out the edges that follow from others: what a person wants drawn.

    >>> direct({"a": (), "b": ("a",), "c": ("a", "b")})
    {'a': (), 'b': ('a',), 'c': ('b',)}
    """
    above: dict[str, set[str]] = {}
    for name, needs in dag.items():
        above[name] = set(needs).union(*(above[other] for other in needs))
    return {
        name: tuple(
            one for one in needs if not any(one in above[other] for other in needs if other != one)
        )
        for name, needs in dag.items()
    }
