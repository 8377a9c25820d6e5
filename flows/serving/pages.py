"""The runs' report and Data Docs, served beside Prefect so that its artifacts can link to them.

Only these pages leave the runs' clones: they hold no review. A clone's data never do.
"""

import base64
import hmac
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# Tells the flow's artifacts where the pages are.
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
        credentials: ``user:password`` to ask for, as Prefect's own server does; None: nothing.

    Raises:
        OSError: the port is in use.
    """
    expected = credentials and f"Basic {base64.b64encode(credentials.encode()).decode()}"

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "")
            if expected and not hmac.compare_digest(given.encode(), expected.encode()):
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="rnnpipe"')
                self.end_headers()
                return
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
