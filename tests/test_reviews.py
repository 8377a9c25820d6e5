"""Preparing: the same reviews give the same bytes; whatever else comes in gets a clear error."""

import bz2
import gzip
import hashlib
import io
import lzma
import random
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnpipe.problems.classification.archive
import rnnpipe.problems.classification.reviews
import rnnpipe.storage.tables
from rnnpipe.errors import IntegrityError, RnnpipeError, SourceError
from rnnpipe.problems.classification.archive import prepare_archive
from rnnpipe.problems.classification.own_table import TEST_SHARE, _test_place, prepare_table
from rnnpipe.problems.classification.params import Prepare
from rnnpipe.problems.classification.reviews import SCHEMA, Prepared, content_digest

Files = dict[str, bytes]


def url(film: int) -> bytes:
    return f"http://www.imdb.com/title/tt{film:07}/usercomments\n".encode()


def small() -> Files:
    """Eight reviews; two texts stand twice."""
    return {
        "README": b"read me",
        "train/urls_neg.txt": url(1) + url(2),
        "train/urls_pos.txt": url(1) + url(3),
        "train/urls_unsup.txt": url(4),
        "test/urls_neg.txt": url(5),
        "test/urls_pos.txt": url(6) + url(6),
        "train/neg/0_2.txt": b"dull",
        "train/neg/1_4.txt": b"dull<br />and long",
        "train/pos/0_7.txt": b"great",
        "train/pos/1_10.txt": "très bon".encode(),
        "train/unsup/0_0.txt": b"great",
        "test/neg/0_1.txt": b"dull",
        "test/pos/0_9.txt": b"fine",
        "test/pos/1_8.txt": b"finer",
    }


def digest_of(files: Files) -> str:
    """The digest by its definition, apart from the code that is tested."""
    lines = [
        f"{path}\t{hashlib.sha256(content).hexdigest()}\n".encode()
        for path, content in files.items()
        if path.count("/") == 2
    ]
    return hashlib.sha256(b"".join(sorted(lines))).hexdigest()


def tarred(files: Files, prefix: str = "aclImdb/") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(prefix + path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def with_member(member: tarfile.TarInfo, content: bytes = b"") -> bytes:
    packed = io.BytesIO(tarred(small()))
    with tarfile.open(fileobj=packed, mode="a") as tar:
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[..., Prepared]:
    def run(packed: bytes, digest: str = digest_of(small())) -> Prepared:
        (tmp_path / "a.tar.gz").write_bytes(packed)
        return prepare_archive(tmp_path / "a.tar.gz", tmp_path / "reviews.parquet", digest)

    return run


@pytest.fixture
def refuse(tmp_path: Path, prepare: Callable[..., Prepared]) -> Callable[..., str]:
    """Run on a faulty archive: the message, after a check that nothing was written."""

    def run(packed: bytes, digest: str = digest_of(small())) -> str:
        with pytest.raises(SourceError) as caught:
            prepare(packed, digest)
        assert [file.name for file in tmp_path.iterdir()] == ["a.tar.gz"]
        return str(caught.value)

    return run


# --- What comes out


def test_a_small_archive(tmp_path: Path, prepare: Callable[..., Prepared]) -> None:
    files = small()
    prepared = prepare(gzip.compress(tarred(files)))
    texts = [content for path, content in files.items() if path.count("/") == 2]
    assert prepared == Prepared(
        {"train": 4, "test": 3, "unlabelled": 1}, 2, sum(map(len, texts)), digest_of(files)
    )
    table = pq.read_table(tmp_path / "reviews.parquet")
    assert table.schema.equals(SCHEMA)
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        ("test/neg/0_1.txt", "test", 0, 1, "tt0000005", "dull", None),
        ("test/pos/0_9.txt", "test", 1, 9, "tt0000006", "fine", None),
        ("test/pos/1_8.txt", "test", 1, 8, "tt0000006", "finer", None),
        ("train/neg/0_2.txt", "train", 0, 2, "tt0000001", "dull", "test/neg/0_1.txt"),
        ("train/neg/1_4.txt", "train", 0, 4, "tt0000002", "dull<br />and long", None),
        ("train/pos/0_7.txt", "train", 1, 7, "tt0000001", "great", None),
        ("train/pos/1_10.txt", "train", 1, 10, "tt0000003", "très bon", None),
        (
            "train/unsup/0_0.txt",
            "unlabelled",
            None,
            None,
            "tt0000004",
            "great",
            "train/pos/0_7.txt",
        ),
    ]
    metadata = pq.read_metadata(tmp_path / "reviews.parquet").metadata
    assert metadata[b"content_digest"].decode() == digest_of(files)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_the_lines_that_name_films_end_in_any_way(
    tmp_path: Path, prepare: Callable[..., Prepared], end: bytes
) -> None:
    lines = (url(1) + b"\xe9" + url(66)).replace(b"\n", end).removesuffix(end)
    prepare(tarred(small() | {"test/urls_pos.txt": lines}))
    table = pq.read_table(tmp_path / "reviews.parquet", filters=[("label", "=", 1)])
    assert table["film"].to_pylist()[:2] == ["tt0000001", "tt0000066"]


