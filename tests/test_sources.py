"""Fetching: against a real server that breaks off, lies, and changes its mind."""

import contextlib
import gzip
import hashlib
import json
import logging
import re
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnpipe.storage.transfer
from rnnpipe.errors import IntegrityError, NetworkError, RnnpipeError, SourceError
from rnnpipe.storage.addresses import may_lead_to, shown_address
from rnnpipe.storage.card import read_card
from rnnpipe.storage.download import MIRROR_VARIABLE, Fetched, fetch

ROOT = Path(__file__).parents[1]
# Two tables of 1 MiB; no line of one stands in the other.
BODY = b"text,label\n" + b"".join(b"good %07d,pos\n" % row for row in range(61_679))
BODY += b"good".ljust((1 << 20) - len(BODY) - 5, b".") + b",pos\n"
OTHER = BODY.replace(b"good", b"fine")
PACKED = gzip.compress(tarfile.TarInfo("aclImdb/README").tobuf() + bytes(1024))
# A week ago: strong beside a Date of today.
MODIFIED = {"Last_Modified": formatdate(time.time() - 7 * 86400, usegmt=True)}


class Handler(BaseHTTPRequestHandler):
    """Answers each request with the server's next step; the last one stays."""

    server: "Server"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        steps = self.server.steps
        (steps.pop(0) if len(steps) > 1 else steps[0])(self)

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()
        self.steps: list[Callable[[Handler], None]] = [whole]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/some/reviews.csv"


def whole(handler: Handler) -> None:
    """Heeds Range and If-Range."""
    serve(handler, BODY, '"one"')


def serve(handler: Handler, body: bytes, etag: str = "", **headers: str) -> None:
    headers |= {"ETag": etag} if etag else {}
    asked = handler.headers.get("Range")
    if asked is None or handler.headers.get("If-Range") not in headers.values():
        return handler.answer(200, body, **headers)
    start = int(asked.removeprefix("bytes=").removesuffix("-"))
    if start >= len(body):
        return handler.answer(416, Content_Range=f"bytes */{len(body)}")
    content_range = f"bytes {start}-{len(body) - 1}/{len(body)}"
    return handler.answer(206, body[start:], Content_Range=content_range, **headers)


def breaks_off(**headers: str) -> Callable[[Handler], None]:
    """Announce everything, send a good half, hang up."""

    def step(handler: Handler) -> None:
        handler.answer(200, BODY[:600_000], Content_Length=str(len(BODY)), **headers)

    return step


def says(status: int, **headers: str) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(status, b"sorry", **headers)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (MIRROR_VARIABLE, "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def get(tmp_path: Path) -> Callable[[str], Fetched]:
    return lambda source: fetch(
        source, tmp_path / "raw", tmp_path / "partial", tries=3, wait_seconds=0.001
    )


def kept(tmp_path: Path) -> list[str]:
    folder = tmp_path / "partial"
    return sorted(file.suffix for file in folder.iterdir()) if folder.exists() else []


def write_card(tmp_path: Path, **changes: Any) -> str:
    card: dict[str, Any] = {
        "name": "small",
        "kind": "archive",
        "address": "https://127.0.0.1:9/some.tar.gz",
        "file_name": "some.tar.gz",
        "bytes": len(BODY),
        "md5": hashlib.md5(BODY).hexdigest(),
        "content_digest": "0" * 64,
        "reviews": 3,
        "citation": "Nobody 2020",
    }
    card.update(changes)
    path = tmp_path / "card.json"
    path.write_text(json.dumps({key: value for key, value in card.items() if value is not None}))
    return str(path)


def write_table_card(tmp_path: Path, **changes: Any) -> str:
    table: dict[str, Any] = {
        "kind": "table",
        "address": "https://127.0.0.1:9/some.csv",
        "file_name": "some.csv",
        "sha256": hashlib.sha256(BODY).hexdigest(),
        "md5": None,
        "content_digest": None,
        "reviews": None,
    }
    return write_card(tmp_path, **(table | changes))


# --- The card


def test_the_card_of_imdb_is_right() -> None:
    card = read_card(ROOT / "data/imdb.json")
    assert card.bytes == 84_125_825
    assert card.md5 == "7c2ac02c03563afcf9b574c7e56c153a"
    assert card.reviews == 100_000


@pytest.mark.parametrize(
    ("name", "size", "digest"),
    [("ETTh1", 2_589_657, "f18de3ad269cef59"), ("ETTh2", 2_417_960, "a3dc2c597b9218c7")],
)
def test_the_cards_of_the_series_are_right(name: str, size: int, digest: str) -> None:
    card = read_card(ROOT / f"data/{name.lower()}.json")
    assert (card.kind, card.file_name, card.bytes) == ("table", f"{name}.csv", size)
    assert card.address.endswith(f"/{name}.csv")
    assert card.sha256.startswith(digest)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": None}, "missing 'sha256'"),
        ({"sha256": "ABC"}, "expected 64 hex digits"),
        ({"md5": "0" * 32}, "unknown 'md5'"),
        ({"file_name": "some.zip"}, "file_name is 'some.zip', expected a table's"),
    ],
)
def test_a_faulty_card_of_a_table_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        read_card(Path(write_table_card(tmp_path, **changes)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"md6": "x"}, "unknown 'md6'"),
        ({"md5": None}, "missing 'md5'"),
        ({"bytes": "84"}, "bytes is '84', expected a positive number"),
        ({"bytes": True}, "bytes is True"),
        ({"bytes": -1}, "bytes is -1"),
        ({"name": ""}, "name is '', expected text"),
        ({"kind": "rumour"}, "kind is 'rumour', expected 'archive' or 'table'"),
        ({"file_name": "../some.tar.gz"}, "expected a plain name"),
        ({"file_name": ".."}, "expected a plain name"),
        ({"file_name": "/etc/passwd"}, "expected a plain name"),
        ({"md5": "ABC"}, "expected 32 hex digits"),
        ({"content_digest": "0" * 63}, "expected 64 hex digits"),
    ],
)
def test_a_faulty_card_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read_card(Path(write_card(tmp_path, **changes)))


