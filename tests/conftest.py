from pathlib import Path

import pytest

from rnnpipe.params import Params, load_params

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def params() -> Params:
    """The project's own parameters."""
    return load_params(ROOT / "params.yaml")