@given(
    st.lists(
        st.builds(
            "{}/{}_{}.txt".format,
            st.sampled_from(rnnpipe.problems.classification.archive._FOLDERS),
            st.one_of(st.integers(0, 120), st.integers(0, 999_999_999)),
            st.integers(0, 10),
        )
    )
)
def test_keys_name_their_paths_and_sort_as_they_do(paths):
    keys = [rnnpipe.problems.classification.archive._key(path) for path in paths]
    assert [rnnpipe.problems.classification.archive._path(key) for key in keys] == paths
    assert [rnnpipe.problems.classification.archive._path(key) for key in sorted(keys)] == sorted(
        paths
    )
    # As they stand in memory.
    packed = np.array(keys, f"S{rnnpipe.problems.classification.archive._KEY_BYTES}")
    assert [
        rnnpipe.problems.classification.archive._path(key) for key in np.sort(packed)
    ] == sorted(paths)


@settings(max_examples=30, deadline=None)
@given(
    order=st.permutations(list(small())),
    prefix=st.sampled_from(["aclImdb/", "./aclImdb/"]),
    packing=st.sampled_from([bytes, gzip.compress, bz2.compress, lzma.compress]),
)
def test_every_packing_gives_the_same_bytes(
    order: list[str], prefix: str, packing: Callable[[bytes], bytes]
) -> None:
    files = small()
    outputs = []
    for packed in (tarred(files), packing(tarred({path: files[path] for path in order}, prefix))):
        with tempfile.TemporaryDirectory() as name:
            archive, out = Path(name) / "archive", Path(name) / "out.parquet"
            archive.write_bytes(packed)
            prepare_archive(archive, out, digest_of(files))
            outputs.append(out.read_bytes())
    assert outputs[0] == outputs[1]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_digest_changes_with_every_review(data: st.DataObject) -> None:
    shas = {path: hashlib.sha256(text).digest() for path, text in small().items()}
    before = content_digest(shas.items())
    path = data.draw(st.sampled_from(sorted(shas)))
    match data.draw(st.sampled_from(["change", "remove", "add", "rename"])):
        case "change":
            shas[path] = hashlib.sha256(data.draw(st.binary())).digest()
        case "remove":
            del shas[path]
        case "add":
            shas[path + "x"] = shas[path]
        case _:
            shas[path + "x"] = shas.pop(path)
    assert content_digest(shas.items()) != before


def test_long_tables_are_written_in_groups(
    tmp_path: Path, prepare: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rnnpipe.problems.classification.reviews, "ROW_GROUP", 3)
    prepare(tarred(small()))
    metadata = pq.read_metadata(tmp_path / "reviews.parquet")
    assert [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)] == [3, 3, 2]


NAMES = st.builds(
    "{}/{}_{}.txt".format,
    st.sampled_from(["train/pos", "train/neg", "test/pos", "test/neg"]),
    st.integers(0, 120),
    st.integers(0, 10),
)