def test_a_card_that_is_missing_or_no_object_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    with pytest.raises(SourceError, match="is not here"):
        read_card(path)
    for text, message in (("{", "not valid JSON"), ("[]", "found list")):
        path.write_text(text)
        with pytest.raises(SourceError, match=message):
            read_card(path)
    path.write_bytes(b"\xff")
    with pytest.raises(SourceError, match="not valid JSON"):
        read_card(path)


# --- Files on this machine


def test_a_table_by_path_gets_a_fixed_name(tmp_path: Path, get: Callable[[str], Fetched]) -> None:
    table = tmp_path / "my own $ reviews.CSV"
    table.write_bytes(BODY)
    fetched = get(str(table))
    assert fetched == Fetched(tmp_path / "raw/reviews.csv", str(table), len(BODY))
    assert fetched.path.read_bytes() == BODY
    assert list((tmp_path / "raw").iterdir()) == [fetched.path]


def test_a_file_url_is_a_path(tmp_path: Path, get: Callable[[str], Fetched]) -> None:
    table = tmp_path / "a b.parquet"
    pq.write_table(pa.table({"text": ["good"], "label": ["pos"]}), table)
    assert get(table.as_uri()).path.read_bytes() == table.read_bytes()
    with pytest.raises(SourceError, match="three slashes"):
        get("file://elsewhere/a.csv")


@pytest.mark.parametrize("source", ["reviews.xlsx", "reviews", "https://host/reviews.zip?x=.csv"])
def test_an_unknown_suffix_is_refused(get: Callable[[str], Fetched], source: str) -> None:
    with pytest.raises(SourceError, match=r"expected \.json"):
        get(source)


@pytest.mark.parametrize("source", ["s3://bucket/a.csv", "http://[/a.csv", "https://host/a.json"])
def test_an_address_that_cannot_be_asked_is_refused(
    get: Callable[[str], Fetched], source: str
) -> None:
    with pytest.raises(SourceError):
        get(source)


def test_a_missing_table_leaves_the_previous_one(
    tmp_path: Path, get: Callable[[str], Fetched]
) -> None:
    table = tmp_path / "a.csv"
    table.write_bytes(BODY)
    get(str(table))
    table.unlink()
    with pytest.raises(SourceError, match="is not here"):
        get(str(table))
    assert (tmp_path / "raw/reviews.csv").read_bytes() == BODY


def test_a_card_with_a_local_address_is_checked(
    tmp_path: Path, get: Callable[[str], Fetched], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "here.tar.gz"
    archive.write_bytes(BODY)
    card = write_card(tmp_path, address=str(archive))
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path / "nowhere"))  # for http addresses only
    assert get(card).path == tmp_path / "raw/some.tar.gz"
    archive.write_bytes(BODY[:-1])
    with pytest.raises(IntegrityError, match="bytes found 1048575, expected 1048576"):
        get(card)


# --- A mirror


@pytest.mark.parametrize("form", ["path", "url", "home"])
def test_a_mirror_folder_stands_in_and_md5_is_not_compared(
    tmp_path: Path, get: Callable[[str], Fetched], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "some.tar.gz").write_bytes(PACKED)
    monkeypatch.setenv("HOME", str(tmp_path))
    value = {"path": str(mirror), "url": mirror.as_uri(), "home": "~/mirror"}[form]
    monkeypatch.setenv(MIRROR_VARIABLE, value)
    assert get(write_card(tmp_path)).path.read_bytes() == PACKED


