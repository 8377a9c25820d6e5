"""Who may ask our servers: the password that is kept, and the guard before Prefect's application."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.serving import access
from flows.serving.application import Guard
from rnnpipe.errors import RnnpipeError

KNOWN = "rnnpipe:open sesame"
PORT = 4200
OURS = ["127.0.0.1:4200", "localhost:4200", "LOCALHOST:4200", "[::1]:4200"]
FOREIGN = [
    "evil.example",
    "evil.example:4200",
    "127.0.0.1.evil.example:4200",
    "127.0.0.1",
    "127.0.0.1:4201",
    "127.0.0.1:4200:4200",
    "localhost:4200.evil.example",
    "localhost:4200@evil.example",
    "localhost.:4200",
    "127.1:4200",
    "0.0.0.0:4200",
    "192.168.0.2:4200",
    " ",
    "",
]
ASKED = ["GET", "OPTIONS", "POST", "DELETE", "socket"]
BASIC = {"authorization": f"Basic {access.encoded(KNOWN)}"}


def ask(
    guard: Guard,
    method: str,
    path: str,
    body: bytes = b"",
    hosts: tuple[str, ...] = (OURS[0],),
    **headers: str,
) -> tuple[int, str]:
    """Status and body of the guard's answer; 200 and "passed" where it passes a request on.

    Args:
        guard: see :func:`guarded`.
        method: of HTTP, or "socket" for a web socket.
        path: asked for.
        body: of the request.
        hosts: a header each.
        headers: more of them.
    """
    given = [*(("host", host) for host in hosts), *headers.items()]
    scope: dict[str, Any] = {
        "type": "websocket" if method == "socket" else "http",
        "path": path,
        "headers": [(k.encode(), v.encode("utf-8", "surrogateescape")) for k, v in given],
        "server": ("127.0.0.1", PORT),
        "query_string": b"",
        "extensions": {"websocket.http.response": {}},
    }
    if method != "socket":
        scope["method"] = method
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    text = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], text.decode()


def guarded(link: str = "") -> Guard:
    """A guard before an application that answers all it is asked."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"passed"})

    return Guard(application, KNOWN, link)


# By which name -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hosts",
    [(), *((name,) for name in FOREIGN), (OURS[0], "evil.example"), (OURS[0], OURS[0])],
    ids=str,
)
def test_who_asks_by_another_name_is_refused(hosts):
    for method in ASKED:
        for path in ("/", "/api/health", "/api/flows/", access.LOGIN):
            assert ask(guarded("link"), method, path, b"link", hosts, **BASIC)[0] == 421


@given(st.text())
def test_whatever_name_is_not_ours_is_refused(host):
    if host not in access.names("127.0.0.1", PORT):
        assert ask(guarded(), "GET", "/", hosts=(host,))[0] == 421


@pytest.mark.parametrize("host", OURS)
def test_who_asks_by_our_name_with_the_password_gets_through(host):
    for method in ASKED:
        answer = ask(guarded(), method, "/api/flows/", hosts=(host,), **BASIC)
        assert answer == (200, "passed")


# From which page ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    [*(f"http://{name}" for name in FOREIGN), "null", "", "https://127.0.0.1:4200", OURS[0]],
)
def test_a_page_of_another_may_not_ask(origin):
    for method in ASKED:
        assert ask(guarded(), method, "/api/events/out", origin=origin, **BASIC)[0] == 403
        assert ask(guarded("link"), method, access.LOGIN, b"link", origin=origin)[0] == 403


@pytest.mark.parametrize("name", OURS)
def test_our_own_pages_may(name):
    for method in ASKED:
        answer = ask(guarded(), method, "/api/events/out", origin=f"http://{name}", **BASIC)
        assert answer == (200, "passed")


# With the password ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/",
        "/api/flows/filter",
        "/api/healthy",
        "/api/health/",
        "/api/variables/name/health",
        "/api/\n",
        "/docs",
        "/docs/oauth2-redirect",
        "/redoc",
        "/openapi.json",
    ],
)
def test_who_does_not_know_the_password_is_refused(path):
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE"):
        for headers in ({}, {"authorization": "Basic eDp5"}, {"authorization": KNOWN}):
            assert ask(guarded(), method, path, **headers)[0] == 401
    assert ask(guarded(), "GET", path, origin=f"http://{OURS[1]}")[0] == 401


