"""CSV as people have it: it comes in unaltered, or is refused by row and name."""

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpipe.errors import SourceError
from rnnpipe.storage.addresses import table_suffix
from rnnpipe.storage.content import require_content
from rnnpipe.storage.csv_format import FORMATS, PLAIN, CsvFormat
from rnnpipe.storage.tables import column_names, read_columns, require_table

TEXTS = st.lists(
    st.text(max_size=12)
    | st.text('a", \\\n\r\t;é猫', max_size=12)
    | st.sampled_from(["", '"', '""', 'said "no"', "\\", '\\"', "a,b", "\ufeffx", "x\0y"]),
    min_size=1,
    max_size=8,
)


def read(path: Path, csv_format: CsvFormat = PLAIN) -> list[tuple[str, str]]:
    columns = read_columns(path, {"text": "t", "label": "l"}, advice="", csv_format=csv_format)
    return list(zip(columns["text"].to_pylist(), columns["label"].to_pylist(), strict=True))


@settings(max_examples=200, deadline=None)
@given(
    texts=TEXTS,
    csv_format=st.sampled_from(FORMATS),
    quote_all=st.booleans(),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_comes_in_unaltered_or_is_refused(
    tmp_path_factory, texts, csv_format, quote_all, newline
):
    if csv_format.quoting == "none" and "\r" in "".join(texts):
        return  # it ends a line wherever no quote is around it
    file = io.StringIO(newline="")
    quote_all |= "\r" in "".join(texts)  # Python's writer leaves it bare, as the end of a line
    all_or_needed = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    writer = csv.writer(
        file,
        quoting=csv.QUOTE_NONE if csv_format.quoting == "none" else all_or_needed,
        escapechar="\\" if csv_format.escape == "backslash" else None,
        doublequote=csv_format.escape == "none",
        quotechar=None if csv_format.quoting == "none" else '"',
        lineterminator=newline,
    )
    rows = [(text, str(number)) for number, text in enumerate(texts)]
    try:
        writer.writerows([("t", "l"), *rows])
    except csv.Error:  # a comma that cannot be escaped: nobody writes such a file
        return
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_text(file.getvalue(), encoding="utf-8", newline="")
    try:
        found = read(path, csv_format)
    except SourceError:
        if csv_format == PLAIN:  # which can hold any text
            raise
        return
    assert found == rows


STRAY = [
    't,l\n"Great,1\nBad,0\nAwful,0\n"Dreadful,0\nLovely,1\n',
    't,l\nfine,1\n"so "so" la",0\n',
    't,l\nfine,1\n"a" b,0\n',
    't,l\n"never closed,1\nfine,0\n',
]


@pytest.mark.parametrize("text", STRAY)
def test_a_stray_quote_is_refused_by_its_row(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(SourceError, match=r"row \d \(line .*prepare\.quoting: none"):
        read(path)
    require_table(path, any_quotes=True)  # it may be downloaded, for a parameter reads it
    rows = [line.split(",") for line in text.splitlines()[1:]]
    assert read(path, CsvFormat(quoting="none")) == [tuple(row) for row in rows]


def test_an_escaped_quote_is_refused_until_it_is_said(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('t,l\n"fine",1\n\n"The box said \\"new\\" but, no",0\n')
    with pytest.raises(SourceError, match=r"row 1 \(line 4\).*prepare\.escape: backslash"):
        read(path)
    expected = [("fine", "1"), ('The box said "new" but, no', "0")]
    assert read(path, CsvFormat(escape="backslash")) == expected


def test_blank_lines_are_no_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("t,l\n\na,1\n\n\nb,0\n\n")
    assert read(path) == [("a", "1"), ("b", "0")]


ROWS = [("schön; ja", "1"), ("nein | doch", "0"), ('er sagte "so"', "1")]


def written(separator: str, encoding: str = "utf-8", before: str = "") -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=separator).writerows([("t", "l"), *ROWS])
    return (before + file.getvalue()).encode(encoding)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", written(",")),
        ("t.csv", written(";")),
        ("t.csv", written("\t")),
        ("t.csv", written("|")),
        ("t.tsv", written("\t")),
        ("t.csv", written(";", before="sep=;\r\n")),
        ("t.csv", written(",", before="sep=,\n")),
        ("t.csv", written(";", "utf-8-sig")),
        ("t.csv", written(",", "utf-16")),
        ("t.csv", written(";", "utf-16", "sep=;\r\n")),
    ],
)
def test_a_file_says_itself_how_it_is_written(tmp_path, name, content, packed):
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(content) if packed else content)
    assert read(path) == ROWS
    assert column_names(path) == ["t", "l"]
    require_table(path)
    require_content(path, "here")
    assert table_suffix(str(path)) == "".join(path.suffixes)


