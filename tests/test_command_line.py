import subprocess
import sys
from pathlib import Path

import pytest

from rnnpipe.__main__ import main
from rnnpipe.storage.paths import command_modules, stage_files

ROOT = Path(__file__).parents[1]


def test_help_names_every_stage_and_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out.split()
    for name in (
        *stage_files(),
        *command_modules(),
        "params",
        "publish",
        "models",
        "promote",
        "rollback",
        "demo",
    ):
        assert name in shown


@pytest.mark.parametrize(
    "heavy", ["tensorflow", "great_expectations", "pandas", "prefect", "pydantic"]
)
def test_help_loads_nothing_heavy(heavy):
    code = (
        "import sys, contextlib\n"
        "from rnnpipe.__main__ import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        f"sys.exit({heavy!r} in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def test_params_prints_meaning_impact_range_and_value(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["params"]) == 0
    shown = capsys.readouterr().out
    assert 'train.cell = "' in shown
    assert "simple_rnn | lstm | gru" in shown
    assert "int >= 1, <= 4096" in shown
    assert "impact: " in shown


def test_an_error_is_a_line_and_a_code_not_a_traceback(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sequences"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert "params.yaml" in captured.err


def test_debug_shows_the_traceback(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match="params.yaml"):
        main(["sequences", "--debug"])


def test_a_misspelt_parameter_stops_a_stage_before_it_starts(tmp_path, capsys, monkeypatch):
    text = (ROOT / "params.yaml").read_text().replace("hidden_size", "hiden_size")
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert main(["train"]) == 2
    assert "did you mean hidden_size?" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["predict"], ["predict", "text", "--file", "reviews.csv"]])
def test_predict_wants_texts_from_one_place(arguments, capsys):
    assert main(arguments) == 1
    assert "text" in capsys.readouterr().err