@given(st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_no_header_but_the_right_one_is_let_in(authorization):
    assert ask(guarded(), "GET", "/api/flows/", authorization=authorization)[0] == 401


@pytest.mark.parametrize("path", ["/", "/v2/", "/flows", "/ui-settings", "/assets/index.js"])
def test_pages_and_health_are_open(path):
    assert ask(guarded(), "GET", path) == (200, "passed")
    assert ask(guarded(), "GET", "/api/health") == (200, "passed")
    assert ask(guarded(), "POST", "/api/health")[0] == 401


# The link -------------------------------------------------------------------------------------


def test_the_link_logs_in_once_and_tells_nobody_else():
    guard = guarded("the link")
    status, page = ask(guard, "GET", access.LOGIN)
    assert status == 200
    assert "the link" not in page
    assert access.encoded(KNOWN) not in page
    for wrong in (b"", b"the lin", b"the link ", b"\xff", b"x" * 100_000):
        assert ask(guard, "POST", access.LOGIN, wrong)[0] == 403
    assert ask(guard, "POST", access.LOGIN, b"the link") == (200, access.encoded(KNOWN))
    assert ask(guard, "POST", access.LOGIN, b"the link")[0] == 403


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE"])
def test_without_a_link_nobody_is_logged_in(method):
    assert ask(guarded(), "POST", access.LOGIN, b"")[0] == 403
    assert ask(guarded("link"), method, access.LOGIN, b"link")[0] == 405


# What is kept ---------------------------------------------------------------------------------


@pytest.fixture(params=[0o000, 0o022, 0o777], ids="umask {0:03o}".format)
def state(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    before = os.umask(request.param)
    yield tmp_path
    os.umask(before)


def test_the_password_is_made_once_and_is_its_owners_alone(state):
    assert access.found(state, {}) is None
    first = access.kept(state, {})
    assert len(first) > len("rnnpipe:") + 40
    assert (state / access.FILE).stat().st_mode & 0o777 == 0o600
    assert access.kept(state, {}) == access.found(state, {}) == first
    assert (state / access.FILE).read_text() == f"{first}\n"
    assert access.made() != first


def test_ones_own_takes_its_place(state):
    access.kept(state, {})
    own = {access.OWN: " x: y "}
    assert access.kept(state, own) == access.found(state, {}) == "rnnpipe: x: y "
    assert (state / access.FILE).stat().st_mode & 0o777 == 0o600
    assert access.found(state, {access.OWN: "z"}) == "rnnpipe:z"
    assert access.kept(state, {access.OWN: ""}) == "rnnpipe: x: y "


@pytest.mark.parametrize("own", ["Schlüssel", "a\nb", "a\x1b[31m", "\N{OLD KEY}", "x" * 99 + "\t"])
def test_one_that_no_header_holds_is_refused_and_not_told(tmp_path, own):
    with pytest.raises(RnnpipeError, match=access.OWN) as refused:
        access.kept(tmp_path, {access.OWN: own})
    assert own not in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.chmod(0o644),
        lambda path: path.chmod(0o620),
        lambda path: path.write_text(""),
        lambda path: path.write_text("rnnpipe:\n"),
        lambda path: path.write_bytes(b"rnnpipe:\xff\n"),
        lambda path: path.write_text("half a li"),
        lambda path: (path.rename(path.with_name("other")), path.symlink_to("other")),
        lambda path: (path.unlink(), os.mkfifo(path, 0o600)),
    ],
    ids=["read", "written", "empty", "none", "no text", "cut", "link", "pipe"],
)
def test_one_that_others_may_know_or_nobody_does_is_made_anew(tmp_path, capsys, spoil):
    first, path = access.kept(tmp_path, {}), tmp_path / access.FILE
    spoil(path)
    assert access.found(tmp_path, {}) is None
    second = access.kept(tmp_path, {})
    assert second not in (first, "rnnpipe:")
    assert path.stat().st_mode & 0o777 == 0o600
    assert access.found(tmp_path, {}) == second
    assert "made a new password" in capsys.readouterr().out


def test_one_that_cannot_be_kept_is_one_sentence(tmp_path):
    (tmp_path / access.FILE).mkdir()
    with pytest.raises(RnnpipeError, match="cannot be kept") as refused:
        access.kept(tmp_path, {})
    assert len(str(refused.value).splitlines()) == 1


def test_the_key_of_the_pages_is_not_the_password():
    assert access.pages_key(KNOWN) == access.pages_key(KNOWN)
    assert access.pages_key(KNOWN) != access.pages_key(f"{KNOWN}.")
