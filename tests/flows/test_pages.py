import base64
import socket

import httpx
import pytest

from flows.pages import served_pages

REPORT = "reports/index.html"
DOCS = "reports/data_docs/reviews/index.html"


@pytest.fixture
def runs(tmp_path):
    for name in (REPORT, DOCS, "data/predictions/mistakes.csv", "params.yaml"):
        path = tmp_path / "runs" / "a-run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<p>{name}</p>")
    (tmp_path / "secret").write_text("secret")
    return tmp_path / "runs"


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(port, path, **headers):
    with httpx.Client(trust_env=False) as client:
        request = client.build_request("GET", f"http://127.0.0.1:{port}/", headers=headers)
        # As it stands: a client would tidy the dots away.
        request.url = request.url.copy_with(raw_path=path.encode())
        return client.send(request)


def test_the_pages_of_a_run_are_served_and_may_do_nothing(runs, port):
    with served_pages(runs, "127.0.0.1", port, None):
        for name in (REPORT, DOCS):
            answer = get(port, f"/a-run/{name}")
            assert (answer.status_code, answer.text) == (200, f"<p>{name}</p>")
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/a-run/data/predictions/mistakes.csv",
        "/a-run/params.yaml",
        "/a-run/reports/",
        "/../secret",
        "/a-run/../../secret",
        "/a-run/reports/data_docs/../../../../../secret",
        "/%2e%2e/secret",
        "/other/reports/index.html",
        "/",
    ],
)
def test_nothing_else_is(runs, port, path):
    with served_pages(runs, "127.0.0.1", port, None):
        assert get(port, path).status_code == 404


def test_a_password_is_asked_for(runs, port):
    with served_pages(runs, "127.0.0.1", port, "rnnpipe:open"):
        assert get(port, f"/a-run/{REPORT}").status_code == 401
        for password, status in (("wrong", 401), ("open", 200)):
            token = base64.b64encode(f"rnnpipe:{password}".encode()).decode()
            answer = get(port, f"/a-run/{REPORT}", Authorization=f"Basic {token}")
            assert answer.status_code == status


def test_the_port_is_given_back(runs, port):
    for _ in range(2):
        with served_pages(runs, "127.0.0.1", port, None):
            assert get(port, f"/a-run/{REPORT}").status_code == 200
