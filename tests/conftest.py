from pathlib import Path

import pytest
import stage_code
from small_project import set_params

from rnnpipe.params import Params, load_params
from rnnpipe.sandbox import Sandbox, make_demo

ROOT = Path(__file__).parents[1]
REVIEWS = 1200
Executed = dict[tuple[str, ...], set[Path]]


@pytest.fixture(scope="session")
def params() -> Params:
    """The project's own parameters."""
    return load_params(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def finished_and_executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sandbox, Executed]:
    """The project after one ``dvc repro -P`` on small data, committed; what each stage executed.

    All pipelines: ``dvc exp apply`` and ``dvc push`` want the outputs of each. Tests copy it, none
    changes it.
    """
    sandbox = make_demo(ROOT, tmp_path_factory.mktemp("finished") / "project", REVIEWS)
    set_params(
        sandbox.folder,
        {
            "validate.min_labelled": 100,
            "train.epochs": 1,
            "train.hidden_size": 8,
            "evaluate.bootstrap_samples": 100,
            "register.min_validation_accuracy": 0.0,
            "register.require_better_than_baseline": False,
        },
    )
    # So that few reviews are many steps.
    set_params(sandbox.folder / "pipelines/language_model", {"train.batch_size": 8})
    sandbox.commit("Begin")
    notes = tmp_path_factory.mktemp("notes")
    stage_code.noting(sandbox, notes).reproduce("--all-pipelines")
    sandbox.commit("Run the pipelines")
    return sandbox, stage_code.executed(sandbox, notes)


@pytest.fixture(scope="session")
def finished(finished_and_executed: tuple[Sandbox, Executed]) -> Sandbox:
    """The finished project alone."""
    return finished_and_executed[0]
