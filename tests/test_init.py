"""`rnnpipe init`: what it says of a file is what the pipeline then reads, and nothing else changes."""

import argparse
import csv
import gzip
import io
import json
import re
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpipe.__main__ import main
from rnnpipe.config.load import load_params, params_of, parse_values
from rnnpipe.config.rewrite import Change, default_of, rewritten, whole_file
from rnnpipe.errors import ParameterError, SourceError
from rnnpipe.problems.classification.own_table import prepare_table
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.problems.classification.survey import survey
from rnnpipe.storage.download import fetch

ROOT = Path(__file__).parents[1]
PARAMS = (ROOT / "params.yaml").read_text()
THINGS = ["lamp", "soup", "tent", "waiter", "radio", "kettle"]
WORDS = [
    f"The {a} was {b} though the {c} was late, number"
    for a in THINGS
    for b in ("fine", "awful")
    for c in THINGS
]
ROWS = [(f"{WORDS[i % len(WORDS)]} {i}", ("good", "bad")[i * 7 % 11 % 2]) for i in range(60)]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project's folder of which only the parameters and the definition are there."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(head: str, rows: list[tuple[Any, ...]], encoding: str = "utf-8", **how: Any) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, **how).writerows([head.split(), *rows])
    return file.getvalue().encode(encoding)


def with_column(value: Callable[[int], Any]) -> list[tuple[Any, ...]]:
    return [(*row, value(number)) for number, row in enumerate(ROWS)]


def values() -> dict[str, Any]:
    return yaml.safe_load(Path("params.yaml").read_text())


READ: dict[str, tuple[str, bytes, dict[str, Any]]] = {
    "plain": ("a.csv", table("review sentiment", ROWS), {"text": "review", "label": "sentiment"}),
    "author": (
        "a.csv",
        table("review sentiment author", with_column(lambda i: f"ann{i % 15}")),
        {"group": "author"},
    ),
    "few groups": (
        "a.csv",
        table("review sentiment product", with_column(lambda i: "AB"[i % 2])),
        {"group": None},
    ),
    "two groups": (
        "a.csv",
        table(
            "reviewText overall reviewerID asin",
            [(*row, f"u{i % 30}", f"p{i % 20}") for i, row in enumerate(ROWS)],
        ),
        {"text": "reviewText", "label": "overall", "group": "reviewerID"},
    ),
    "split words": (
        "a.csv",
        table("review sentiment part", with_column(lambda i: ["Train", "dev", "TEST"][i % 3])),
        {"split": "part", "label": "sentiment"},
    ),
    "no test": (
        "a.csv",
        table("review sentiment split", with_column(lambda i: ["train", "dev"][i % 2])),
        {"split": None},
    ),
    "title and text": (
        "a.csv",
        table("title review stars", [(t[:25], t, i % 5) for i, (t, _) in enumerate(ROWS)]),
        {"text": "review", "label": "stars"},
    ),
    "nothing called so": (
        "a.csv",
        table("a b c", [(i, label, text) for i, (text, label) in enumerate(ROWS)]),
        {"text": "c", "label": "b"},
    ),
    "label in numbers and words": (
        "a.csv",
        table("text label label_text", [(t, int(x == "bad"), x) for t, x in ROWS]),
        {"label": "label_text"},
    ),
    "Chinese": (
        "a.csv",
        table(
            "评论 标签", [("这个灯很好看" * (i % 3 + 1) + str(i), "好坏"[i % 2]) for i in range(60)]
        ),
        {"text": "评论", "label": "标签"},
    ),
    "ids and dates of reviews": (
        "a.csv",
        table(
            "reviewId content score review_url review_date",
            [
                (f"gp:{i:070x}", t, i % 5, f"https://a.b/{i:060x}", "Mon Apr 06 22:19:45 PDT 2009")
                for i, (t, _) in enumerate(ROWS)
            ],
        ),
        {"text": "content", "label": "score"},
    ),
    "questions for names": (
        "a.csv",
        b'"What did you like best about your stay, in your own words?",'
        b'"All in all, how do you rate your stay with us?"\n' + table("", ROWS)[2:],
        {
            "text": "What did you like best about your stay, in your own words?",
            "label": "All in all, how do you rate your stay with us?",
        },
    ),
    "names that pandas counts": ("a.csv", table("0 1", ROWS), {"text": "0", "label": "1"}),
    "an index and names that pandas counts": (
        "a.csv",
        b",0,1\n" + table("", [(i, *row) for i, row in enumerate(ROWS)])[2:],
        {"text": "0", "label": "1"},
    ),
    "tsv": ("a.tsv", table("review sentiment", ROWS, delimiter="\t"), {"text": "review"}),
    "semicolons": ("a.csv", table("review sentiment", ROWS, delimiter=";"), {"text": "review"}),
    "bars": ("a.csv", table("review sentiment", ROWS, delimiter="|"), {"text": "review"}),
    "sep=": (
        "a.csv",
        b"sep=;\r\n" + table("review sentiment", ROWS, delimiter=";"),
        {"text": "review"},
    ),
    "gzip": ("a.csv.gz", gzip.compress(table("review sentiment", ROWS)), {"text": "review"}),
    "JSON lines": (
        "a.jsonl",
        "\n".join(
            json.dumps({"body": t, "rating": float(len(x)), "meta": {"a": [1]}}) for t, x in ROWS
        ).encode(),
        {"text": "body", "label": "rating"},
    ),
    "cp1252": (
        "a.csv",
        table("review sentiment", [(f"{t} café", x) for t, x in ROWS], "cp1252"),
        {"text": "review", "encoding": "cp1252"},
    ),
    "UTF-16": (
        "a.csv",
        table("review sentiment", ROWS, "utf-16"),
        {"text": "review", "encoding": "utf-8"},
    ),
    "UTF-16 without its mark": (
        "a.csv",
        table("review sentiment", ROWS, "utf-16-le"),
        {"text": "review", "encoding": "utf-16-le"},
    ),
    "quotes as signs": (
        "a.csv",
        b"review,sentiment\n"
        + b"".join(b'"%s,%s\n' % (t.replace(",", "").encode(), x.encode()) for t, x in ROWS),
        {"quoting": "none", "escape": "none"},
    ),
    "backslashes": (
        "a.csv",
        b"review,sentiment\n"
        + b"".join(b'"\\"%s\\"",%s\n' % (t.encode(), x.encode()) for t, x in ROWS),
        {"quoting": "double", "escape": "backslash"},
    ),
}