@pytest.mark.parametrize("packed", [False, True])
def test_json_lines_are_rows(tmp_path, packed):
    lines = [{"t": text, "l": int(label), "more": {"x": 1}} for text, label in ROWS]
    lines += [{"t": "2020-01-01", "l": 0}, {"l": 1, "t": "a\nb"}]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    path = tmp_path / ("t.jsonl.gz" if packed else "t.jsonl")
    path.write_bytes(gzip.compress(content) if packed else content)
    expected = [(line["t"], line["l"]) for line in lines]
    assert read(path) == expected
    assert column_names(path)[:2] == ["t", "l"]
    require_table(path)
    require_content(path, "here")


@pytest.mark.parametrize("text", ["[1]\n", '{"t": 1}\n{"t": "a"}\n', '{"t": \n', "no\n", "\n", ""])
def test_what_is_no_json_lines_is_a_sentence(tmp_path, text):
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    with pytest.raises(SourceError):
        require_table(path)
    with pytest.raises(SourceError):
        read(path)


@pytest.mark.parametrize("values", [(1, "1"), ("1", 1), (True, "x"), ({"a": 1}, "x")])
def test_a_key_with_two_kinds_of_value_is_named(tmp_path, values):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps({"t": "secret", "my key": v}) + "\n" for v in values))
    with pytest.raises(SourceError, match="the key 'my key' holds .* in one line and") as caught:
        read(path)
    assert "secret" not in str(caught.value)


def test_an_encoding_that_is_not_told_is_named_by_parameter(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(written(";", "cp1252"))
    with pytest.raises(SourceError, match=r"prepare\.encoding"):
        read(path)
    assert read(path, CsvFormat(encoding="cp1252")) == ROWS
    with pytest.raises(SourceError, match="which nobody knows"):
        read(path, CsvFormat(encoding="klingon"))


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("names", "separator"),
    [(("t, in words", "l"), ";"), (("t, or u, or v", "l"), "\t"), (("t; in words", "l"), ",")],
)
def test_a_name_may_hold_another_separator(tmp_path, names, separator, mark):
    path = tmp_path / "t.csv"
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=separator).writerows([names, *ROWS])
    path.write_text(mark + file.getvalue(), "utf-8", newline="")
    assert column_names(path) == list(names)
    found = read_columns(path, dict(zip("tl", names, strict=True)), advice="")
    assert list(zip(*(found[role].to_pylist() for role in "tl"), strict=True)) == ROWS


@pytest.mark.parametrize("header", ["t;l|m", "a b c"])
def test_what_has_more_than_one_reading_or_none_is_not_guessed(tmp_path, header):
    path = tmp_path / "t.csv"
    path.write_text(f"{header}\nx\n")
    assert column_names(path) == [header]


def test_a_packed_table_that_unfolds_is_not_unfolded(tmp_path, monkeypatch):
    monkeypatch.setattr("rnnpipe.storage.csv_format.FREELY_UNPACKED_BYTES", 1 << 20)
    monkeypatch.setattr("rnnpipe.storage.csv_format.MAX_UNPACKED_RATIO", 10)
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"t,l\n" + b"good,1\n" * 400_000))
    with pytest.raises(SourceError, match="unpacks to more than"):
        read(path)
