"""Sources that are folders: one table, the same whatever the order, and nothing odd passed over."""

import gzip
import json
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.workspace import _copy_source
from rnnpipe.errors import SourceError
from rnnpipe.pipeline.inputs import Inputs
from rnnpipe.pipeline.outputs import require_outside
from rnnpipe.problems.classification.own_table import prepare_table
from rnnpipe.problems.classification.params import Prepare
from rnnpipe.storage.download import fetch
from rnnpipe.storage.table_folder import pack_folder
from rnnpipe.storage.tables import read_columns

ROOT = Path(__file__).parents[1]
ROWS = [(f'text, "{i}"\nof é', "neg" if i % 2 else "pos") for i in range(20)]


def csv_part(rows: list[tuple[str, str]], separator: str = ",", end: str = "\r\n") -> bytes:
    cells = [("text", "label"), *((f'"{t.replace(chr(34), chr(34) * 2)}"', x) for t, x in rows)]
    return end.join(separator.join(row) for row in cells).encode()  # without a last line break


def json_part(rows: list[tuple[str, str]]) -> bytes:
    return "\n".join(json.dumps({"text": t, "label": x}) for t, x in rows).encode()


def parquet_part(rows: list[tuple[str, str]]) -> bytes:
    file = pa.BufferOutputStream()
    texts, labels = zip(*rows, strict=True) if rows else ((), ())
    columns = {"text": pa.array(texts, pa.string()), "label": pa.array(labels, pa.string())}
    pq.write_table(pa.table(columns | {"list": [[1]] * len(rows)}), file)
    return file.getvalue().to_pybytes()