@pytest.mark.parametrize("name", READ)
def test_a_file_is_read_as_it_is_and_a_second_time_there_is_nothing_to_write(project, capsys, name):
    file, content, expected = READ[name]
    Path(file).write_bytes(content)
    assert main(["init", file, "--yes"]) == 0
    shown = capsys.readouterr().out
    assert "rows" in shown
    assert "dvc repro" in shown
    prepare = load_params(Path("params.yaml")).prepare
    roles = {role: f"{role}_column" for role in ("text", "label", "split", "group")}
    assert {key: getattr(prepare, roles.get(key, key)) for key in expected} == expected
    assert values()["download"]["source"] == file
    # What it wrote is enough for the stages that come next.
    fetched = fetch(file, Path("raw"), Path("partial"))
    assert prepare_table(fetched.path, Path("out.parquet"), prepare).reviews["test"]
    written = Path("params.yaml").read_bytes()
    assert main(["init", file, "--yes"]) == 0
    assert "nothing to write" in capsys.readouterr().out
    assert Path("params.yaml").read_bytes() == written
    # Every other line stands as it stood.
    kept = [line for line in PARAMS.splitlines() if line.split(":")[0].strip() in _OTHERS]
    assert kept == [
        line for line in written.decode().splitlines() if line.split(":")[0].strip() in _OTHERS
    ]


ENCODED = {
    "cp1252": "Das Café war grün, das Frühstück übel,",
    "cp1251": "хорошая лампа, плохой суп,",
    "gb18030": "这个灯很好看，汤很难喝",
    "shift_jis": "このランプは表示が良い、ソース",
    "utf-16": "Das Café war grün, Ł,",
    "utf-16-le": "Das Café war grün, Ł,",
    "utf-16-be": "Das Café war grün, Ł,",
}