def test_a_mirror_url_stands_in(
    tmp_path: Path,
    get: Callable[[str], Fetched],
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(MIRROR_VARIABLE, f"http://127.0.0.1:{server.server_port}/folder/?key=1")
    server.steps = [lambda handler: handler.answer(200, PACKED)]
    assert get(write_card(tmp_path)).path.read_bytes() == PACKED
    assert server.asked[0][0] == "/folder/some.tar.gz?key=1"


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_table_is_the_one_of_its_card_wherever_it_comes_from(
    tmp_path: Path,
    get: Callable[[str], Fetched],
    monkeypatch: pytest.MonkeyPatch,
    mirrored: bool,
) -> None:
    (tmp_path / "mirror").mkdir()
    table = tmp_path / "mirror/some.csv"
    table.write_bytes(BODY)
    card = write_table_card(tmp_path, **({} if mirrored else {"address": str(table)}))
    if mirrored:
        monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path / "mirror"))
    assert get(card).path.read_bytes() == BODY
    table.write_bytes(BODY[:-1] + b"x")
    with pytest.raises(IntegrityError, match="sha256 found"):
        get(card)
    assert (tmp_path / "raw/some.csv").read_bytes() == BODY


def test_a_table_of_ones_own_may_be_called_otherwise(tmp_path: Path) -> None:
    (tmp_path / "mine.CSV").write_bytes(BODY)
    source = str(tmp_path / "mine.CSV")
    fetched = fetch(source, tmp_path / "raw", tmp_path / "partial", table_name="series")
    assert fetched.path == tmp_path / "raw/series.csv"