@settings(max_examples=50, deadline=None)
@given(
    reviews=st.dictionaries(NAMES, st.sampled_from(["a", "b", "c", "très long" * 9]), max_size=20),
    group=st.integers(1, 7),
    shuffled=st.randoms(use_true_random=False),
)
def test_texts_set_aside_come_back_as_if_they_had_been_kept(
    reviews: dict[str, str], group: int, shuffled: random.Random
) -> None:
    files = {path: text.encode() for path, text in reviews.items()}
    lists = {f"{part}/urls_{kind}.txt": b"".join(map(url, range(121)))
             for part in ("train", "test") for kind in ("neg", "pos")}  # fmt: skip
    members = list((files | lists).items())
    shuffled.shuffle(members)
    first: dict[str, str] = {}
    expected = [
        {
            "id": path,
            "split": path.split("/")[0],
            "label": int("/pos/" in path),
            "rating": int(path.split("_")[1].removesuffix(".txt")) or None,
            "film": f"tt{int(path.split('/')[2].split('_')[0]):07}",
            "text": reviews[path],
            "duplicate_of": None if first.setdefault(reviews[path], path) == path else first[reviews[path]],
        }
        for path in sorted(reviews)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(rnnpipe.problems.classification.reviews, "ROW_GROUP", group)
        archive, out = Path(name) / "archive", Path(name) / "out.parquet"
        archive.write_bytes(tarred(dict(members)))
        prepared = prepare_archive(archive, out, digest_of(files))
        assert pq.read_table(out, schema=SCHEMA).to_pylist() == expected
        assert {path.name for path in Path(name).iterdir()} == {"archive", "out.parquet"}
    assert prepared.duplicates == sum(row["duplicate_of"] is not None for row in expected)
    assert prepared.text_bytes == sum(map(len, files.values()))


@pytest.mark.parametrize("before", [None, b"what stood there"])
def test_a_failure_half_way_leaves_nothing_behind(
    tmp_path: Path,
    prepare: Callable[..., Prepared],
    monkeypatch: pytest.MonkeyPatch,
    before: bytes | None,
) -> None:
    out = tmp_path / "reviews.parquet"
    if before is not None:
        out.write_bytes(before)
    monkeypatch.setattr(rnnpipe.problems.classification.reviews, "ROW_GROUP", 3)
    files = small() | {"train/pos/1_10.txt": b"\xff"}  # in the last of three groups
    with pytest.raises(SourceError, match="not UTF-8"):
        prepare(tarred(files), digest_of(files))
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    del left["a.tar.gz"]
    assert left == ({} if before is None else {"reviews.parquet": before})


def test_folders_and_foreign_files_do_not_matter(prepare: Callable[..., Prepared]) -> None:
    folder = tarfile.TarInfo("aclImdb/train/pos/")
    folder.type = tarfile.DIRTYPE
    assert prepare(with_member(folder)).digest == digest_of(small())
    assert prepare(with_member(tarfile.TarInfo("elsewhere/train/pos/0_9.txt"), b"x"))


# --- Reviews added, removed, changed


@pytest.mark.parametrize(
    ("path", "content", "number"),
    [
        ("train/pos/0_7.txt", b"Great", 8),
        ("train/pos/0_7.txt", None, 7),
        ("train/pos/0_8.txt", b"great", 9),
    ],
)
def test_other_reviews_are_found(
    tmp_path: Path,
    prepare: Callable[..., Prepared],
    path: str,
    content: bytes | None,
    number: int,
) -> None:
    files = small()
    if content is None:
        del files[path]
    else:
        files[path] = content
    with pytest.raises(IntegrityError, match=f"{number} reviews is {digest_of(files)}, expected"):
        prepare(tarred(files))
    assert not (tmp_path / "reviews.parquet").exists()


# --- Broken archives


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="run the download stage"):
        prepare_archive(tmp_path / "a.tar.gz", tmp_path / "out.parquet", "0" * 64)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x1f\x8b", b"<html>not found</html>" * 100])
def test_what_is_no_archive(refuse: Callable[..., str], content: bytes) -> None:
    assert "truncated or damaged" in refuse(content)