@pytest.mark.parametrize("encoding", ENCODED)
def test_what_init_writes_is_what_the_stages_read_in_any_encoding(project, encoding):
    rows = [(f"{ENCODED[encoding]} {i}", ("good", "bad")[i % 2]) for i in range(40)]
    Path("a.csv").write_bytes(table("review label", rows, encoding, delimiter=";"))
    assert main(["init", "a.csv", "--yes", "--encoding", encoding]) == 0
    assert main(["download"]) == main(["prepare"]) == 0
    got = pq.read_table("data/reviews.parquet", columns=["text"])["text"].to_pylist()
    assert got == [text for text, _ in rows]


_OTHERS = {"cell", "hidden_size", "window", "max_characters", "bootstrap_samples", "schedule"}
_LONG = [(f"{text} and {number}", number + 0.5) for number, (text, _) in enumerate(ROWS * 3)]

REFUSED: dict[str, tuple[bytes, list[str], str]] = {
    "one class": (table("review sentiment", [(t, "good") for t, _ in ROWS]), [], "only 'good'"),
    "numbers": (table("review price", _LONG), [], "180 different numbers.* a regression"),
    "many labels": (
        table("review label", [(t, f"c{i // 2}") for i, (t, _) in enumerate(ROWS * 4)]),
        [],
        "120 different values, expected 2 to 100",
    ),
    "no text": (table("a b", [(i, i % 2) for i in range(60)]), [], "--text-column"),
    "no label": (table("review id", [(t, f"x{i}") for i, (t, _) in enumerate(ROWS)]), [], "label"),
    "no header": (
        table("", [(x, i, "x", t) for i, (t, x) in enumerate(ROWS)])[2:],
        [],
        "no line of names: .* such as label,column2,column3,text",
    ),
    "two texts": (
        table("review comment label", [(t, t[::-1], x) for t, x in ROWS]),
        [],
        "'review' and 'comment' .* --text-column",
    ),
    "two labels": (
        table("text sentiment topic_label", with_column(lambda i: "xyz"[i % 3])),
        [],
        "'sentiment' and 'topic_label' .*--label-column",
    ),
    "train without a label": (
        table(
            "text label split",
            [(t, x if i % 7 else "", ["train", "test"][i % 2]) for i, (t, x) in enumerate(ROWS)],
        ),
        [],
        "9 rows .* --split-column -",
    ),
    "Cyrillic": (
        table("текст метка", [("хорошая лампа", "да"), ("плохая лампа", "нет")] * 9, "cp1251"),
        [],
        "--encoding cp1251",
    ),
    "two texts of one name": (
        table("text text label", [(t, t, x) for t, x in ROWS]),
        [],
        "no column reads like text.*Not read: 'text', which .* share a name",
    ),
    "a split of other words": (
        table("review sentiment fold", with_column(lambda i: f"f{i % 3}")),
        ["--split-column", "fold"],
        "row 0, column 'fold': found 'f0', expected train, test, .* --split-column -",
    ),
    "a split that is missing": (
        table("review sentiment part", with_column(lambda i: ["train", "test", ""][i % 3])),
        ["--split-column", "part"],
        "row 2, column 'part': found nothing, expected train, test, .* --split-column -",
    ),
    "a wrong name": (table("review label", ROWS), ["--text-column", "reviw"], "'review'"),
    "a web page": (b"<html><body>log in</body></html>", [], "column"),
    "nothing": (b"", [], "columns"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_changes_no_byte(project, capsys, name):
    content, more, expected = REFUSED[name]
    Path("a.csv").write_bytes(content)
    assert main(["init", "a.csv", "--yes", *more]) == 1
    said = capsys.readouterr().err
    assert said.startswith("rnnpipe: ")
    assert re.search(expected, said), said
    assert "number 1" not in said  # no text of the file
    assert Path("params.yaml").read_text() == PARAMS


@pytest.mark.parametrize("text", ["review", "comment"])
@pytest.mark.parametrize("label", ["sentiment", "topic"])
def test_a_person_chooses_between_two_readings(project, text, label):
    rows = [(t, t[::-1], x, "xyz"[i % 3]) for i, (t, x) in enumerate(ROWS)]
    Path("a.csv").write_bytes(table("review comment sentiment topic", rows))
    assert main(["init", "a.csv", "--yes", "--text-column", text, "--label-column", label]) == 0
    assert values()["prepare"]["text_column"] == text
    assert values()["prepare"]["label_column"] == label


def test_two_readings_of_quotes_are_both_named(project, capsys):
    # Either one row whose text goes over two lines, or two rows with signs in them.
    plain = table("review sentiment", ROWS, quoting=csv.QUOTE_NONE, escapechar="\\")
    lines = plain.replace(b"\\,", b"").decode() + '"It \\" is \\" not,good\nso",bad\n'
    Path("a.csv").write_text(lines)
    assert main(["init", "a.csv", "--yes"]) == 1
    said = capsys.readouterr().err
    assert "--escape backslash" in said
    assert "--quoting none" in said
    assert Path("params.yaml").read_text() == PARAMS
    assert main(["init", "a.csv", "--yes", "--quoting", "none"]) == 0
    assert "62 rows" in capsys.readouterr().out


def test_a_person_leaves_out_split_and_group(project):
    rows = [(t, x, ["train", "test"][i % 2], f"ann{i % 20}") for i, (t, x) in enumerate(ROWS)]
    Path("a.csv").write_bytes(table("review sentiment split author", rows))
    assert main(["init", "a.csv", "--yes"]) == 0
    assert values()["prepare"]["split_column"] == "split"
    assert values()["prepare"]["group_column"] == "author"
    assert main(["init", "a.csv", "--yes", "--split-column", "-", "--group-column", "-"]) == 0
    assert values()["prepare"]["split_column"] is None
    assert values()["prepare"]["group_column"] is None


def test_nothing_is_written_where_nobody_can_be_asked(project, capsys):
    Path("a.csv").write_bytes(table("review sentiment", ROWS))
    assert main(["init", "a.csv"]) == 1  # pytest's input is no terminal
    captured = capsys.readouterr()
    assert "+  text_column: review" in captured.out
    assert "--yes" in captured.err
    assert Path("params.yaml").read_text() == PARAMS


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1), ("", 1)])
def test_it_asks_a_person(project, monkeypatch, answer, code):
    Path("a.csv").write_bytes(table("review sentiment", ROWS))
    monkeypatch.setattr("sys.stdin", io.StringIO(answer + "\n"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert main(["init", "a.csv"]) == code
    assert (Path("params.yaml").read_text() == PARAMS) == bool(code)


def test_empty_repeated_and_unlabelled_texts_are_told(project, capsys):
    rows = [*ROWS, ("", "bad"), ROWS[0], (ROWS[1][0].upper() + "!", "bad"), ("Nobody knows it", "")]
    Path("a.csv").write_bytes(table("review sentiment", rows))
    assert main(["init", "a.csv", "--yes"]) == 0
    shown = capsys.readouterr().out
    assert "1 texts are empty (row 60, the first is 0)" in shown
    assert "1 texts repeat another word for word, and 1 texts repeat another but for" in shown
    assert "rows without a label: 1" in shown
    assert "Latin" in shown


def test_what_a_stage_will_refuse_of_the_labels_and_what_may_be_none_is_told(project, capsys):
    rows = [(t, "nan" if i % 2 else "good") for i, (t, _) in enumerate(ROWS * 2)]
    rows[:3] = [(ROWS[0][0], "rare")] * 3
    Path("a.csv").write_bytes(table("text label set", [(*row, "eval") for row in rows]))
    assert main(["init", "a.csv", "--yes"]) == 0
    shown = capsys.readouterr().out
    assert "'nan' may stand for no label" in shown
    assert "rare: 'rare', less than 0.2 of an even share" in shown
    assert "'set' is no split, for it does not say both train and test: eval" in shown


def test_what_is_not_there_and_what_are_no_labels_is_said_so(project, capsys):
    texts = [text for text, _ in ROWS]
    pq.write_table(pa.table({"text": texts, "day": [date(2020, 1, 1)] * 60}), "a.parquet")
    for source, message in (
        ("nothing", "nothing is not here"),
        ("a.parquet", "'day': found times"),
    ):
        assert main(["init", source, "--yes"]) == 1
        assert message in capsys.readouterr().err


def test_labels_of_a_single_row_and_repeats_beyond_the_limit_are_told_in_a_line_each(
    project, capsys
):
    rows = [*ROWS, *[(f"Something else {i}", f"class {i}") for i in range(9)], ROWS[0]]
    Path("a.csv").write_bytes(table("review sentiment", rows))
    limit = "max_duplicate_share: "
    Path("params.yaml").write_text(re.sub(f"{limit}[0-9.]+", f"{limit}0", PARAMS))
    assert main(["init", "a.csv", "--yes"]) == 0
    shown = capsys.readouterr().out
    assert "a single row has 'class 0', " in shown
    assert "'class 5' and 3 more, which" in shown
    assert "more than validate.max_duplicate_share (0)" in shown


def test_nothing_of_imdbs_own_is_left_and_what_a_person_changed_stays(project):
    changed = PARAMS.replace("hidden_size: 64", "hidden_size: 32  # mine")
    Path("params.yaml").write_text(changed)
    Path("a.csv").write_bytes(table("review sentiment", ROWS))
    assert main(["init", "a.csv", "--yes"]) == 0
    about_data = ("source", "_column", "quoting", "escape", "encoding")
    for section, found in values().items():
        for key, value in found.items() if isinstance(found, dict) else ():
            if key == "hidden_size":
                assert value == 32
            elif not key.endswith(about_data):
                default = default_of(ClassificationParams, f"{section}.{key}")
                assert value == default, f"{section}.{key}: add it to survey.OF_IMDB"
    assert "hidden_size: 32  # mine" in Path("params.yaml").read_text()


def test_a_persons_words_for_the_classes_stay(project):
    Path("a.csv").write_bytes(table("review sentiment", ROWS))
    assert main(["init", "a.csv", "--yes"]) == 0
    text = Path("params.yaml").read_text()
    line = next(line for line in text.splitlines() if line.startswith("  labels:"))
    mine = text.replace(line, "  labels: {good: pos, bad: neg}")
    Path("params.yaml").write_text(mine)
    assert main(["init", "a.csv", "--yes"]) == 0
    assert Path("params.yaml").read_text() == mine
    Path("b.csv").write_bytes(table("review stars", [(t, i % 3) for i, (t, _) in enumerate(ROWS)]))
    assert main(["init", "b.csv", "--yes"]) == 0
    assert values()["prepare"]["labels"] == default_of(ClassificationParams, "prepare.labels")


def test_another_problem_says_that_it_has_none(project, capsys):
    shutil.copytree(ROOT / "pipelines/language_model", "pipelines/language_model")
    assert main(["init", "a.csv", "--problem", "language_model", "--yes"]) == 2
    assert "language_model has no init yet" in capsys.readouterr().err


def test_elsewhere_than_in_a_project_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "a.csv", "--yes"]) == 2
    assert "project's folder" in capsys.readouterr().err
    assert not list(tmp_path.glob("params*"))