def fill(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def rows_of(table: Path) -> list[tuple[str, str]]:
    found = read_columns(table, {"text": "text", "label": "label"}, advice="")
    return list(zip(found["text"].to_pylist(), found["label"].to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("suffix", "part"),
    [
        (".csv", csv_part),
        (".csv", lambda rows: b"\xef\xbb\xbf" + csv_part(rows)),
        (".csv", lambda rows: b"sep=;\r\n" + csv_part(rows, ";")),
        (".tsv", lambda rows: csv_part(rows, "\t", "\n")),
        (".csv.gz", lambda rows: gzip.compress(csv_part(rows))),
        (".jsonl", json_part),
        (".parquet", parquet_part),
    ],
)
def test_parts_are_one_table_in_the_order_of_their_names(tmp_path, suffix, part):
    files = {f"part-{i}{suffix}": part(ROWS[5 * i : 5 * i + 5]) for i in (3, 0, 2, 1)}
    files |= {"_SUCCESS": b"", ".part-0.crc": b"crc", f"part-9{suffix}": part([])}
    if suffix == ".jsonl":
        del files["part-9.jsonl"]
    found = fetch(str(fill(tmp_path / "in", files)), tmp_path / "raw", tmp_path / "partial")
    assert found.path == tmp_path / f"raw/reviews{suffix.removesuffix('.gz')}"
    assert [path.name for path in (tmp_path / "raw").iterdir()] == [found.path.name]
    assert rows_of(found.path) == ROWS


def test_parts_called_by_splits_keep_them_or_are_refused(tmp_path):
    names = ["test-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002", "validation"]
    files = {f"{name}.parquet": parquet_part(ROWS[i * 5 :][:5]) for i, name in enumerate(names)}
    table = pack_folder(fill(tmp_path / "a", files), tmp_path, "a")
    assert rows_of(table) == ROWS
    found = pq.read_table(table)["split"].to_pylist()
    assert found == ["test"] * 5 + ["train"] * 10 + ["validation"] * 5
    texts = fill(tmp_path / "b", {f"{n}.csv": csv_part(ROWS) for n in ("Train", "test")})
    with pytest.raises(SourceError, match=r"'Train\.csv', 'test\.csv', whose rows would be mixed"):
        pack_folder(texts, tmp_path, "b")
    other = fill(tmp_path / "c", {f"{n}.csv": csv_part(ROWS) for n in ("testimony", "trains")})
    assert rows_of(pack_folder(other, tmp_path, "c")) == ROWS * 2


def test_decimals_are_numbers_alone_and_in_parts(tmp_path):
    numbers = [Decimal("1.50"), None, Decimal("-2")]
    columns = {"text": ["a", "b", "c"], "label": pa.array(numbers, pa.decimal128(9, 2))}
    (tmp_path / "parts").mkdir()
    for name in ("a", "b"):
        pq.write_table(pa.table(columns), tmp_path / f"parts/{name}.parquet")
    expected = [("a", 1.5), ("b", None), ("c", -2.0)]
    assert rows_of(tmp_path / "parts/a.parquet") == expected
    assert rows_of(pack_folder(tmp_path / "parts", tmp_path, "all")) == expected * 2


def test_a_part_in_which_a_column_is_empty_fits_the_others(tmp_path):
    pq.write_table(pa.table({"text": ["a"], "stars": pa.nulls(1)}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["b"], "stars": [3]}), tmp_path / "b.parquet")
    (tmp_path / "out").mkdir()
    (tmp_path / "out").rename(tmp_path.parent / "out_of_it")
    table = pack_folder(tmp_path, tmp_path.parent / "out_of_it", "t")
    assert pq.read_table(table)["stars"].to_pylist() == [None, 3]


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=2, max_size=6
    ),
    splits=st.booleans(),
    seed=st.randoms(use_true_random=False),
)
def test_texts_by_class_come_in_unaltered_in_a_fixed_order(tmp_path_factory, texts, splits, seed):
    folder = tmp_path_factory.mktemp("texts")
    files = {}
    for number, text in enumerate(texts):
        side = ("train", "test")[number % 2] + "/" if splits else ""
        files[f"{side}{('good', 'sehr schlecht')[number % 2]}/{number}.txt"] = text
    names = list(files)
    seed.shuffle(names)
    fill(folder / "in", {name: files[name].encode() for name in names})
    (folder / "out").mkdir()
    rows = pq.read_table(pack_folder(folder / "in", folder / "out", "reviews")).to_pylist()
    assert [row["file"] for row in rows] == sorted(files)
    for row in rows:
        assert row["text"] == files[row["file"]].removeprefix("\ufeff")
        assert row["label"] == row["file"].split("/")[-2]
        assert row.get("split") == (row["file"].split("/")[0] if splits else None)


def test_unpacked_imdb_goes_through_prepare(tmp_path):
    files = {
        f"{split}/{label}/{i}_7.txt": f"a {label} text {i} of {split}".encode()
        for split in ("train", "test")
        for label in ("neg", "pos")
        for i in range(5)
    }
    files |= {f"train/unsup/{i}_0.txt": f"who knows {i}".encode() for i in range(3)}
    fetched = fetch(str(fill(tmp_path / "in", files)), tmp_path / "raw", tmp_path / "partial")
    prepared = prepare_table(fetched.path, tmp_path / "out.parquet", Prepare(split_column="split"))
    assert prepared.reviews == {"train": 10, "test": 10, "unlabelled": 3}