@pytest.mark.parametrize("packing", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_truncated_archive(refuse: Callable[..., str], packing: Callable[[bytes], bytes]) -> None:
    noise = random.Random(1).randbytes(5000)  # else half a packed file is all padding
    files = small() | {"train/pos/2_9.txt": noise.hex().encode()}
    packed = packing(tarred(files))
    cut = packed[: tarred(files).index(noise.hex().encode()) + 700] if packing is bytes else None
    assert "truncated or damaged" in refuse(cut or packed[: len(packed) // 2])


def test_a_wrong_checksum(refuse: Callable[..., str]) -> None:
    packed = bytearray(gzip.compress(tarred(small())))
    packed[-6] ^= 1  # the CRC comes last; tarfile alone would not read so far
    assert "truncated or damaged" in refuse(bytes(packed))


def test_a_damaged_header_in_the_middle(refuse: Callable[..., str]) -> None:
    packed = bytearray(tarred(small()))
    packed[packed.index(b"aclImdb/train/neg/1_4") + 2] ^= 1
    assert "truncated or damaged" in refuse(bytes(packed))


@settings(max_examples=150, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(tarred(small())) - 1), st.integers(1, 255)), min_size=1
    ),
    cut=st.none() | st.integers(0, len(tarred(small()))),
)
def test_no_damage_brings_anything_but_a_clear_error(
    changes: list[tuple[int, int]], cut: int | None
) -> None:
    packed = bytearray(tarred(small()))
    for at, flip in changes:
        packed[at] ^= flip
    with tempfile.TemporaryDirectory() as name:
        archive, out = Path(name) / "a.tar", Path(name) / "out.parquet"
        archive.write_bytes(packed[:cut])
        try:
            prepared = prepare_archive(archive, out, digest_of(small()))
        except RnnpipeError:
            assert not out.exists()
        else:  # the damage hit what is not read: padding, the README
            assert prepared.digest == digest_of(small())


# --- Hostile archives


@pytest.mark.parametrize(
    "name", ["../evil.txt", "aclImdb/train/pos/../../../evil.txt", "/etc/evil", "aclImdb/.."]
)
def test_a_member_that_points_outside(refuse: Callable[..., str], name: str) -> None:
    assert f"{name!r} points outside" in refuse(with_member(tarfile.TarInfo(name)))


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE],
)
def test_a_link_or_device(refuse: Callable[..., str], kind: bytes) -> None:
    member = tarfile.TarInfo("aclImdb/train/pos/2_9.txt")
    member.type, member.linkname = kind, "0_7.txt"
    assert "'aclImdb/train/pos/2_9.txt' is a link" in refuse(with_member(member))


def test_a_name_that_stands_twice(refuse: Callable[..., str]) -> None:
    member = tarfile.TarInfo("./aclImdb/train/pos/0_7.txt")
    assert "stands in it twice" in refuse(with_member(member, b"great"))


@pytest.mark.parametrize(
    "path",
    [
        "train/pos/x_7.txt",
        "train/pos/2_11.txt",
        "train/pos/02_7.txt",
        "train/pos/2_7.txt.bak",
        "train/pos/._0_7.txt",
        "train/pos/more/2_7.txt",
        "train/unsup/1_7.txt",
        "test/unsup/1_0.txt",
        "train/pos/٢_7.txt",
        "train/pos/" + "9" * 5000,
    ],
)
def test_a_name_that_is_no_reviews(refuse: Callable[..., str], path: str) -> None:
    message = refuse(with_member(tarfile.TarInfo(f"aclImdb/{path}"), b"x"))
    assert "is not named like a review" in message
    assert len(message) < 400


def test_a_review_of_absurd_size(
    refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rnnpipe.problems.classification.archive, "MAX_REVIEW_BYTES", 100)
    member = tarfile.TarInfo("aclImdb/train/pos/2_9.txt")
    assert "unpacks to 101 bytes, expected at most 100" in refuse(with_member(member, b"x" * 101))