def test_a_mirror_without_the_file_says_what_to_do(
    tmp_path: Path, get: Callable[[str], Fetched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(SourceError, match=f"some.tar.gz is not here.*{MIRROR_VARIABLE}"):
        get(write_card(tmp_path))


# --- Transfers


def test_a_transfer_is_whole_and_leaves_nothing_behind(
    tmp_path: Path, get: Callable[[str], Fetched], server: Server
) -> None:
    assert get(server.address).path.read_bytes() == BODY
    assert kept(tmp_path) == []
    assert server.asked[0][1]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("headers", [{"ETag": '"one"'}, MODIFIED])
def test_a_broken_transfer_goes_on(
    get: Callable[[str], Fetched], server: Server, headers: dict[str, str]
) -> None:
    server.steps = [breaks_off(**headers), lambda handler: serve(handler, BODY, **headers)]
    assert get(server.address).path.read_bytes() == BODY
    assert [headers.get("Range") for _, headers in server.asked] == [None, "bytes=600000-"]


def test_a_broken_transfer_goes_on_in_a_later_run(
    tmp_path: Path, get: Callable[[str], Fetched], server: Server
) -> None:
    server.steps = [breaks_off(ETag='"one"'), says(503)]
    with pytest.raises(NetworkError):
        get(server.address)
    assert kept(tmp_path) == [".json", ".part"]
    server.steps = [whole]
    assert get(server.address).path.read_bytes() == BODY
    assert server.asked[-1][1]["Range"] == "bytes=600000-"
    assert kept(tmp_path) == []


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_validator_it_starts_again(
    get: Callable[[str], Fetched], server: Server, etag: str | None
) -> None:
    server.steps = [breaks_off(**({"ETag": etag} if etag else {})), whole]
    assert get(server.address).path.read_bytes() == BODY
    assert "Range" not in server.asked[1][1]


def test_a_file_that_changed_meanwhile_is_never_mixed(
    get: Callable[[str], Fetched], server: Server
) -> None:
    other = OTHER
    server.steps = [breaks_off(ETag='"one"'), lambda handler: serve(handler, other, '"two"')]
    assert get(server.address).path.read_bytes() == other


def test_a_server_that_ignores_if_range_cannot_mix_versions(
    get: Callable[[str], Fetched], server: Server
) -> None:
    other = OTHER

    def ignores_if_range(handler: Handler) -> None:
        content_range = f"bytes 600000-{len(other) - 1}/{len(other)}"
        handler.answer(206, other[600_000:], ETag='"two"', Content_Range=content_range)

    server.steps = [
        breaks_off(ETag='"one"'),
        ignores_if_range,
        lambda handler: serve(handler, other, '"two"'),
    ]
    assert get(server.address).path.read_bytes() == other


def test_a_server_that_ignores_range_is_understood(
    get: Callable[[str], Fetched], server: Server
) -> None:
    server.steps = [breaks_off(ETag='"one"'), lambda h: h.answer(200, BODY, ETag='"one"')]
    assert get(server.address).path.read_bytes() == BODY


def test_a_wrong_range_is_not_appended(get: Callable[[str], Fetched], server: Server) -> None:
    server.steps = [
        breaks_off(ETag='"one"'),
        lambda h: h.answer(206, BODY[5:], Content_Range=f"bytes 5-{len(BODY) - 1}/{len(BODY)}"),
        whole,
    ]
    assert get(server.address).path.read_bytes() == BODY


def test_a_file_whole_before_the_stop_is_not_fetched_again(
    tmp_path: Path, get: Callable[[str], Fetched], server: Server
) -> None:
    server.steps = [breaks_off(ETag='"one"'), says(503)]
    with pytest.raises(NetworkError):
        get(server.address)
    next((tmp_path / "partial").glob("*.part")).write_bytes(BODY)
    server.steps = [whole]  # answers 416
    assert get(server.address).path.read_bytes() == BODY


def test_a_partial_file_that_is_too_long_is_thrown_away(
    tmp_path: Path, get: Callable[[str], Fetched], server: Server
) -> None:
    server.steps = [breaks_off(ETag='"one"'), says(503)]
    with pytest.raises(NetworkError):
        get(server.address)
    next((tmp_path / "partial").glob("*.part")).write_bytes(BODY + b"more")
    server.steps = [whole]
    assert get(server.address).path.read_bytes() == BODY


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_transient_answer_is_tried_again(
    get: Callable[[str], Fetched], server: Server, status: int
) -> None:
    server.steps = [says(status, Retry_After="0"), whole]
    assert get(server.address).path.read_bytes() == BODY
    assert len(server.asked) == 2


def test_tries_that_bring_something_new_do_not_count(
    get: Callable[[str], Fetched], server: Server
) -> None:
    def a_little_more(handler: Handler) -> None:
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        status = 206 if start else 200
        piece = BODY[start : start + 150_000]
        content_range = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
        handler.answer(
            status,
            piece,
            ETag='"one"',
            Content_Range=content_range,
            Content_Length=str(len(BODY) - start),
        )

    server.steps = [a_little_more]
    assert get(server.address).path.read_bytes() == BODY
    assert len(server.asked) == 7  # with three tries


def test_a_server_that_lies_about_the_length_ends_in_a_network_error(
    tmp_path: Path, get: Callable[[str], Fetched], server: Server
) -> None:
    server.steps = [breaks_off()]
    with pytest.raises(NetworkError, match="broke off"):
        get(server.address)
    assert not (tmp_path / "raw").exists()


def test_no_network_says_what_to_do(tmp_path: Path, get: Callable[[str], Fetched]) -> None:
    with pytest.raises(NetworkError) as caught:
        get(write_card(tmp_path))  # nobody listens there
    assert caught.value.exit_code == 75
    for part in ("https://127.0.0.1:9/some.tar.gz", MIRROR_VARIABLE, "make demo"):
        assert part in str(caught.value)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_final_answer_is_not_tried_again(
    get: Callable[[str], Fetched], server: Server, status: int
) -> None:
    server.steps = [says(status)]
    with pytest.raises(SourceError, match=f"answers {status}"):
        get(server.address)
    assert len(server.asked) == 1


def test_a_table_in_a_content_encoding_is_refused(
    get: Callable[[str], Fetched], server: Server
) -> None:
    server.steps = [says(200, Content_Encoding="gzip")]
    with pytest.raises(SourceError, match="Content-Encoding 'gzip'"):
        get(server.address)


# --- Transfers that mix versions, bring nothing, or never end


def part_of(
    body: bytes, start: int, end: int | None = None, total: object = None
) -> dict[str, Any]:
    end = len(body) if end is None else end
    return {
        "status": 206,
        "body": body[start:end],
        "Content_Range": f"bytes {start}-{end - 1}/{len(body) if total is None else total}",
    }


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ETag": 'W/"one"'},
        {"ETag": "one"},
        {"ETag": '""'},
        {"ETag": '"on\x80e"'},
        {"Last_Modified": "yesterday"},
        {"Last_Modified": 0},
        {"Last_Modified": -30},
        {"Last_Modified": 900},
        {"Last_Modified": "Thu, 31 Feb 2020 10:00:00 GMT"},
        {"Last_Modified": "Wed, 01 Jan 0000 10:00:00 GMT"},
        {"ETag": 'W/"one"', "Last_Modified": 0},
    ],
)
def test_what_names_no_bytes_is_never_gone_on_from(
    get: Callable[[str], Fetched], server: Server, headers: dict[str, Any]
) -> None:
    """Each of these may stand for three versions, of one second or one meaning."""
    headers = {  # a number is seconds from now, when the test runs
        name: value if isinstance(value, str) else formatdate(time.time() + value, usegmt=True)
        for name, value in headers.items()
    }
    third = BODY.replace(b"good", b"poor")

    def anything_goes(handler: Handler) -> None:
        if "Range" in handler.headers:
            return handler.answer(**part_of(third, 600_000), **headers)
        return handler.answer(200, OTHER, **headers)

    server.steps = [breaks_off(**headers), anything_goes]
    assert get(server.address).path.read_bytes() == OTHER
    assert "Range" not in server.asked[1][1]


