"""Any bytes for an archive: the reviews of its card, or a sentence, and all else as it was."""

import bz2
import gzip
import hashlib
import lzma
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from fuzzing import damaged, ends_well, fuzz
from hypothesis import strategies as st

from rnnpipe.problems.classification.archive import prepare_archive
from rnnpipe.problems.classification.reviews import content_digest
from rnnpipe.storage.content import require_content

REVIEWS = {
    "train/neg/0_2.txt": b"dull",
    "train/pos/0_7.txt": b"great",
    "train/unsup/0_0.txt": b"great",
    "test/neg/0_1.txt": "très dull".encode(),
    "test/pos/0_9.txt": b"fine",
}
LISTS = {
    f"{name}.txt": b"http://www.imdb.com/title/tt0000001/usercomments\n"
    for name in (
        "train/urls_neg",
        "train/urls_pos",
        "train/urls_unsup",
        "test/urls_neg",
        "test/urls_pos",
    )
}
DIGEST = content_digest((name, hashlib.sha256(text).digest()) for name, text in REVIEWS.items())
Pack = Callable[[bytes], bytes]
PACKINGS: list[Pack] = [bytes, gzip.compress, bz2.compress, lzma.compress]


def member(name: str, content: bytes, kind: int = tarfile.GNU_FORMAT, **changes: object) -> bytes:
    """A header, whatever it says, and the content that follows it."""
    made = tarfile.TarInfo(name)
    made.size = len(content)
    for key, value in changes.items():
        setattr(made, key, value)
    try:
        header = made.tobuf(kind, "utf-8", "surrogateescape")
    except (ValueError, OverflowError):  # what no header can say
        header = b""
    return header + content + bytes(-len(content) % tarfile.BLOCKSIZE)


HONEST = [
    b"".join(
        member(f"{root}aclImdb/{name}", text, kind) for name, text in (LISTS | REVIEWS).items()
    )
    + bytes(1024)
    for root in ("", "./", "x" * 200 + "/../")
    for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    if len(root) < 100 or kind == tarfile.PAX_FORMAT
]
NAMES = st.sampled_from(
    [
        *(f"aclImdb/{name}" for name in (*REVIEWS, *LISTS)),
        "aclImdb/../../evil",
        "/etc/evil",
        "aclImdb/train/pos/1_8.txt",
        "aclImdb/train/pos/" + "9" * 3000,
        "aclImdb/train/pos/\udcff_1.txt",
        "aclImdb",
        "a" * 2000,
        "",
    ]
)
NUMBERS = st.sampled_from(["-1", "0", "9" * 30, "9" * 5000, "nan", "1e5", "", "1_0", "٣"])
FIELDS = st.sampled_from(
    [
        *("path", "size", "linkpath", "uid", "mtime", "hdrcharset", "comment", "GNU.sparse.major"),
        *("GNU.sparse.map", "GNU.sparse.name", "GNU.sparse.realsize", "GNU.sparse.size"),
    ]
)
MEMBERS = st.builds(
    member,
    NAMES,
    st.sampled_from([b"", b"great", b"\xff", b"x" * 3000]) | st.binary(max_size=600),
    st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    type=st.sampled_from([b"0", b"\0", *(bytes([kind]) for kind in b"1234567LKSxgX\xff")]),
    size=st.sampled_from([0, 5, 512, 8**11 - 1, 2**40, -1, 2**90]) | st.integers(0, 4000),
    mtime=st.sampled_from([0, -1, 2**70]),
    pax_headers=st.dictionaries(FIELDS, NUMBERS | NAMES, max_size=3),
)
MALICE = st.lists(MEMBERS | st.sampled_from(HONEST).map(lambda tar: tar[:-1024]), max_size=6).map(
    lambda members: b"".join(members) + bytes(1024)
)


ARCHIVES = damaged([pack(tar) for pack in PACKINGS for tar in HONEST]) | st.builds(
    lambda pack, tar: pack(tar), st.sampled_from(PACKINGS), damaged(HONEST) | MALICE
)


@fuzz(ARCHIVES)
def test_any_archive_ends_well(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive, out = Path(folder) / "a.tar.gz", Path(folder) / "out/reviews.parquet"
        out.parent.mkdir()
        out.write_text("what was there before")
        archive.write_bytes(content)
        ends_well(lambda: require_content(archive, "a mirror"), Path(folder))
        prepared = ends_well(lambda: prepare_archive(archive, out, DIGEST), Path(folder))
        assert prepared is None or prepared.digest == DIGEST
        assert {path.name for path in Path(folder).rglob("*")} == {archive.name, "out", out.name}