def announced(size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """An archive whose only header announces ``size`` bytes that do not come."""
    member = tarfile.TarInfo("aclImdb/other.bin")
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def test_another_file_of_absurd_size(refuse: Callable[..., str]) -> None:
    assert "unpacks to 8,589,934,591 bytes" in refuse(announced(8**11 - 1))


@pytest.mark.parametrize(
    "kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE]
)
def test_a_long_name_of_absurd_size_is_not_fetched(refuse: Callable[..., str], kind: bytes) -> None:
    assert "announces" in refuse(announced(8**11 - 1, kind))


def test_a_bomb(refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rnnpipe.problems.classification.archive, "MAX_UNPACKED_BYTES", 1 << 20)
    member = tarfile.TarInfo("aclImdb/zeros")
    message = refuse(gzip.compress(with_member(member, bytes(2 << 20))))
    assert "unpacks to more than 1,048,576 bytes" in message


def test_too_many_members(refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rnnpipe.problems.classification.archive, "MAX_MEMBERS", 13)
    assert "more than 13 members" in refuse(tarred(small()))


# --- Reviews and films that cannot be used


def test_a_review_that_is_not_utf8(refuse: Callable[..., str]) -> None:
    files = small() | {"test/pos/0_9.txt": "hélas, secret".encode("latin-1")}
    message = refuse(tarred(files), digest_of(files))
    assert "aclImdb/test/pos/0_9.txt is not UTF-8 at byte 1" in message
    assert "secret" not in message


@pytest.mark.parametrize("content", [b"", b" \n\t", "\u3000".encode()])
def test_an_empty_review(refuse: Callable[..., str], content: bytes) -> None:
    files = small() | {"test/pos/0_9.txt": content}
    assert "test/pos/0_9.txt is empty" in refuse(tarred(files), digest_of(files))


def test_a_missing_list_of_films(refuse: Callable[..., str]) -> None:
    files = small()
    del files["test/urls_pos.txt"]
    assert "lacks aclImdb/test/urls_pos.txt" in refuse(tarred(files))


def test_a_list_of_films_that_is_too_short(refuse: Callable[..., str]) -> None:
    files = small() | {"test/urls_pos.txt": url(6)}
    assert "has 1 lines; test/pos/1_8.txt needs line 2" in refuse(tarred(files))


def test_a_line_without_a_film(refuse: Callable[..., str]) -> None:
    files = small() | {"test/urls_pos.txt": url(6) + b"http://www.imdb.com/\n"}
    assert "test/urls_pos.txt, line 2: no film" in refuse(tarred(files))


# --- Own tables


def params(**changes: Any) -> Prepare:
    values: dict[str, Any] = {
        "text_column": "text",
        "label_column": "label",
        "split_column": None,
        "group_column": None,
        "labels": {"neg": "neg", "0": "neg", "false": "neg"}
        | {"pos": "pos", "1": "pos", "true": "pos"},
    }
    return Prepare.model_validate(values | changes)


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Prepare a table given as CSV text or bytes, or as columns for parquet; its rows."""

    def run(content: str | bytes | dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
        suffix = ".parquet" if isinstance(content, dict) else ".csv"
        own = tmp_path / f"reviews{suffix}"
        if isinstance(content, dict):
            pq.write_table(pa.table(content), own)
        else:
            own.write_bytes(content.encode() if isinstance(content, str) else content)
        out = tmp_path / "out.parquet"
        out.unlink(missing_ok=True)
        try:
            prepare_table(own, out, params(**changes))
        except SourceError:
            assert not out.exists()
            raise
        return pq.read_table(out, schema=SCHEMA).to_pylist()

    return run


Table = Callable[..., list[dict[str, Any]]]


def test_a_csv(table: Table) -> None:
    rows = table(
        '\ufefflabel,more,text\npos,1,"two\nlines, ""quoted"""\nneg,,dull\n,,who knows\nneg,9,dull\n'
        "neg,,poor\npos,,fine\n"
    )
    assert [row["id"] for row in rows] == [f"row/{at:08}" for at in range(6)]
    assert [row["label"] for row in rows] == [1, 0, None, 0, 0, 1]
    texts = ['two\nlines, "quoted"', "dull", "who knows", "dull", "poor", "fine"]
    assert [row["text"] for row in rows] == texts
    assert [row["duplicate_of"] for row in rows] == [*[None] * 3, "row/00000001", None, None]
    assert rows[2]["split"] == "unlabelled"
    assert rows[1]["split"] == rows[3]["split"]
    assert {row["rating"] for row in rows} == {row["film"] for row in rows} == {None}