def test_a_file_of_another_problem_is_replaced_whole(project):
    Path("params.yaml").write_text("problem: forecasting\n")
    Path("a.csv").write_bytes(table("review sentiment", ROWS))
    assert main(["init", "a.csv", "--yes"]) == 0
    assert load_params(Path("params.yaml")).prepare.text_column == "review"
    assert values().keys() == yaml.safe_load(PARAMS).keys()


TEXTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
    | st.text('a", \\\n\t;|é', min_size=1, max_size=12),
    min_size=4,
    max_size=12,
)


@settings(max_examples=30)
@given(
    texts=TEXTS,
    separator=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE]),
    backslash=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le"]),
)
def test_prepare_reads_the_texts_and_labels_that_init_has_seen(
    tmp_path_factory, texts, separator, quoting, backslash, encoding
):
    texts = [f"so {text} it is" for text in texts] + [text.replace(",", "") for text, _ in ROWS]
    rows = [(text, "pos" if number % 2 else "neg") for number, text in enumerate(texts)]
    if quoting != csv.QUOTE_NONE and "\r" in "".join(texts):
        quoting = csv.QUOTE_ALL
    try:
        content = table(
            "text label",
            rows,
            encoding,
            delimiter=separator,
            quoting=quoting,
            doublequote=not backslash,
            escapechar="\\" if backslash else None,
            quotechar=None if quoting == csv.QUOTE_NONE else '"',
        )
    except (csv.Error, UnicodeEncodeError):  # nobody can write such a file
        return
    folder = tmp_path_factory.mktemp("dialect")
    file = folder / "t.csv"
    file.write_bytes(content)
    said = argparse.Namespace(quoting=None, escape=None, encoding=None)
    try:
        found = survey(str(file), parse_values(PARAMS, "params.yaml"), said)
    except SourceError:
        return
    text = rewritten(PARAMS, params_of("classification"), found.changes, "params.yaml")
    (folder / "params.yaml").write_text(text)
    prepare = load_params(folder / "params.yaml").prepare
    written = (
        "none" if quoting == csv.QUOTE_NONE else "double",
        "backslash" if backslash else "none",
    )
    mistaken = encoding == "cp1252" and prepare.encoding == "utf-8" and not content.isascii()
    if (prepare.quoting, prepare.escape) != written or mistaken:
        return  # another reading that is as good
    prepare_table(file, folder / "out.parquet", prepare)
    got = pq.read_table(folder / "out.parquet", columns=["text", "label"]).to_pylist()
    assert [(row["text"], row["label"]) for row in got] == [(t, int(x == "pos")) for t, x in rows]
    assert found.found[0].startswith(f"{file}: {len(got):,} rows")


