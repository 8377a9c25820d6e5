"""CSV as people have it: it comes in unaltered, or is refused by row and name."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpipe.errors import SourceError
from rnnpipe.storage.csv_format import FORMATS, PLAIN, CsvFormat
from rnnpipe.storage.tables import read_columns, require_table

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
