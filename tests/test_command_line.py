import os
import shutil
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


# --- What no command may answer with a traceback --------------------------------------------


def as_a_folder(path: Path) -> None:
    path.mkdir()


def as_a_circle(path: Path) -> None:
    path.symlink_to(path)


def as_a_link_to_nowhere(path: Path) -> None:
    path.symlink_to(path.parent / "gone")


def as_nothing(path: Path) -> None:
    path.write_bytes(b"")


def as_no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")


def as_a_conflict(path: Path) -> None:
    path.write_text('<<<<<<< ours\n{"a": 1}\n=======\n{"a": 2}\n>>>>>>> theirs\n')


def as_endless_digits(path: Path) -> None:
    path.write_text('{"a": ' + "9" * 5000 + "}")


def as_a_deep_nest(path: Path) -> None:
    path.write_text("[" * 100_000)


def as_a_list(path: Path) -> None:
    path.write_text("[1, 2]")


DAMAGES = [
    as_a_folder,
    as_a_circle,
    as_a_link_to_nowhere,
    as_nothing,
    as_no_text,
    as_a_conflict,
    as_endless_digits,
    as_a_deep_nest,
    as_a_list,
]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("params.yaml", ["train"]),
        ("params.yaml", ["params"]),
        ("params.yaml", ["try", "params.yaml"]),
        ("dvc.yaml", ["validate"]),
        ("data/imdb.json", ["download"]),
        ("reports/metrics.json", ["register"]),
        ("reports/validation.json", ["report"]),
        ("models/registration.json", ["report"]),
        ("models/sentiment", ["predict", "a film"]),
        ("models/sentiment/params.json", ["predict", "a film"]),
        ("texts.csv", ["predict", "--file", "texts.csv"]),
        ("texts.parquet", ["predict", "--file", "texts.parquet"]),
    ],
)
def test_a_damaged_file_is_a_sentence(tmp_path, monkeypatch, capsys, damage, file, command):
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.yaml", "data/imdb.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if name != file:
            shutil.copy(ROOT / name, tmp_path / name)
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True, parents=True)
    damage(path)
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    code = main(command)
    told = capsys.readouterr().err.strip()
    if damage is as_a_link_to_nowhere and command == ["report"]:
        assert code == 0  # a section that is not there yet
        return
    assert code in (1, 2), told
    assert "Traceback" not in told
    assert "unexpected" not in told
    assert len(told.splitlines()) == 1, told
    assert len(told) < 1000
    left = {p.relative_to(tmp_path) for p in tmp_path.rglob("*")} - set(before)
    assert {p for p in left if p.parts[0] != ".rnnpipe"} <= {Path("data")}, left


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000, "a\0b", "/dev/null/x", "\udcff.yaml"])
@pytest.mark.parametrize("command", [["params", "--params"], ["try"], ["predict", "--file"]])
def test_a_path_that_cannot_be_is_a_sentence(tmp_path, monkeypatch, capsys, name, command):
    monkeypatch.chdir(tmp_path)
    suffix = ".csv" if "--file" in command else ".yaml"
    assert main([*command, name + suffix]) in (1, 2)
    told = capsys.readouterr().err.strip()
    assert "Traceback" not in told
    assert "unexpected" not in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("locale", ["C", "POSIX", "xx_XX.ISO-8859-1"])
def test_texts_are_the_same_in_every_locale(locale):
    """Bytes in, the same words out: from arguments, standard input, and back to the terminal."""
    code = (
        "import sys, locale\n"
        f"if {'ISO' in locale} and not sys.flags.utf8_mode:\n"
        "    locale.getencoding = lambda: 'ISO-8859-1'\n"  # few systems have such a locale
        "from rnnpipe.runtime.encoding import ensure_utf8\n"
        "ensure_utf8()\n"
        "print(sys.argv[1], sys.stdin.read(), ascii(sys.argv[1]))\n"
    )
    word = "naïve 猫"
    variables = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code, word.encode()],
        cwd=ROOT,
        env={**os.environ, **variables},
        input=word.encode(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == f"{word} {word} {word!a}\n"


@pytest.mark.parametrize("command", [["predict", "ok", "caf\udce9"], ["generate", "caf\udce9"]])
def test_text_that_is_no_utf8_is_refused_by_its_number(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 1
    assert f"text {len(command) - 1} holds bytes that are no UTF-8" in capsys.readouterr().err
