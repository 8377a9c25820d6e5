import io

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from rnnpipe.errors import SourceError
from rnnpipe.problems.classification.predict_input import read_texts

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
        ("reviews.csv", "text\n\xff".encode("latin-1"), "not UTF-8"),
        ("reviews.csv", "text,n\na,1,2\n", "Expected 2 columns, got 3"),
        ("reviews.csv", "", "no column"),
        ("reviews.parquet", b"no parquet", "no parquet file"),
        ("reviews.txt", "a", "expected .csv, .tsv, .jsonl"),
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


def test_an_error_never_shows_a_review(tmp_path):
    (tmp_path / "reviews.csv").write_text("text,n\nmy private review,2,3\n")
    with pytest.raises(SourceError) as error:
        read_texts(str(tmp_path / "reviews.csv"), "text")
    assert "private" not in str(error.value)


def test_a_review_like_a_book_is_a_row_and_an_empty_line_is_none(tmp_path):
    book = "word " * 1_000_000
    (tmp_path / "reviews.csv").write_text(f"text\n{book}\n\nend\n")
    assert read_texts(str(tmp_path / "reviews.csv"), "text") == [book, "end"]


def test_a_damaged_parquet_is_not_called_a_full_disk(tmp_path):
    path = tmp_path / "reviews.parquet"
    pq.write_table(pa.table({"text": ["good"] * 1000}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[20:40] = b"x" * 20
    path.write_bytes(content)
    with pytest.raises(SourceError, match="no parquet file that can be read"):
        read_texts(str(path), "text")


@pytest.mark.parametrize("values", [[["a"]], [{"a": 1}]])
def test_a_column_of_no_texts_is_refused(tmp_path, values):
    pq.write_table(pa.table({"text": values}), tmp_path / "reviews.parquet")
    with pytest.raises(SourceError, match="expected text"):
        read_texts(str(tmp_path / "reviews.parquet"), "text")
