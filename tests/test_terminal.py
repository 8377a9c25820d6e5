"""Text of others on a terminal and in a spreadsheet: it is shown, and does nothing."""

import csv
import io
import logging
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnpipe.problems.classification.predict as predict_module
import rnnpipe.problems.forecasting.forecast as forecast_module
import rnnpipe.problems.language_model.generation as generation_module
from rnnpipe.__main__ import main
from rnnpipe.errors import RegistryError, printable
from rnnpipe.problems.classification.predict import Prediction
from rnnpipe.problems.forecasting.forecast import Forecast
from rnnpipe.problems.language_model.generation import Continuation
from rnnpipe.storage.spreadsheet import plain_cell

HARM = {
    "colour": "\x1b[31mred",
    "screen": "\x1b[2J\x1b[H",
    "title": "\x1b]0;evil\x07",
    "C1": "\x9b31mred",
    "return": "fine\rWRONG",
    "line": "fine\nrnnpipe: all is well",
    "separator": "fine\u2028more\u2029more\x85more",
    "backspace": "abc\x08\x08",
    "bell": "\x07",
    "override": "\u202egnp.exe",
    "isolate": "\u2067x\u2069",
    "mark": "\u200fx\u200e",
    "unseen": "a\u200b\u2060\ufeff\u00ad",
    "tags": "x\U000e0041\U000e0042",
    "half": "\udc9b31m",
    "nul": "a\0b",
}
FINE = [
    "pos",
    "très bien, größer, œuvre",
    "Отлично 很好 とても 좋아요 ممتاز नमस्ते ไทย",
    "می‌خواهم",  # a joiner within the word
    "👩‍👩‍👧‍👦 👍🏽 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️",
    "e\u0301 non-breaking\u00a0space",
    "؀123",
]


def harmless(text: str) -> bool:
    """Whether no character steers a terminal."""
    unseen = {"Cc", "Cs", "Zl", "Zp"}
    bidi = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    return not any(unicodedata.category(char) in unseen or char in bidi for char in text)


@pytest.mark.parametrize("name", HARM)
def test_what_steers_a_terminal_is_escaped(name):
    shown = printable(HARM[name])
    assert harmless(shown)
    assert "\\" in shown


@pytest.mark.parametrize("text", FINE)
def test_letters_and_emoji_stay(text):
    assert printable(text) == text


@given(st.text())
def test_no_text_steers_a_terminal_and_lines_stay_where_they_are_ours(text):
    assert harmless(printable(text))
    lines = printable(text, several_lines=True)
    assert lines.split("\n") == [printable(line) for line in text.split("\n")]


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
def test_no_letter_mark_or_sign_is_touched(text):
    assert printable(text) == text


# --- Where the commands print ----------------------------------------------------------------


class Answers:
    """A loaded model that answers with what it was given."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def predict(self, texts: object, progress: bool) -> object:
        return [self.answer]

    def forecast(self, *options: object) -> object:
        return self.answer


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_labels_words_columns_and_errors_are_printed_harmlessly(
    harm, monkeypatch, capsys, tmp_path
):
    answer = Prediction(harm, 0.5, 1)
    monkeypatch.setattr(predict_module, "load_model", lambda model: Answers(answer))
    assert main(["predict", "text"]) == 0
    monkeypatch.setattr(generation_module, "load_language_model", lambda model: (None, None))
    found = Continuation((harm,), True, 1)
    monkeypatch.setattr(generation_module, "generate", lambda *given: found)
    assert main(["generate", "text" if "\udc9b" in harm else harm]) == 0  # that is no text
    times = np.array(["2026-01-01"], "datetime64[us]")
    forecast = Forecast(times, np.ones((1, 1)), (harm,), harm)
    monkeypatch.setattr(
        forecast_module, "load_forecaster", lambda model, baseline: Answers(forecast)
    )
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)  # elsewhere it reads back alike
    assert main(["forecast", "series.csv", "--time-column", harm]) == 0

    def fails(model: str) -> None:
        raise RegistryError(f"{harm} is no model")

    monkeypatch.setattr(predict_module, "load_model", fails)
    assert main(["predict", "text"]) == 1
    assert main(["predict", "--file", str(tmp_path / f"{harm.replace(chr(0), '')}.csv")]) == 1
    with pytest.raises(SystemExit):
        main(["publish", harm])
    shown = capsys.readouterr()
    lines = [*shown.out.split("\n"), *shown.err.split("\n")]
    assert all(map(harmless, lines))
    assert len([line for line in lines if line.startswith("rnnpipe: ")]) == 3
    assert len(shown.out.splitlines()) == 4


def test_a_log_line_is_one_line_and_harmless(capsys):
    logging.getLogger().handlers.clear()
    main(["predict"])  # sets the log up
    logging.getLogger("rnnpipe").warning("found %s", "\x1b[31mred\nrnnpipe: fine")
    assert "found \\x1b[31mred\\nrnnpipe: fine\n" in capsys.readouterr().err


# --- Spreadsheets -----------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
@pytest.mark.parametrize("before", ["", " ", "\u00a0", "\ufeff", "\0", "\u200b"])
def test_no_cell_begins_like_a_formula(first, before):
    text = f"{before}{first}cmd|' /C calc'!A0"
    assert plain_cell(text) == f"'{text}"


@given(st.text())
def test_a_cell_is_its_text_behind_at_most_an_apostrophe(text):
    assert plain_cell(text) in (text, f"'{text}")
    assert plain_cell(text).lstrip()[:1] not in ("=", "+", "-", "@")


@pytest.mark.parametrize("text", ["A film.", "1 = 1", "a-b", "'tis", "", "me@home"])
def test_an_ordinary_cell_is_as_it_was(text):
    assert plain_cell(text) == text


def test_the_mistakes_of_an_evaluation_hold_no_formula(tmp_path, monkeypatch):
    from rnnpipe.problems.classification import evaluate

    texts = ['=HYPERLINK("http://x")', "Good, very good", "-1 for it", "@me"]
    ids = [f"row/{i}" for i in range(4)]
    reviews = tmp_path / "reviews.parquet"
    pd.DataFrame({"id": ids, "text": texts}).to_parquet(reviews)
    monkeypatch.setattr(evaluate, "REVIEWS", reviews)
    test = pd.DataFrame({"id": ids, "label": 0, "probability": [0.9, 0.8, 0.7, 0.6]})
    written = evaluate._mistakes(test, ("neg", "pos"), 4).to_csv(index=False)
    rows = list(csv.DictReader(io.StringIO(written)))
    assert [row["text"] for row in rows] == [f"'{texts[0]}", texts[1], "'-1 for it", "'@me"]
    assert [row["id"] for row in rows] == ids


def test_every_table_for_people_goes_through_one_function():
    root = Path(__file__).parents[1]
    writers = {
        path.relative_to(root).as_posix()
        for package in ("rnnpipe", "flows")
        for path in (root / package).rglob("*.py")
        if any(word in path.read_text(encoding="utf-8") for word in ("to_csv(", "csv.writer("))
        and "plain_cell" not in path.read_text(encoding="utf-8")
    }
    # Numbers and our own words alone; and what makes data, which must be as they are.
    assert writers <= {
        "rnnpipe/problems/classification/stages/gradient_flow.py",
        "rnnpipe/problems/classification/generated.py",
        "rnnpipe/problems/forecasting/generated.py",
    }
