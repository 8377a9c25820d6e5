"""``~`` in a path: understood by every command in its arguments, refused in parameters."""

import argparse
from pathlib import Path

import pytest

from rnnpipe.__main__ import _parser, main
from rnnpipe.config.load import check_params
from rnnpipe.errors import ParameterError
from rnnpipe.problems.forecasting.params import ForecastingParams


def arguments() -> list[tuple[list[str], str]]:
    """Every command with an argument that is a path, and what holds it."""
    return [
        (["train", "--params", "~/mine"], "params"),
        (["params", "--params=~/mine"], "params"),
        (["try", "~/mine"], "params"),
        (["corpus", "~/mine"], "out"),
        (["predict", "--file", "~/mine"], "file"),
        (["predict", "good", "--model", "~/mine"], "model"),
        (["forecast", "~/mine"], "file"),
        (["forecast", "a.csv", "--model=~/mine"], "model"),
        (["generate", "it is", "--model=~/mine"], "model"),
    ]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("given", "name"), arguments(), ids=lambda value: str(value))
def test_every_command_knows_the_home_folder(home, given, name):
    assert Path(getattr(_parser().parse_args(given), name)) == home / "mine"


def test_no_argument_that_takes_a_path_is_left_out():
    """Another ``type=Path`` would be a command that does not know it."""
    (commands,) = (a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    actions = [action for command in commands.choices.values() for action in command._actions]
    assert not [action.option_strings or action.dest for action in actions if action.type is Path]


@pytest.mark.parametrize("name", ["v0.1.0", "prod", "-", "./~mine", "models/~"])
def test_what_is_no_path_from_home_stays(name):
    assert _parser().parse_args(["predict", "good", "--model", name]).model == name


def test_the_home_of_nobody_known_is_one_sentence(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["corpus", "~nobody-of-this-name/mine"])
    assert "~nobody-of-this-name/mine', whose home folder nobody knows" in capsys.readouterr().err


@pytest.mark.parametrize("problem", ["classification", "forecasting"])
@pytest.mark.parametrize("source", ["~/mine.csv", "~", "~ann/mine.parquet"])
def test_parameters_say_whole_paths_as_dvc_must(params, problem, source):
    kind = ForecastingParams() if problem == "forecasting" else params
    values = kind.model_dump(by_alias=True)
    values["download"]["source"] = source
    with pytest.raises(ParameterError, match=f"download.source is '{source}', expected a path"):
        check_params(values)
    values["download"]["source"] = f"./{source}"
    check_params(values)
