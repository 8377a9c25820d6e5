"""The runs' report and Data Docs, served beside Prefect so that its artifacts can link to them.

Only these pages leave the runs' clones: they hold no review. A clone's data never do.
"""

import hmac
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from flows.serving import access

# Tells the flow's artifacts where the pages are; the key to them is a part of it.
PAGES_VARIABLE = "RNNPIPE_PAGES_URL"

# A run, perhaps a problem (rnnpipe.storage.paths), and its report or the Data Docs of a suite.
_PAGE = re.compile(
    r"/([A-Za-z0-9][A-Za-z0-9_-]*)"
    r"/(reports/(?:[a-z][a-z0-9_]*/)?(?:data_docs/[a-z_]+/)?index\.html)"
)


@contextmanager
def served_pages(runs: Path, host: str, port: int, credentials: str | None) -> Iterator[None]:
    """Serve ``RUN/reports/…`` while the block runs.

    Args:
        runs: the folder that holds the runs' clones.
        host: the interface to listen on; loopback.
        port: of the pages.
        credentials: ``user:password`` to ask for, as Prefect's own server does, unless the path
            begins with the key (:func:`access.pages_key`); None: nothing.

    Raises:
        OSError: the port is in use.
    """
    key = access.pages_key(credentials) if credentials else ""
    ours = access.names(host, port)

    class Pages(BaseHTTPRequestHandler):
        def parse_request(self) -> bool:
            return super().parse_request() and self.admitted()

        def admitted(self) -> bool:
            """Answer what may not be asked, whatever the method."""
            asked = [name.lower() for name in self.headers.get_all("Host", [])]
            if len(asked) != 1 or asked[0] not in ours:
                self.send_error(421, "This server has another name")
                return False
            first, _, rest = self.path[1:].partition("/")
            if credentials and hmac.compare_digest(first.encode(), key.encode()):
                self.path = f"/{rest}"
            elif credentials and not access.knows(
                self.headers.get("Authorization", ""), credentials
            ):
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="rnnpipe"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return False
            return True

        def do_GET(self) -> None:
            found = _PAGE.fullmatch(self.path.partition("?")[0])
            page = found and runs / found[1] / found[2]
            if not page or not page.is_file():
                self.send_error(404, "No such page; a run's clone is kept for a while only")
                return
            content = page.read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            # What a page holds came from data: it may show, and do nothing.
            policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
            self.send_header("Content-Security-Policy", policy)
            self.send_header("Referrer-Policy", "no-referrer")  # it would tell the key
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Stay quiet: the terminal belongs to `make ui`."""

    server = ThreadingHTTPServer((host, port), Pages)
    threading.Thread(target=server.serve_forever, name="pages", daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
