"""Networks written by version 0.1 load and answer as they did, whatever their classes are called now.

``files/*_0.1.keras`` were written at commit 4ab74ea by the functions that build small networks for
the tests, ``files/answers_0.1.npz`` is what those networks answered then.
"""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from language import drawn
from networks import BATCH
from test_forecasters import past

from rnnpipe.networks.saving import load_network, save_network
from rnnpipe.problems.language_model.judging import judge_texts

FILES = Path(__file__).parents[1] / "files"
ANSWERS = {
    "classifier": lambda network: network(BATCH).numpy(),
    "forecaster": lambda network: network(past()).numpy(),
    "language_model": lambda network: judge_texts(network, drawn(6), np.arange(6), 2),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_old_network_answers_as_it_did_and_is_saved_anew_without_its_modules(kind, tmp_path):
    network = load_network(FILES / f"{kind}_0.1.keras")
    expected = np.load(FILES / "answers_0.1.npz")[kind]
    np.testing.assert_allclose(ANSWERS[kind](network), expected, rtol=1e-5, atol=1e-6)
    save_network(network, tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as written:
        config = written.read("config.json").decode()
    assert "rnnpipe>" in config
    assert "rnnpipe." not in config
    again = load_network(tmp_path / "new.keras")
    np.testing.assert_allclose(ANSWERS[kind](again), expected, rtol=1e-5, atol=1e-6)


def test_a_file_keeps_no_module_of_ours_wherever_it_stands_in_the_network(tmp_path):
    network = load_network(FILES / "forecaster_0.1.keras")
    save_network(network, tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as written:
        config = json.loads(written.read("config.json"))

    def modules(value):
        if isinstance(value, dict):
            yield from ([value["module"]] if "module" in value else [])
            for item in value.values():
                yield from modules(item)
        elif isinstance(value, list):
            for item in value:
                yield from modules(item)

    found = set(modules(config))
    assert found
    assert all(module in (None, "rnnpipe") or module.startswith("keras") for module in found)
