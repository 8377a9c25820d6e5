"""Files at every door: whatever is wrong with one ends in a sentence, soon, and leaves all as it was."""

import errno
import gzip
import io
import lzma
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rnnpipe.storage.table_checks as table_checks
import rnnpipe.storage.tables as tables
from rnnpipe.__main__ import main
from rnnpipe.errors import RnnpipeError, StorageError
from rnnpipe.problems.classification import reviews
from rnnpipe.problems.classification.archive import prepare_archive
from rnnpipe.problems.classification.own_table import prepare_table
from rnnpipe.problems.classification.params import Prepare
from rnnpipe.problems.classification.predict_input import read_texts
from rnnpipe.series.prepared import load_panel
from rnnpipe.series.reading import read_series
from rnnpipe.storage.card import read_card
from rnnpipe.storage.download import fetch
from rnnpipe.storage.files import atomic_directory, atomic_file
from rnnpipe.storage.tables import read_columns, require_table

NOBODY = 65534


def prepare(table: Path) -> None:
    prepare_table(table, table.parent / "out/reviews.parquet", Prepare())


def unpack(archive: Path) -> None:
    prepare_archive(archive, archive.parent / "out/reviews.parquet", "0" * 64)


def download(source: Path) -> None:
    fetch(str(source), source.parent / "raw", source.parent / "partial")


# A door: what a file there is called, and who opens it.
DOORS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "download csv": ("t.csv", download),
    "download parquet": ("t.parquet", download),
    "download card": ("t.json", download),
    "card": ("t.json", read_card),
    "prepare csv": ("t.csv", prepare),
    "prepare parquet": ("t.parquet", prepare),
    "prepare archive": ("t.tar.gz", unpack),
    "predict csv": ("t.csv", lambda file: read_texts(str(file), "text")),
    "predict parquet": ("t.parquet", lambda file: read_texts(str(file), "text")),
    "forecast csv": ("t.csv", lambda file: read_series(file, "date")),
    "forecast parquet": ("t.parquet", lambda file: read_series(file, "date")),
    "series": ("t.parquet", load_panel),
}
OF_PARQUET = [name for name, (file, _) in DOORS.items() if file.endswith("parquet")]
OF_CSV = [name for name, (file, _) in DOORS.items() if file.endswith("csv")]


def refused(action: Callable[[], object]) -> str:
    """The sentence that an action ends with."""
    with pytest.raises(RnnpipeError) as caught:
        action()
    message = str(caught.value)
    assert message.isprintable()
    assert 0 < len(message) < 1_000
    assert caught.value.exit_code == 1
    return message


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read and write everything: be somebody else."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


# --- Places


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def circle(path: Path) -> Path:
    path.symlink_to(path.name)
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def device(path: Path) -> Path:
    path.symlink_to("/dev/zero")
    return path


def below_a_file(path: Path) -> Path:
    path.with_name("file").touch()
    return path.with_name("file") / path.name