# --- The parameter file -------------------------------------------------------------------------

LAYOUTS = [
    PARAMS,
    PARAMS.replace("\n", "\r\n"),
    "problem: classification\n",
    "prepare: {text_column: a, labels: {good: pos, bad: neg}}  # mine\ntrain:\n  cell: gru\n",
    "prepare:\n\n  # mine\n  labels:\n    good: pos\n    bad: neg\n  # and mine\n\ntrain: {cell: gru}\n",
    "prepare:\n    text_column: >-\n        a\n        b\n    label_column: 'x'\ndownload:\n",
    "prepare:\ntrain:\n  cell: gru",
    whole_file(ClassificationParams, "classification"),
]


@settings(max_examples=30)
@given(
    layout=st.sampled_from(LAYOUTS),
    column=st.text(min_size=1, max_size=8).filter(lambda text: "\0" not in text)
    | st.sampled_from(
        ["yes", "1", "null", "0o10", "a: b", "#", "- x", "2020-01-01", "1e3", "~", "x #y"]
    ),
    why=st.text(max_size=10),
    group=st.none() | st.just("author"),
)
def test_a_changed_line_says_what_was_meant_and_all_others_stay(layout, column, why, group):
    kind = ClassificationParams
    changes = [
        Change("prepare.text_column", column, why),
        Change("prepare.group_column", group, why),
        Change("train.epochs", 7, why),
    ]
    try:
        text = rewritten(layout, kind, changes, "params.yaml")
    except ParameterError:
        assert not column.isprintable()
        return
    found = parse_values(text, "params.yaml")
    assert found["prepare"]["text_column"] == column
    assert found["prepare"].get("group_column") == group
    assert found["train"]["epochs"] == 7
    assert rewritten(text, kind, changes, "params.yaml") == text
    without_end = text.rstrip("\r\n")
    assert rewritten(without_end, kind, changes, "params.yaml") == without_end
    for section, given_before in parse_values(layout, "").items():
        for key, value in given_before.items() if isinstance(given_before, dict) else ():
            if key not in ("text_column", "group_column", "epochs"):
                assert found[section][key] == value
    for comment in ("# mine\n  labels", "# and mine"):
        assert (comment in layout) == (comment in text)
    assert found.keys() >= {"sequences", "register", "evaluate", "download"}