GOOD = csv_part(ROWS)
REFUSED = {
    "nothing": ({}, "holds no files"),
    "of two kinds": ({"a.csv": GOOD, "b.tsv": GOOD}, "'b.tsv'"),
    "a note beside parts": ({"a.csv": GOOD, "notes.txt": b"x"}, "'notes.txt'"),
    "a note beside classes": ({"a/1.txt": b"x", "b/1.txt": b"y", "README": b"z"}, "'README'"),
    "texts without a class": ({"1.txt": b"x", "2.txt": b"y"}, "'1.txt', '2.txt'"),
    "splits without classes": ({"train/1.txt": b"x", "test/1.txt": b"y"}, "none for the classes"),
    "two depths": ({"a/1.txt": b"x", "train/a/1.txt": b"y"}, "'train/a/1.txt'"),
    "too deep": ({"a/b/c/1.txt": b"x"}, "'a/b/c' is a folder too deep"),
    "another header": (
        {"a.csv": GOOD, "b.csv": b"text,stars\nx,1\n"},
        "'b.csv' has another header",
    ),
    "other columns": (
        {"a.parquet": parquet_part(ROWS), "b.parquet": parquet_part(ROWS)[:-4]},
        "b.parquet",
    ),
    "no UTF-8": ({"a/1.txt": b"x", "b/2.txt": b"\xe9t\xe9"}, "b/2.txt is not UTF-8 at byte 0"),
    "UTF-16": ({"a.csv": GOOD.decode().encode("utf-16")}, "UTF-16"),
    "quotes that close in another part": (
        {"a.csv": b'text,label\nx,pos\n"y,neg\n', "b.csv": b'text,label\nz",pos\n'},
        "'a.csv' leaves a double quote open",
    ),
    "a web page": ({"a.csv": b"<html>"}, "web page"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_belong_is_named_and_what_was_there_stays(tmp_path, name):
    files, expected = REFUSED[name]
    (tmp_path / "in").mkdir()
    fill(tmp_path / "in", files)
    fill(tmp_path / "raw", {"reviews.csv": b"before"})
    with pytest.raises(SourceError, match=expected):
        fetch(str(tmp_path / "in"), tmp_path / "raw", tmp_path / "partial")
    assert (tmp_path / "raw/reviews.csv").read_bytes() == b"before"


@pytest.mark.parametrize("name", [b"b\xe4d/1.txt", b"bad/\xe4.txt"])
def test_a_name_that_is_no_utf8_is_refused(tmp_path, name):
    files = {"in/good/1.txt": b"x", f"in/{os.fsdecode(name)}": b"y"}
    fill(tmp_path, files)
    with pytest.raises(SourceError, match=r"udce4.* is not UTF-8.*rename it"):
        fetch(str(tmp_path / "in"), tmp_path / "raw", tmp_path / "partial")


@pytest.mark.parametrize("kind", ["link", "link to a folder", "pipe"])
def test_links_and_pipes_are_refused(tmp_path, kind):
    fill(tmp_path, {"in/a.csv": GOOD, "elsewhere/b.csv": GOOD})
    if kind == "pipe":
        os.mkfifo(tmp_path / "in/b.csv")
    else:
        (tmp_path / "in/b.csv").symlink_to(tmp_path / ("elsewhere" + "/b.csv" * (kind == "link")))
    with pytest.raises(SourceError, match="'b.csv' is a"):
        fetch(str(tmp_path / "in"), tmp_path / "raw", tmp_path / "partial")


def test_a_folder_around_outputs_is_no_source(monkeypatch):
    monkeypatch.chdir(ROOT)
    for folder in (".", "data"):
        with pytest.raises(SourceError, match="around data/"):
            require_outside(Path(folder))


def test_a_stage_notices_a_part_that_comes_while_it_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, {"dvc.yaml": (ROOT / "dvc.yaml").read_bytes(), "in/a.csv": GOOD})
    params = tmp_path / "params.yaml"
    params.write_text((ROOT / "params.yaml").read_text().replace("data/imdb.json", "in"))
    inputs = Inputs.of("download", "classification", params)
    inputs.require_unchanged("download", "classification")
    fill(tmp_path, {"in/b.csv": GOOD})
    with pytest.raises(Exception, match="in/b.csv"):
        inputs.require_unchanged("download", "classification")


def test_a_runs_clone_gets_a_folder_that_git_does_not_know(tmp_path):
    fill(tmp_path / "project", {"in/good/1.txt": b"x", "in/bad/2.txt": b"y"})
    fill(tmp_path / "clone", {".git/info/exclude": b""})
    _copy_source(tmp_path / "project", tmp_path / "clone", "in")
    assert (tmp_path / "clone/in/bad/2.txt").read_bytes() == b"y"
    assert (tmp_path / "clone/.git/info/exclude").read_text() == "/in\n"
