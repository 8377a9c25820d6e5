import io

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from rnnpipe.errors import SourceError
from rnnpipe.predict_input import read_texts

TEXTS = ["plain", "with, comma", 'with "quotes"', "two\nlines", "", "ça"]


def test_csv_and_parquet_give_the_texts_in_order(tmp_path):
    table = pa.table({"n": range(len(TEXTS)), "text": TEXTS})
    pq.write_table(table, tmp_path / "reviews.parquet")
    pa.csv.write_csv(table, tmp_path / "reviews.csv")
    assert read_texts(str(tmp_path / "reviews.parquet"), "text") == TEXTS
    assert read_texts(str(tmp_path / "reviews.csv"), "text") == TEXTS


def test_numbers_and_gaps_are_texts_too(tmp_path):
    (tmp_path / "reviews.csv").write_text("text,n\n10,1\n,2\nNA,3\n")
    assert read_texts(str(tmp_path / "reviews.csv"), "text") == ["10", "", "NA"]
    pq.write_table(pa.table({"text": ["a", None]}), tmp_path / "reviews.parquet")
    assert read_texts(str(tmp_path / "reviews.parquet"), "text") == ["a", ""]


def test_standard_input_gives_a_text_a_line(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("one\r\n\ntwo"))
    assert read_texts("-", "text") == ["one", "", "two"]


def test_standard_input_that_is_not_utf8_is_told(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"ok\n\xff\n"), encoding="utf-8"))
    with pytest.raises(SourceError, match="UTF-8"):
        read_texts("-", "text")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("reviews.csv", "review,label\na,1\n", "--column"),
        ("reviews.csv", "text\n\xff".encode("latin-1"), "cannot be read"),
        ("reviews.csv", "text,n\na,1,2\n", "cannot be read"),
        ("reviews.csv", "", "cannot be read"),
        ("reviews.parquet", b"no parquet", "cannot be read"),
        ("reviews.txt", "a", "expected .csv or .parquet"),
        ("reviews", "a", "nameless"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SourceError, match=message):
        read_texts(str(path), "text")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(SourceError, match="not here"):
        read_texts(str(tmp_path / "reviews.csv"), "text")