PLACES: dict[str, Callable[[Path], Path]] = {
    "nothing": lambda path: path,
    "a folder": folder,
    "a link in a circle": circle,
    "a link to nothing": lambda path: (path.symlink_to("gone"), path)[1],
    "a pipe": pipe,
    "a device": device,
    "below a file": below_a_file,
    "a name too long": lambda path: path.with_name("n" * 300 + path.name),
    "a path too long": lambda path: path.parent / ("n/" * 3000 + path.name),
    "a NUL": lambda path: path.with_name("n\0" + path.name),
    "a line break": lambda path: path.with_name("n\n\x1b[31m" + path.name),
    "a surrogate": lambda path: path.with_name("n\udcff" + path.name),
    "no home": lambda path: Path(f"~nobody-of-this-name/{path.name}"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("door", DOORS)
def test_a_path_that_names_no_file(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    door: str,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))  # a relative path's empty folder stays there
    name, opened = DOORS[door]
    path = PLACES[place](tmp_path / name)
    before = set(tmp_path.iterdir())
    refused(lambda: opened(path))
    left = set(tmp_path.iterdir()) - before
    assert all(not list(new.iterdir()) for new in left), "an empty folder at most"


@pytest.mark.parametrize("door", DOORS)
def test_a_file_that_may_not_be_read(tmp_path: Path, door: str) -> None:
    name, opened = DOORS[door]
    (tmp_path / name).write_text("text,label\ngood,pos\n")
    (tmp_path / name).chmod(0)
    with as_nobody():
        assert "permission" in refused(lambda: opened(tmp_path / name))


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("text,label\ngood,pos\nbad,neg\nbetter,pos\nworse,neg\n")
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to("circle")
    for place in ("file/reviews.parquet", "circle/reviews.parquet", "n" * 300, "/proc/none/x"):
        out = tmp_path / place
        message = refused(lambda out=out: prepare_table(table, out, Prepare()))
        assert "cannot be written" in message
    assert {path.name for path in tmp_path.iterdir()} == {"circle", "file", "t.csv"}
    message = refused(lambda: fetch(str(table), tmp_path / "file/raw", tmp_path / "partial"))
    assert "a file stands where a folder should" in message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_of_somebody_else(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("theirs")
    with as_nobody():
        for atomic in (atomic_file, atomic_directory):
            with pytest.raises(StorageError, match="permission is denied"), atomic(place / "new"):
                raise AssertionError("nothing may be begun")
    assert not list(place.iterdir())


def test_what_another_file_says_is_not_taken_for_the_place(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "out"):
        (tmp_path / "gone").read_text()
    with pytest.raises(OSError, match="No space") as caught, atomic_file(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / ".out.partial"))
    assert not isinstance(caught.value, RnnpipeError)
    assert not list(tmp_path.iterdir())


def test_the_command_ends_with_one_line_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, place in enumerate(PLACES.keys() - {"no home"}):  # refused as an argument
        (tmp_path / str(number)).mkdir()
        path = PLACES[place](tmp_path / str(number) / "t.csv")
        assert main(["predict", "--file", str(path)]) == 1
        told = capsys.readouterr().err
        assert told.startswith("rnnpipe: ")
        assert told.count("\n") == 1


# --- Contents


def big_footer() -> bytes:
    packed = io.BytesIO()
    pq.write_table(pa.table({str(at): [1] for at in range(table_checks.MAX_COLUMNS + 1)}), packed)
    return packed.getvalue()


def parquet(**columns: object) -> bytes:
    packed = io.BytesIO()
    pq.write_table(pa.table(columns), packed, compression="zstd")
    return packed.getvalue()


CONTENTS = {
    "nothing": b"",
    "a gzip": gzip.compress(b"text,label\ngood,pos\nbad,neg\n" * 100),
    "a spreadsheet": b"PK\x03\x04\x14\x00\x06\x00\x08\x00" + bytes(range(256)) * 20,
    "zeros": bytes(10_000),
    "UTF-32": "text,label\ngood,pos\n".encode("utf-32-be"),
    "a page": b"<!doctype html><html><body>Log in, please</body></html>\n" * 50,
    "a parquet's ends": b"PAR1" + bytes(1000) + b"\xff\xff\xff\x7fPAR1",
    "deep JSON": b"[" * 200_000,
    "a number of 5,000 digits": b'{"bytes": ' + b"9" * 5000 + b"}",
    "an endless line": b"text," * 700_000,
    "a million columns": b",".join(b"%d" % at for at in range(1_000_000)) + b"\n",
    "many columns": b",".join(b"%d" % at for at in range(100_000)) + b"\n" + b"1\n",
    "a header in an open quote": b'"text,label\ngood,pos\n' * 3 + b"good,pos\n" * 200_000,
    "a big footer": big_footer(),
    "text that is not UTF-8": parquet(
        text=pa.array([b"good", b"\xff\xfe"]).view(pa.string()),
        label=["pos", "neg"],
        date=pa.array([b"2016-01-01", b"\xff"]).view(pa.string()),
    ),
    "a dictionary that is not UTF-8": parquet(
        text=pa.DictionaryArray.from_arrays([0, 1], pa.array([b"a", b"\xff"]).view(pa.string())),
        label=["pos", "neg"],
        date=pa.DictionaryArray.from_arrays([0, 1], pa.array([b"a", b"\xff"]).view(pa.string())),
    ),
    "lists": parquet(text=[["a"]], label=[["pos"]], date=[["a"]]),
    "blobs": parquet(
        text=pa.array([b"abcd"], pa.binary(4)),
        label=["pos"],
        date=pa.array([b"abcd"], pa.binary(4)),
    ),
}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("door", sorted(set(DOORS) - {"download parquet"}))
def test_content_that_makes_no_sense(tmp_path: Path, door: str, content: str) -> None:
    if (door, content) == ("download csv", "a header in an open quote"):
        return  # prepare.quoting: none reads it
    name, opened = DOORS[door]
    (tmp_path / name).write_bytes(CONTENTS[content])
    refused(lambda: opened(tmp_path / name))
    assert not list(tmp_path.glob("*/*"))
    assert not list(tmp_path.glob(".*"))


CELLS = [
    "9" * 5000,
    "1e99999",
    "2016-02-30",
    "2016-13-01",
    "0000-01-01",
    "99999-01-01",
    "-0001-01-01",
    "2016-01-01 25:00",
    "\x00",
    "é" * 1000,
]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("column", ["date", "load"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_number_or_a_time_that_is_none(
    tmp_path: Path, suffix: str, column: str, cell: str
) -> None:
    row = {"date": "2016-01-01", "load": "1"} | {column: cell}
    table = tmp_path / f"t{suffix}"
    if suffix == ".csv":
        table.write_text("date,load\n{date},{load}\n".format(**row))
    else:
        pq.write_table(pa.table({name: [value] for name, value in row.items()}), table)
    place = {".csv": "line 2", ".parquet": "row 1"}[suffix]
    assert f"{place}, column '{column}': found" in refused(lambda: read_series(table, "date"))


@pytest.mark.parametrize(
    "times",
    [
        pa.array([10**13], pa.timestamp("s")),
        pa.array([10**15], pa.timestamp("ms")),
        pa.array([-(2**62)], pa.timestamp("us")),
        pa.array([2**31 - 1], pa.date32()),
        pa.array([86_400_000 * 10**8], pa.date64()),
        pa.array([5], pa.time64("us")),
        pa.array([5], pa.duration("us")),
        pa.array([10**15], pa.timestamp("ms", "Europe/Berlin")),
        pa.array([2**62], pa.timestamp("us", "UTC")),
    ],
)
def test_a_time_that_no_calendar_has(tmp_path: Path, times: pa.Array) -> None:
    pq.write_table(pa.table({"date": times, "load": [1.0]}), tmp_path / "t.parquet")
    refused(lambda: read_series(tmp_path / "t.parquet", "date"))


@pytest.mark.parametrize("quote", ["never closed\nneg,b\n", 'with ""others"" in it\nneg,b\n'])
@pytest.mark.parametrize("rows", [0, 3000])
def test_a_quote_that_is_never_closed(tmp_path: Path, quote: str, rows: int) -> None:
    table = tmp_path / "t.csv"
    table.write_text("label,text\npos,a\n" + f'pos,"{quote}' + "neg,and more\n" * rows)
    for door in ("prepare csv", "predict csv"):  # a parameter may read what is at hand
        assert "never closed" in refused(lambda door=door: DOORS[door][1](table))


def test_an_odd_number_of_quotes_inside_texts_is_none(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('text,label\na 5" pipe,pos\n"two\nlines",neg\n')
    assert read_texts(str(tmp_path / "t.csv"), "text") == ['a 5" pipe', "two\nlines"]
    require_table(tmp_path / "t.csv")


# --- What unfolds


def repeated(value: str, rows: int, **options: object) -> bytes:
    packed = io.BytesIO()
    values = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), [value])
    columns = {"text": values, "label": values, "date": values}
    pq.write_table(pa.table(columns), packed, compression="zstd", **options)
    return packed.getvalue()


def prefixed(value: str, rows: int) -> bytes:
    packed = io.BytesIO()
    columns = dict.fromkeys(("text", "label", "date"), [value] * rows)
    encoding = dict.fromkeys(columns, "DELTA_BYTE_ARRAY")
    pq.write_table(
        pa.table(columns),
        packed,
        compression="zstd",
        use_dictionary=False,
        column_encoding=encoding,
    )
    return packed.getvalue()


def rows_of_one(rows: int) -> bytes:
    packed = io.BytesIO()
    part = pa.table({name: np.zeros(1_000_000, np.int8) for name in ("text", "label", "date")})
    with pq.ParquetWriter(packed, part.schema, compression="zstd") as writer:
        for _ in range(rows // 1_000_000):
            writer.write_table(part)
    return packed.getvalue()


# Each unfolds to 30 MB, of texts or of rows.
BOMBS: dict[str, Callable[[], bytes]] = {
    "a value in every row": lambda: repeated("x" * 100_000, 300),
    "one row of a value": lambda: repeated("x" * 30_000_000, 1),
    "a beginning in every row": lambda: prefixed("x" * 100_000, 300),
    "a plain page": lambda: parquet(
        **dict.fromkeys(("text", "label", "date"), ["x" * 10_000] * 3_000)
    ),
    "rows without end": lambda: rows_of_one(3_000_000),
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("door", sorted(set(OF_PARQUET) - {"download parquet"}))
def test_a_small_file_that_unfolds_is_not_unfolded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, door: str, bomb: str
) -> None:
    monkeypatch.setattr(tables, "FREELY_UNPACKED_BYTES", 10_000_000)
    monkeypatch.setattr(tables, "_BATCH_BYTES", 1_000_000)
    monkeypatch.setattr(table_checks, "MAX_ROWS", 2_000_000)
    (tmp_path / "t.parquet").write_bytes(BOMBS[bomb]())
    message = refused(lambda: DOORS[door][1](tmp_path / "t.parquet"))
    # What is no time ends in the first batch.
    ends = "unpacks to more than 10,000,000|has more than 2,000,000 rows|expected a time"
    assert re.search(ends, message)
    assert not list(tmp_path.glob("out/*"))


def test_a_parquet_that_unfolds_to_gigabytes_takes_no_more_memory_than_stated(
    tmp_path: Path,
) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(repeated("x" * 1_000_000, 20_000))  # 20 GB
    code = (
        "import sys, resource; from rnnpipe.problems.classification.predict_input import read_texts\n"
        "try: read_texts(sys.argv[1], 'text')\n"
        "except Exception as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    message, megabytes = told.stdout.splitlines()
    assert "unpacks to more than 268,435,456" in message
    assert int(megabytes) < 2_500


def test_real_tables_are_far_from_the_bounds(tmp_path: Path) -> None:
    texts = [f"a review of film {row} " * 60 for row in range(20_000)]
    labels = ["pos", "neg"] * 10_000
    pq.write_table(pa.table({"text": texts, "label": labels}), tmp_path / "t.parquet")
    prepare(tmp_path / "t.parquet")
    pq.write_table(pa.table({"text": ["same"] * 2_000_000}), tmp_path / "same.parquet")
    column = read_columns(tmp_path / "same.parquet", {"text": "text"}, advice="")["text"]
    assert len(column) == 2_000_000


def test_a_table_of_books_comes_in_small_batches_and_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"{row} " * 1_000 for row in range(100)]
    pq.write_table(pa.table({"text": texts, "label": ["pos", "neg"] * 50}), tmp_path / "t.parquet")
    prepare(tmp_path / "t.parquet")
    whole = pq.read_table(tmp_path / "out/reviews.parquet")
    monkeypatch.setattr(tables, "_BATCH_BYTES", 10_000)
    monkeypatch.setattr(reviews, "GROUP_BYTES", 10_000)
    sizes = [
        len(b["text"])
        for b in tables.read_batches(tmp_path / "t.parquet", {"text": "text"}, advice="")
    ]
    assert max(sizes) < 10
    prepare(tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "out/reviews.parquet").equals(whole)
    assert pq.read_metadata(tmp_path / "out/reviews.parquet").num_row_groups > 10


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        *((kind, ["a", "é", None]) for kind in (pa.string(), pa.large_string(), pa.string_view())),
        *((kind, [b"a", "é".encode(), None]) for kind in (pa.binary(), pa.large_binary())),
        (pa.dictionary(pa.int8(), pa.string()), ["a", "é", None]),
        (pa.dictionary(pa.int32(), pa.large_string()), ["a", "é", None]),
    ],
)
def test_texts_of_every_kind_are_read(
    tmp_path: Path, kind: pa.DataType, values: list[object]
) -> None:
    is_dictionary = pa.types.is_dictionary(kind)
    column = pa.array(values, kind.value_type if is_dictionary else kind)
    column = column.dictionary_encode().cast(kind) if is_dictionary else column
    pq.write_table(pa.table({"text": column}), tmp_path / "t.parquet")
    assert read_texts(str(tmp_path / "t.parquet"), "text") == ["a", "é", ""]


# --- Archives


def tarred(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return b"".join(
        member.tobuf() + content + bytes(-len(content) % 512) for member, content in members
    ) + bytes(1024)


def member(name: str, length: int, **pax: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.pax_headers = length, pax
    return made


def test_an_xz_that_wants_gigabytes_is_refused(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30, "preset": 0, "mode": lzma.MODE_FAST}]
    # Only its header says how much is needed: written small, then changed would fail its sum.
    packer = lzma.LZMACompressor(
        lzma.FORMAT_XZ, filters=[filters[0] | {"mf": lzma.MF_HC3, "depth": 1}]
    )
    (tmp_path / "t.tar.gz").write_bytes(packer.compress(tarred()) + packer.flush())
    assert "emory usage limit" in refused(lambda: unpack(tmp_path / "t.tar.gz"))


def test_xz_streams_follow_one_another(tmp_path: Path) -> None:
    whole = tarred((member("aclImdb/README", 2000), b"x" * 2000))
    (tmp_path / "t").write_bytes(lzma.compress(whole[:700]) + lzma.compress(whole[700:]))
    with pytest.raises(RnnpipeError, match="digest of its 0 reviews"):
        unpack(tmp_path / "t")


def test_headers_that_grow_without_end_are_not_kept(tmp_path: Path) -> None:
    header = member("aclImdb/README", 0, comment="x" * (2 << 20)).tobuf(tarfile.PAX_FORMAT)
    (tmp_path / "t").write_bytes(header + bytes(1024))
    assert "a header announces" in refused(lambda: unpack(tmp_path / "t"))


def test_a_size_of_thousands_of_digits_is_not_told_in_full(tmp_path: Path) -> None:
    header = member("aclImdb/README", 0, size="9" * 4000).tobuf(tarfile.PAX_FORMAT)
    (tmp_path / "t").write_bytes(header + bytes(1024))
    refused(lambda: unpack(tmp_path / "t"))
