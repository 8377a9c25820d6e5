"""What a problem's figures come from: code, sources and parameters, told before anything runs."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnpipe.config.load import read_values
from rnnpipe.pipeline.definition import named_files, outputs, stages_of, value_at
from rnnpipe.storage.files import sha256_file
from rnnpipe.storage.paths import paths_of, problem_names


def origin_of(root: Path, problem: str) -> str:
    """Return a SHA-256, in hex, of all that decides a problem's metrics but the training's seed.

    Hashed are the commands, parameters and files of the stages that ``metrics.json`` depends on, of
    other pipelines too, but not what a stage has written. Two projects of one origin and one seed
    have the same metrics.

    Args:
        root: a project's folder, or a copy's.
        problem: its name.

    Raises:
        ParameterError: a ``dvc.yaml`` or a parameter file cannot be read.
    """
    stages = {name: stages_of(name, root) for name in problem_names()}
    makers = {path: (name, stage) for name, stage, path in outputs(root)}
    parameters: dict[Path, dict[str, Any]] = {}

    def values_in(file: Path) -> dict[str, Any]:
        if file not in parameters:
            parameters[file] = read_values(root / file)
            if file == paths_of(problem).params:
                parameters[file].get("train", {}).pop("seed", None)
        return parameters[file]

    found: dict[str, Any] = {}
    waiting = [makers[paths_of(problem).metrics]]
    while waiting:
        name, stage = waiting.pop()
        if f"{name}/{stage}" in found:
            continue
        entry, own = stages[name][stage], paths_of(name).params
        made = {dep: maker for dep in entry.get("deps", ()) if (maker := _maker(dep, makers))}
        waiting += made.values()
        given = [dep for dep in entry.get("deps", ()) if dep not in made]
        found[f"{name}/{stage}"] = {
            "command": entry.get("cmd"),
            "parameters": {
                f"{file}: {key}": value_at(values_in(Path(file)), key)
                for part in entry.get("params", ())
                for file, keys in ({own: [part]} if isinstance(part, str) else part).items()
                for key in keys or ()
            },
            "files": {
                path.relative_to(root).as_posix(): sha256_file(path)
                for path in named_files(given, values_in(own), root)
            },
        }
    text = json.dumps(found, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _maker(dep: str, makers: Mapping[Path, tuple[str, str]]) -> tuple[str, str] | None:
    """Return who writes a file, or the folder that it lies in; None: no stage."""
    path = Path(dep)
    return next((makers[each] for each in (path, *path.parents) if each in makers), None)
