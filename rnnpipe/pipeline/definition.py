"""The stages as ``dvc.yaml`` defines them: read, never written."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rnnpipe.config.load import nested_within
from rnnpipe.errors import ParameterError
from rnnpipe.storage.paths import paths_of, problem_names

# The parser in C, where PyYAML has it: ten times as fast.
_DEEPEST = 100
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Stages = Mapping[str, Mapping[str, Any]]


def load_yaml(file: Path) -> Any:
    """Read one of DVC's files, of plain values alone.

    Raises:
        OSError, ValueError, yaml.YAMLError: it cannot be read.
    """
    return parse_plain(file.read_text(encoding="utf-8"))


def parse_plain(text: str) -> Any:
    """Return what YAML of plain values alone holds.

    Raises:
        ValueError, yaml.YAMLError: it is none, or nested too deep for the parser in C.
    """
    if not nested_within(text, _DEEPEST):
        raise ValueError(f"nested deeper than {_DEEPEST} levels")
    return yaml.load(text, _Loader)  # a safe one


def definition_file(problem: str) -> Path:
    """Return the ``dvc.yaml`` of a problem's pipeline, relative to the project's folder."""
    return paths_of(problem).pipeline / "dvc.yaml"


def stages_of(problem: str, root: Path = Path()) -> Stages:
    """Return the stages of a problem's pipeline as they are defined; none without a ``dvc.yaml``.

    Args:
        problem: its name.
        root: the project's folder.

    Raises:
        ParameterError: the file cannot be read.
    """
    file = root / definition_file(problem)
    try:
        content = load_yaml(file)
        return dict(content["stages"])
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise ParameterError(
            f"{file} cannot be read as a pipeline ({type(error).__name__}): git diff {file} shows what"
            f" changed, git checkout {file} brings the committed one back"
        ) from None


def outputs(root: Path = Path()) -> Iterator[tuple[str, str, Path]]:
    """Yield all that the stages of all pipelines write: problem, stage, path from the project."""
    for problem in problem_names():
        for stage, entry in stages_of(problem, root).items():
            for kind in ("outs", "metrics", "plots"):
                for out in entry.get(kind, ()):
                    yield problem, stage, Path(out if isinstance(out, str) else next(iter(out)))


def value_at(values: Any, key: str) -> Any:
    """Return the value at a dotted key of nested mappings; None where there is none."""
    for name in key.split("."):
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def named_files(
    deps: Sequence[str], values: Mapping[str, Any], root: Path = Path()
) -> Iterator[Path]:
    """Yield the files that a stage names, in folders too; what is behind an address is not here.

    Args:
        deps: as ``dvc.yaml`` has them.
        values: of the parameter file, which stand for ``${...}``.
        root: the project's folder, which the paths yielded begin with.
    """
    for dep in deps:
        name = re.sub(r"\$\{([\w.]+)\}", lambda key: str(value_at(values, key[1])), dep)
        if "://" in name:
            continue
        path = root / name
        if path.is_dir():
            for folder, folders, names in os.walk(path):
                folders[:] = set(folders) - {"__pycache__"}  # as .dvcignore has it
                yield from (Path(folder) / each for each in names)
        elif path.exists():
            yield path