@pytest.mark.parametrize(
    "labels",
    [
        [1, 0, None],
        [1.0, 0.0, None],
        [1.0, 0.0, float("nan")],
        [True, False, None],
        ["1.0", " 0 ", ""],
        pa.array(["pos", "neg", None]).dictionary_encode(),
        pa.array([b"pos", b"neg", b" "]),
        pa.array(["pos", "neg", None], pa.large_string()),
    ],
)
def test_labels_of_every_kind_in_parquet(table: Table, labels: Any) -> None:
    twice = labels * 2 if isinstance(labels, list) else pa.concat_arrays([labels] * 2)
    rows = table({"text": [*"abcdef"], "label": twice})
    assert [row["label"] for row in rows] == [1, 0, None] * 2


def test_split_and_group_columns(table: Table) -> None:
    rows = table(
        {
            "text": ["a", "b", "c", "d", "e", "f"],
            "label": ["pos", "neg", "pos", None, "neg", "pos"],
            "part": ["train", " test", "unlabelled", "unlabelled", "train", "test"],
            "product": [7, 7, None, 8, 9, 9],
        },
        split_column="part",
        group_column="product",
    )
    splits = ["train", "test", "unlabelled", "unlabelled", "train", "test"]
    assert [row["split"] for row in rows] == splits
    assert [row["label"] for row in rows] == [1, 0, None, None, 0, 1]
    assert [row["film"] for row in rows] == ["7", "7", None, "8", "9", "9"]


@settings(max_examples=100, deadline=None)
@given(
    film=st.none() | st.text(st.characters(codec="utf-8")),
    texts=st.lists(st.binary(), min_size=2, max_size=2),
)
def test_a_group_or_else_a_text_stands_on_one_side(film: str | None, texts: list[bytes]) -> None:
    sides = {_test_place(film, text) for text in texts}
    assert len(sides) == 1 or film is None
    assert all(0 <= side < 1 for side in sides)


def test_one_row_in_five_becomes_test() -> None:
    sides = [
        "test" if _test_place(None, str(row).encode()) < TEST_SHARE else "train"
        for row in range(10_000)
    ]
    assert 0.18 < sides.count("test") / len(sides) < 0.22


@pytest.mark.parametrize("word", ["dev", "Val", "VALID", "validation"])
def test_a_validation_split_of_ones_own_is_kept(table: Table, word: str) -> None:
    splits = ["Train", "TEST", word, "unlabeled", "training"]
    lines = [f"{'pos' if at % 2 else 'neg'},text {at},{splits[at % 5]}\n" for at in range(40)]
    found = table("label,text,s\n" + "".join(lines), split_column="s")
    expected = ["train", "test", "validation", "unlabelled", "train"] * 8
    assert [row["split"] for row in found] == expected