def test_a_file_rewritten_twice_within_a_second_is_one_of_them(
    get: Callable[[str], Fetched], server: Server
) -> None:
    now = formatdate(time.time(), usegmt=True)
    versions = [BODY, OTHER, BODY.replace(b"good", b"poor")]
    bodies = [*versions]

    def rewritten(handler: Handler) -> None:
        body = bodies.pop(0) if len(bodies) > 1 else bodies[0]
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        length = {"Content_Length": str(len(body) - start)}
        answer = part_of(body, start) if start else {"status": 200, "body": body}
        if len(bodies) > 1:
            answer["body"] = answer["body"][:300_000]
        handler.answer(**answer, **length, Last_Modified=now)

    server.steps = [rewritten]
    assert get(server.address).path.read_bytes() in versions


@pytest.mark.parametrize(
    "answer",
    [
        part_of(OTHER, 600_000),  # of nobody knows what
        part_of(OTHER, 600_000) | {"ETag": '"two"'},
        part_of(OTHER, 600_000) | {"ETag": 'W/"one"'},
        part_of(OTHER, 600_000, total="*") | {"ETag": '"one"'},
        part_of(OTHER, 600_000, total=len(BODY) + 1) | {"ETag": '"one"'},
        part_of(OTHER, 600_000, total="9" * 5000) | {"ETag": '"one"'},
        part_of(OTHER, 599_999) | {"ETag": '"one"'},
        part_of(OTHER, 0) | {"ETag": '"one"'},
        part_of(OTHER, 600_000) | {"ETag": '"one"', "Content_Range": "bytes 600000-1/9"},
        part_of(OTHER, 600_000) | {"ETag": '"one"', "Content_Range": "lines 1-2/3"},
        part_of(OTHER, 600_000) | {"ETag": '"one"', "Content_Range": ""},
        {"status": 206, "body": OTHER, "Content_Type": "multipart/byteranges; boundary=x"},
        {"status": 416, "Content_Range": "bytes */600000"},
        {"status": 416, "Content_Range": f"bytes */{len(BODY)}"},
        {"status": 416},
        {"status": 200, "body": OTHER, "ETag": '"two"'},
        {"status": 200, "body": OTHER},
    ],
)
def test_another_part_than_was_asked_for_is_never_joined(
    get: Callable[[str], Fetched], server: Server, answer: dict[str, Any]
) -> None:
    server.steps = [
        breaks_off(ETag='"one"'),
        lambda handler: handler.answer(**answer),
        lambda handler: serve(handler, OTHER, '"two"'),
    ]
    assert get(server.address).path.read_bytes() == OTHER


