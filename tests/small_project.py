"""A copy of the project on a small generated corpus, for tests of its sentiment pipeline alone."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from rnnpipe.sandbox import Sandbox, make_demo

ROOT = Path(__file__).parents[1]


def make_small_project(folder: Path, reviews: int, params: Mapping[str, object]) -> Sandbox:
    """Make it, with other parameters by dotted name; nothing has run, nothing is committed."""
    sandbox = make_demo(ROOT, folder, reviews)
    # The other pipelines would have no results, which `dvc pull` and `dvc exp apply` ask for.
    shutil.rmtree(sandbox.folder / "pipelines")
    set_params(sandbox.folder, params)
    return sandbox


def set_params(folder: Path, values: Mapping[str, object]) -> None:
    """Change values, by dotted name, in the params.yaml of a folder."""
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for key, value in values.items():
        section, name = key.split(".")
        params[section][name] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False))