def test_more_rows_move_no_row(table: Table) -> None:
    lines = [f"{'pos' if at % 2 else 'neg'},text {at}\n" for at in range(100)]
    before = table("label,text\n" + "".join(lines[:60]))
    after = table("label,text\n" + "".join(lines))
    assert after[:60] == before


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        ("", {}, "no column 'text'; found: none"),
        ("label,text\n", {}, "has no rows"),
        ("label,txet\npos,a\n", {}, r"no column 'text'; did you mean 'txet'\? found: 'label', 'txet'"),
        ("text,label\na,pos\n", {"split_column": "split"}, "prepare.split_column"),
        ("text,label,text\na,pos,b\n", {}, "more than one column 'text'"),
        ("text,label\na,pos\n ,neg\n", {}, "1 empty texts of 2, in row 1"),
        ("text,label\na,pos\nb,negg\n", {}, r"'negg' \(row 1\).*prepare.labels"),
        ("text,label\na,1\nb,2\nc,3\nd,1\n", {}, r"'2' \(row 1\), '3' \(row 2\).*null.*for the 3 labels as they stand"),
        ("text,label\na,pos\nb,pos\n", {}, r"found only 'pos' labels \(2 rows\), expected two"),
        ("text,label\na,\nb,\n", {}, "found no labels"),
        ("text,label,s\na,pos,devil\nb,neg,train\n", {"split_column": "s"}, "row 0, column 's': found 'devil'"),
        ("text,label,s\na,pos,\nb,neg,train\n", {"split_column": "s"}, "found nothing"),
        ("text,label,s\na,pos,test\nb,neg,train\nc,,train\n", {"split_column": "s"}, "row 2.*has no label"),
    ],
)  # fmt: skip
def test_a_faulty_csv_is_refused(
    table: Table, content: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        table(content, **changes)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_is_read_a_few_rows_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    columns = {
        "text": [f"{'text ' * 5}{at % 300}" for at in range(400)],
        "label": ["pos" if at % 2 else "neg" for at in range(400)],
        "group": [str(at % 37) if at % 5 else "" for at in range(400)],
    }
    own, out = tmp_path / f"reviews{suffix}", tmp_path / "out.parquet"
    write = pa.csv.write_csv if suffix == ".csv" else pq.write_table
    write(pa.table(columns), own)
    tables = []
    for rows, size in ((5_000, 64 << 20), (7, 600)):
        monkeypatch.setattr(rnnpipe.storage.tables, "_BATCH_ROWS", rows)
        monkeypatch.setattr(rnnpipe.storage.tables, "_BLOCK_BYTES", size)
        prepare_table(own, out, params(group_column="group"))
        tables.append(out.read_bytes())
    assert tables[0] == tables[1]
    # A fault is named by its row in the table, not in the batch.
    for name, value, message in (("text", " ", "in row 321"), ("label", "?", "row 321")):
        faulty = columns | {name: [*columns[name][:321], value, *columns[name][322:]]}
        write(pa.table(faulty), own)
        with pytest.raises(SourceError, match=message):
            prepare_table(own, tmp_path / "none.parquet", params())
    assert not (tmp_path / "none.parquet").exists()


def test_a_row_with_another_number_of_columns_is_refused_without_its_text(table: Table) -> None:
    with pytest.raises(SourceError, match="Row #3: Expected 2 columns, got 3") as caught:
        table("label,text\npos,a\nneg,my secret, it is\n")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("at", ["header", "text"])
def test_a_csv_that_is_not_utf8_is_refused(table: Table, at: str) -> None:
    header, text = ("label,text,é", "a,0") if at == "header" else ("label,text", "é")
    with pytest.raises(SourceError, match="not UTF-8"):
        table(f"{header}\npos,{text}\nneg,b\n".encode("latin-1"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": [1, 2], "label": ["pos", "neg"]}, "the text column holds int64"),
        ({"text": ["a", None], "label": ["pos", "neg"]}, "1 empty texts of 2, in row 1"),
        ({"text": ["a", "b"], "label": [["pos"], ["neg"]]}, "expected text, numbers or booleans"),
        ({"text": ["a", "b"], "label": [0.5, 1.0]}, r"'0.5' \(row 0\)"),
        ({"text": [b"a", b"\xff"], "label": ["pos", "neg"]}, "row 1, column 'text': not UTF-8"),
        ({"label": ["pos", "neg"]}, "no column 'text'"),
    ],
)
def test_a_faulty_parquet_is_refused(table: Table, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        table(columns)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_that_is_missing_or_broken_is_refused(tmp_path: Path, suffix: str) -> None:
    own = tmp_path / f"reviews{suffix}"
    with pytest.raises(SourceError, match="is not here"):
        prepare_table(own, tmp_path / "out.parquet", params())
    own.write_bytes(b"PAR1 and nothing else" * 3)
    with pytest.raises(SourceError):
        prepare_table(own, tmp_path / "out.parquet", params())


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(str.strip),
            st.sampled_from(["pos", "neg", ""]),
        )
    )
)
def test_a_csv_and_a_parquet_of_the_same_rows_agree(rows: list[tuple[str, str]]) -> None:
    rows = [*rows, ("good", "pos"), ("bad", "neg"), ("better", "pos"), ("worse", "neg")]
    own = pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]})
    outputs = []
    with tempfile.TemporaryDirectory() as name:
        for suffix, write in ((".csv", pa.csv.write_csv), (".parquet", pq.write_table)):
            source, out = Path(name) / f"own{suffix}", Path(name) / "out.parquet"
            write(own, source)
            prepare_table(source, out, params())
            outputs.append(out.read_bytes())
        table = pq.read_table(out)
    assert outputs[0] == outputs[1]
    assert table["text"].to_pylist() == [text for text, _ in rows]
