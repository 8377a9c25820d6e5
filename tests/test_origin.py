"""Two runs of one origin and one seed have the same figures; what decides them is in it, no more."""

import re
import shutil
from pathlib import Path

import pytest

from rnnpipe.pipeline.origin import origin_of
from rnnpipe.storage.paths import paths_of, problem_names

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project's code and parameters, without data."""
    folder = tmp_path_factory.mktemp("origin") / "project"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("rnnpipe", "pipelines"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    (folder / "data").mkdir()
    for path in ("dvc.yaml", "params.yaml", "data/imdb.json", "data/etth1.json"):
        shutil.copy(ROOT / path, folder / path)
    return folder


@pytest.fixture(scope="module")
def before(project):
    return origins(project)


def origins(project):
    return {problem: origin_of(project, problem) for problem in problem_names()}


def changed(project, before, file, change):
    """Return the problems whose origin a change to a file moves; the file is brought back."""
    path = project / file
    content = path.read_text()
    path.write_text(change(content))
    assert path.read_text() != content
    try:
        after = origins(project)
    finally:
        path.write_text(content)
    return {problem for problem in before if before[problem] != after[problem]}


def another_seed(text):
    head, train, rest = text.partition("\ntrain:")
    return head + train + re.sub(r"seed: \d+", "seed: 99", rest, count=1)


def test_the_seed_of_the_training_is_no_part_of_it(project, before):
    for problem in problem_names():
        assert changed(project, before, paths_of(problem).params, another_seed) == set()


@pytest.mark.parametrize(
    ("file", "problems"),
    [
        ("rnnpipe/problems/forecasting/network.py", {"forecasting"}),
        ("rnnpipe/problems/forecasting/evaluate.py", {"forecasting"}),
        ("rnnpipe/networks/training.py", set(problem_names())),
        ("rnnpipe/text/splits.py", {"classification", "language_model"}),
        ("data/etth1.json", {"forecasting"}),
        ("data/imdb.json", {"classification", "language_model"}),
        ("rnnpipe/reporting/report.html", set()),
        ("rnnpipe/problems/forecasting/register.py", set()),
        ("rnnpipe/commands/project_copy.py", set()),
    ],
)
def test_what_decides_the_figures_is_part_of_it(project, before, file, problems):
    assert changed(project, before, file, lambda text: f"{text}\n") == problems


def test_a_parameter_is_part_of_what_reads_it(project, before):
    def smaller(text):
        return text.replace("min_count:", "min_count: 1  #")

    assert changed(project, before, "params.yaml", smaller) == {"classification", "language_model"}
