"""Prefect's server as a process of its own, which answers its owner alone.

`make ui` starts this module, a single run has uvicorn take ``create_app``.
"""

import argparse
import base64
import gc
import hashlib
import hmac
import os
import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from flows.serving.access import LINK_VARIABLE, LOGIN, encoded, knows, names

_TO_KNOW = re.compile(r"/(api|docs|redoc|openapi\.json)(/.*)?", re.DOTALL)
_OPEN = ("/api/health", "/api/ready")
_LONGEST_LINK = 200

# The pages of Prefect keep their password under this name. What stands behind the # reaches no
# server but by this request, so no log, and it is taken out of the browser's history.
_SCRIPT = """
const link = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
fetch(location.pathname, {method: "POST", body: link}).then(async answer => {
  if (answer.ok) localStorage.setItem("prefect-password", await answer.text());
  if (localStorage.getItem("prefect-password")) location.replace("/");
  else document.body.textContent = "This link was used before, or `make ui` began anew since:"
    + " take the one that it printed last, or log in with the line in .rnnpipe/prefect/password.";
});
"""
_PAGE = f"<!DOCTYPE html><title>rnnpipe</title><body>Logging in …<script>{_SCRIPT}</script></body>"
_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; connect-src 'self'; frame-ancestors 'none';"
    f" script-src 'sha256-{_HASH}'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Passes on what is asked by a name of ours, from a page of ours or none, with the password.

    The password stands before the API and its description. The files of Prefect's pages, which
    hold nothing, and whether the server is healthy are open to all. A socket is asked for the
    password by Prefect itself, in its first message: a browser can send none before.

    Args:
        app: what is guarded.
        credentials: ``user:password``.
        link: what logs one browser in, once; empty where no browser is to come.
    """

    def __init__(self, app: ASGIApp, credentials: str, link: str = "") -> None:
        self._app = app
        self._credentials = credentials
        self._link = link.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the application answer it."""
        answer: ASGIApp = self._app
        if scope["type"] != "lifespan":
            if refusal := self._refusal(scope):
                answer = refusal
            elif scope["type"] == "http" and scope["path"] == LOGIN:
                answer = await self._login(Request(scope, receive))
        await answer(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        ours = names(*scope["server"])
        asked = [name.lower() for name in headers.getlist("host")]
        if len(asked) != 1 or asked[0] not in ours:
            return PlainTextResponse("This server has another name.", 421)
        origins = headers.getlist("origin")
        if not {origin.lower() for origin in origins} <= {f"http://{name}" for name in ours}:
            return PlainTextResponse("Only its own pages may ask this server.", 403)
        # What a browser asks beforehand carries no password, and changes nothing.
        if scope["type"] != "http" or scope["method"] == "OPTIONS":
            return None
        path = scope["path"]
        if not _TO_KNOW.fullmatch(path) or (path in _OPEN and scope["method"] == "GET"):
            return None
        if knows(headers.get("authorization", ""), self._credentials):
            return None
        said = {"exception_message": "Unauthorized"}
        if origins:  # by http://localhost the pages ask http://127.0.0.1, and are to see the 401
            return JSONResponse(said, 401, {"Access-Control-Allow-Origin": origins[0]})
        return JSONResponse(said, 401)

    async def _login(self, request: Request) -> Response:
        if request.method == "GET":
            return HTMLResponse(_PAGE, headers=_HEADERS)
        if request.method != "POST":
            return PlainTextResponse("GET or POST", 405)
        given = b""
        async for part in request.stream():
            given += part
            if len(given) > _LONGEST_LINK:
                break
        if not self._link or not hmac.compare_digest(given, self._link):
            return PlainTextResponse("The link was used before, or is another's.", 403)
        self._link = b""
        return PlainTextResponse(encoded(self._credentials), headers=_HEADERS)


def guarded(app: ASGIApp) -> Guard:
    """Prefect's application behind the guard.

    Raises:
        RuntimeError: no password is set.
    """
    from prefect.settings import get_current_settings

    credentials = get_current_settings().server.api.auth_string
    if not credentials:
        raise RuntimeError("found no PREFECT_SERVER_API_AUTH_STRING: this server needs a password")
    return Guard(app, credentials.get_secret_value(), os.environ.pop(LINK_VARIABLE, ""))


def create_app() -> Guard:
    """What uvicorn serves for a single run.

    Prefect's own function stays what it is: its services ask the application within their process.
    """
    from prefect.server.api.server import create_app as prefects

    return guarded(prefects())


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve for `make ui` until a signal, as ``prefect server start`` does."""
    parser = argparse.ArgumentParser(prog="python -m flows.serving.application")
    parser.add_argument("name", choices=["server"], help="tells the process apart in a list")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(arguments)
    import uvicorn
    from prefect.server.api.server import create_app as prefects
    from prefect.settings import get_current_settings

    settings = get_current_settings().server
    uvicorn.run(
        guarded(prefects(final=True)),
        host=options.host,
        port=options.port,
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
    )


if __name__ == "__main__":
    # What is imported stays: looking for garbage in between only costs.
    gc.set_threshold(50_000, 20, 20)
    main()