def test_parts_that_end_early_are_gone_on_from(
    get: Callable[[str], Fetched], server: Server
) -> None:
    def slices(handler: Handler) -> None:
        start = int(handler.headers["Range"][6:-1])
        end = min(start + 100_000, len(BODY))
        handler.answer(**part_of(BODY, start, end), ETag='"one"')

    server.steps = [breaks_off(ETag='"one"'), slices]
    assert get(server.address).path.read_bytes() == BODY
    assert len(server.asked) == 6


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n", **headers: str) -> Callable[[Handler], None]:
    def step(handler: Handler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        for name, value in ({"Transfer_Encoding": "chunked"} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        for piece in pieces:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.write(end)
        handler.close_connection = True

    return step


def raw(answer: bytes) -> Callable[[Handler], None]:
    def step(handler: Handler) -> None:
        handler.wfile.write(answer)
        handler.close_connection = True

    return step


def test_a_body_in_chunks_is_read(get: Callable[[str], Fetched], server: Server) -> None:
    server.steps = [chunked(BODY[:5], BODY[5:])]
    assert get(server.address).path.read_bytes() == BODY


LOG_IN = b"<!DOCTYPE html>\n<html><body>Please log in, you, and you</body></html>\n"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: "
NO_GOOD: dict[str, Callable[[Handler], None]] = {
    "0 bytes": lambda h: h.answer(200),
    "a page to log in": lambda h: h.answer(200, LOG_IN, Content_Type="text/html"),
    "a page behind blanks": lambda h: h.answer(200, b"\xef\xbb\xbf \n" + LOG_IN),
    "JSON": lambda h: h.answer(200, b'{"error": "unauthorised", "code": 7}\n' * 9),
    "a sentence": lambda h: h.answer(200, b"Access denied\nTry again\n"),
    "a header alone": lambda h: h.answer(200, b"text,label\n"),
    "a spreadsheet": lambda h: h.answer(200, b"PK\x03\x04" + BODY),
    "a gzip": lambda h: h.answer(200, PACKED),
    "noise": lambda h: h.answer(200, bytes(range(256)) * 9),
    "a row too wide": lambda h: h.answer(200, BODY + b"a,b,c\n"),
    "an unclosed quote": lambda h: h.answer(200, BODY + b'"a,b\n'),
    "packed on the way": lambda h: h.answer(200, BODY, Content_Encoding="br"),
    "a broken off body": breaks_off(),
    "chunks cut off": chunked(BODY, end=b""),
    "chunks cut within": chunked(BODY, end=b"ff\r\nab"),
    "chunks of no size": chunked(BODY, end=b"xyz\r\n"),
    "chunks of a wrong length": chunked(BODY, Content_Length=str(len(BODY) + 9)),
    "two lengths": raw(LENGTH + b"5\r\nContent-Length: 9\r\n\r\n" + BODY[:9]),
    "no length": raw(LENGTH + b"many\r\n\r\n" + BODY),
    "a length of 5,000 digits": raw(LENGTH + b"9" * 5000 + b"\r\n\r\n" + BODY),
    "a length below 0": raw(LENGTH + b"-5\r\n\r\n" + BODY),
    "no HTTP": raw(b"220 ftp ready\r\n"),
    "nothing at all": raw(b""),
    "endless headers": raw(b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 300),
    "an endless header": raw(b"HTTP/1.1 200 OK\r\nX: " + b"z" * 100_000),
    "a status of no number": raw(b"HTTP/1.1 two hundred\r\n\r\n"),
    "a part nobody asked for": lambda h: h.answer(**part_of(BODY, 5)),
    "no part": lambda h: h.answer(416, Content_Range="bytes */5"),
    "no content": lambda h: h.answer(204),
    "not modified": lambda h: h.answer(304),
    "odd pause": lambda h: h.answer(503, Retry_After="Wed, 01 Jan 0000 10:00:00 GMT"),
    "a redirect to itself": says(302, Location="/some/reviews.csv"),
    "a redirect to a file": says(302, Location="file:///etc/passwd"),
    "a redirect to data": says(302, Location="data:text/csv,a"),
    "a redirect to nowhere": says(302, Location=""),
    "a redirect to no URL": says(302, Location="http://[::bad"),
    "a redirect to no port": says(302, Location="http://127.0.0.1:99999/a.csv"),
    "a redirect to no host": says(302, Location="http:///a.csv"),
    "a redirect of controls": says(302, Location="gopher://x/\x1b[31m%0a%0a" + "y" * 2000),
    "a redirect without a place": says(302),
}


@pytest.mark.parametrize("kind", NO_GOOD)
def test_what_brings_no_good_leaves_what_was_there(
    tmp_path: Path, get: Callable[[str], Fetched], server: Server, kind: str
) -> None:
    get(server.address)
    server.steps = [NO_GOOD[kind]]
    with pytest.raises(RnnpipeError) as caught:
        get(server.address)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 1_000
    assert (tmp_path / "raw/reviews.csv").read_bytes() == BODY
    assert {path.name for path in tmp_path.iterdir()} == {"raw", "partial"}
    # And what was refused is not gone on from.
    server.steps = [lambda handler: serve(handler, OTHER, '"two"')]
    assert get(server.address).path.read_bytes() == OTHER


@pytest.mark.parametrize(
    "body",
    [b"", LOG_IN, BODY, gzip.compress(PACKED), PACKED[:20], gzip.compress(LOG_IN * 20)],
    ids=["nothing", "a page", "a table", "packed twice", "cut short", "a packed page"],
)
def test_what_is_no_archive_leaves_what_was_there(
    tmp_path: Path,
    get: Callable[[str], Fetched],
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    body: bytes,
) -> None:
    monkeypatch.setenv(MIRROR_VARIABLE, f"http://127.0.0.1:{server.server_port}/")
    server.steps = [lambda handler: handler.answer(200, PACKED)]
    get(write_card(tmp_path))
    server.steps = [lambda handler: handler.answer(200, body)]
    with pytest.raises(SourceError, match="what was here before stays"):
        get(write_card(tmp_path))
    assert (tmp_path / "raw/some.tar.gz").read_bytes() == PACKED


def drip(start: bytes, piece: bytes = b"x") -> Callable[[Handler], None]:
    """A piece every 10 ms, until nobody reads any more."""

    def step(handler: Handler) -> None:
        handler.wfile.write(start)
        with contextlib.suppress(OSError):
            while not handler.server.closing.wait(0.01):
                handler.wfile.write(piece)
        handler.close_connection = True

    return step


OK = b"HTTP/1.1 200 OK\r\n"
DRIPS = {
    "a body": drip(OK + b"Content-Length: 1000000\r\n\r\ntext,label\n"),
    "a body without length": drip(OK + b"\r\ntext,label\n"),
    "chunks": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "a chunk's size": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n1;"),
    "trailers": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"a: b\r\n"),
    "a status": drip(b"HTTP/1.1 200 "),
    "a header": drip(OK + b"X: "),
    "a stall in the body": drip(OK + b"Content-Length: 1000000\r\n\r\ntext,label\n", b""),
    "a stall before it": drip(b"", b""),
    "a redirect's headers": drip(b"HTTP/1.1 302 Found\r\nLocation: /a.csv\r\nX: "),
    "a resumed part": drip(
        OK.replace(b"200 OK", b"206 Part") + b'ETag: "one"\r\nContent-Range: bytes'
        b" 600000-%d/%d\r\n\r\n" % (len(BODY) - 1, len(BODY))
    ),
}


@pytest.mark.parametrize("kind", DRIPS)
def test_what_comes_too_slowly_ends_by_a_stated_limit(
    tmp_path: Path,
    get: Callable[[str], Fetched],
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    get(server.address)
    monkeypatch.setattr(rnnpipe.storage.transfer, "WINDOW_SECONDS", 0.2)
    monkeypatch.setattr(rnnpipe.storage.transfer, "CONNECT_SECONDS", 0.1)
    server.steps = [breaks_off(ETag='"one"'), DRIPS[kind]]
    with pytest.raises(NetworkError, match=r"0\.[23] s|another part"):
        get(server.address)
    assert (tmp_path / "raw/reviews.csv").read_bytes() == BODY


def test_what_drips_fast_enough_ends_too(
    get: Callable[[str], Fetched], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rnnpipe.storage.transfer, "MAX_SECONDS", 0.5)
    server.steps = [drip(OK + b"\r\ntext,label\n", b"good,pos\n" * 1_000)]
    with pytest.raises(NetworkError, match=r"longer than 0\.5 s in all"):
        get(server.address)


def test_a_server_that_sends_a_byte_and_hangs_up_is_given_up(
    get: Callable[[str], Fetched], server: Server
) -> None:
    def a_byte_more(handler: Handler) -> None:
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        answer = part_of(BODY, start) if start else {"status": 200}
        answer |= {"body": BODY[start : start + 1], "Content_Length": str(len(BODY) - start)}
        handler.answer(**answer, ETag='"one"')

    server.steps = [a_byte_more]
    with pytest.raises(NetworkError, match="broke off"):
        get(server.address)
    assert len(server.asked) == 3


ADDRESSES = [
    "http://[::bad/a.csv",
    "http://[::1/a.csv",
    "http://[v1.x]:80/a.csv",
    "http://127.0.0.1:99999/a.csv",
    "http://127.0.0.1:no/a.csv",
    "http://127.0.0.1:-1/a.csv",
    "http://ｅｘａｍｐｌｅ℀.invalid/a.csv",
    "http://ünïcödé..invalid/a.csv",
    f"http://{'a' * 80}.invalid/a.csv",
    f"http://{'é' * 300}.invalid/a.csv",
    "http:///a.csv",
    "http://?a.csv",
    "http:// /a.csv",
    "http://a b/a.csv",
    "http://.invalid/a.csv",
    "http://*/a.csv",
    "http://host\\@evil/a.csv",
    "http://127.0.0.1:1/\x00\x1b[31m\n.csv",
    "http://127.0.0.1:1/\udcff.csv",
    f"http://127.0.0.1:1/{'n' * 5000}.csv",
    "https://127.0.0.1:1/a.csv",
    "file://",
    "file:///",
    "file:",
    "file://host/a.csv",
    "file://[::bad/a.csv",
    "file:///%00.csv",
    "file:///nowhere/%0a.csv",
    "s3://",
    "s3:///a.csv",
    "s3://bucket/a.csv",
    "ftp://host/a.csv",
    "gs://bucket/a.parquet",
    "://a.csv",
    ".csv",
    "~",
    "~nobody-of-this-name/a.csv",
    "~nobody-of-this-name/a.json",
    "a\0.json",
    "-",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("role", ["source", "card", "mirror"])
def test_no_address_brings_more_than_a_sentence(
    tmp_path: Path,
    get: Callable[[str], Fetched],
    monkeypatch: pytest.MonkeyPatch,
    role: str,
    address: str,
) -> None:
    source = address
    if role == "card":
        source = write_card(tmp_path, address=address)
    if role == "mirror":
        if "\0" in address or "\udcff" in address:
            return  # no environment holds it
        monkeypatch.setenv(MIRROR_VARIABLE, address)
        source = write_card(tmp_path)
    with pytest.raises(RnnpipeError) as caught:
        get(source)
    assert str(caught.value).isprintable()
    assert 0 < len(str(caught.value)) < 1_000
    assert not (tmp_path / "raw").exists()


SECRETS = [
    "http://me:hush@127.0.0.1:1/a.csv",
    "http://me:hu/sh@127.0.0.1:1/a.csv",
    "http://me:hu?sh@127.0.0.1:1/a.csv",
    "http://me:hu#sh@127.0.0.1:1/a.csv",
    "http://me:hu@sh@127.0.0.1:1/a.csv",
    "http://me:hush@[::bad/a.csv",
    "http://me:hush@ｅｘａｍｐｌｅ℀.invalid/a.csv",
    "http://me:hush@127.0.0.1:99999/a.csv",
    "http://127.0.0.1:1/a.csv?token=hush",
    "http://127.0.0.1:1/a.csv#hush",
    "http://127.0.0.1:1/a.csv?x=http://me:hush@host",
    "ftp://me:hush@host/a.csv",
    "s3://me:hush@bucket/a.csv",
    "file://me:hush@host/a.csv",
    "http:/me:hush@host/a.csv",
    "http:me:hush@host/a.csv",
    "//me:hush@host/a.csv",
    "me:hush@host/a.csv",
    "http://me:hush@host/a.xlsx",
    "http://me:hush@host/a.json",
    "http://me:hush@host",
]


@pytest.mark.parametrize("address", SECRETS)
def test_no_secret_of_an_address_is_told(
    tmp_path: Path,
    get: Callable[[str], Fetched],
    caplog: pytest.LogCaptureFixture,
    address: str,
) -> None:
    caplog.set_level(logging.DEBUG, "rnnpipe")
    for source in (address, write_card(tmp_path, address=address)):
        with pytest.raises(RnnpipeError) as caught:
            get(source)
        told = str(caught.value) + caplog.text + str(caught.value.__cause__ or "")
        assert not re.search("hush|hu/sh|hu.sh", told)


def test_no_log_of_a_library_holds_a_query(
    get: Callable[[str], Fetched], server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    answer = OK + b"not a header at all\r\n\r\n" + BODY
    server.steps = [raw(answer)]
    get(server.address + "?token=hush")
    assert "hush" not in caplog.text


def test_a_redirect_is_followed_but_never_out_of_http(
    get: Callable[[str], Fetched], server: Server
) -> None:
    server.steps = [says(302, Location="/elsewhere.csv"), whole]
    assert get(server.address).path.read_bytes() == BODY
    assert server.asked[1][0] == "/elsewhere.csv"
    server.steps = [says(302, Location="ftp://127.0.0.1/a.csv")]
    with pytest.raises(SourceError, match="not secure"):
        get(server.address)
    server.steps = [says(302, Location="/round.csv")]
    with pytest.raises(SourceError, match="more than 10 times"):
        get(server.address)


def test_wrong_bytes_from_the_official_address_are_not_kept(
    tmp_path: Path, get: Callable[[str], Fetched], server: Server
) -> None:
    wrong = BODY[:-1] + b"?"
    server.steps = [lambda handler: serve(handler, wrong, '"one"')]
    card = write_card(tmp_path, address=server.address)
    with pytest.raises(IntegrityError, match=f"md5 found {hashlib.md5(wrong).hexdigest()}"):
        get(card)
    assert ".part" not in kept(tmp_path)
    assert not (tmp_path / "raw").exists()
    server.steps = [whole]
    assert get(card).path.read_bytes() == BODY


@pytest.mark.parametrize("announced", [True, False])
def test_more_bytes_than_the_card_names_are_not_read_on(
    tmp_path: Path, get: Callable[[str], Fetched], server: Server, announced: bool
) -> None:
    def endless(handler: Handler) -> None:
        body = BODY + BODY
        handler.send_response(200)
        if announced:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    server.steps = [endless]
    with pytest.raises(IntegrityError, match="expected at most 1,048,576"):
        get(write_card(tmp_path, address=server.address))
    assert kept(tmp_path) == []


def test_passwords_and_tokens_stay_out_of_messages_logs_and_names(
    tmp_path: Path,
    get: Callable[[str], Fetched],
    server: Server,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "rnnpipe")
    address = server.address.replace("//", "//me:hush@") + "?token=hush"
    server.steps = [says(503), whole]
    assert "hush" not in get(address).origin
    server.steps = [says(404)]
    with pytest.raises(SourceError) as refused:
        get(address)
    server.steps = [says(503)]
    with pytest.raises(NetworkError) as failed:
        get(address)
    partial = [file.name + file.read_text() for file in (tmp_path / "partial").iterdir()]
    for text in (caplog.text, str(refused.value), str(failed.value), *partial):
        assert "hush" not in text


@settings(max_examples=50, deadline=None)
@given(user=st.text("abc@:", max_size=8), query=st.text("ab=&?", min_size=1, max_size=8))
def test_nothing_secret_is_shown(user: str, query: str) -> None:
    assert shown_address(f"https://{user}@host/x.csv?{query}") == "https://host/x.csv?…"


@pytest.mark.parametrize(
    ("address", "following", "allowed"),
    [
        ("http://a", "http://b", True),
        ("http://a", "https://b", True),
        ("https://a", "HTTPS://b", True),
        ("https://a", "http://b", False),
        ("HTTPS://a", "http://b", False),
        ("http://a", "file:///etc/passwd", False),
    ],
)
def test_a_redirect_never_becomes_less_secure(address: str, following: str, allowed: bool) -> None:
    assert may_lead_to(address, following) is allowed
