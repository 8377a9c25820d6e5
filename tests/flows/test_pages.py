import base64
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from flows.artifacts import documents, markdown, show
from flows.serving import access
from flows.serving.pages import PAGES_VARIABLE, served_pages
from rnnpipe.problems import problem_by
from rnnpipe.storage.paths import paths_of, problem_names

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


def get(port, path, method="GET", **headers):
    with httpx.Client(trust_env=False, verify=False) as client:  # reading certificates takes long
        request = client.build_request(method, f"http://127.0.0.1:{port}/", headers=headers)
        # As it stands: a client would tidy the dots away.
        request.url = request.url.copy_with(raw_path=path.encode())
        return client.send(request)


def test_the_pages_of_a_run_are_served_and_may_do_nothing(runs, port):
    with served_pages(runs, "127.0.0.1", port, None):
        for name in (REPORT, DOCS):
            answer = get(port, f"/a-run/{name}")
            assert (answer.status_code, answer.text) == (200, f"<p>{name}</p>")
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("problem", problem_names())
@pytest.mark.parametrize("page", ["index.html", "data_docs/reviews/index.html"])
def test_whatever_page_of_a_run_an_artifact_links_to_is_served(
    runs, port, monkeypatch, problem, page
):
    monkeypatch.setenv(PAGES_VARIABLE, f"http://127.0.0.1:{port}")
    folder, reports = runs / "a-run", paths_of(problem).reports
    file = folder / reports / page
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(problem)
    suite = {"suite": "reviews", "passed": True, "expectations": []}
    shown = markdown.link(folder, reports / page)
    if "data_docs" in page:
        shown = documents.suite_markdown(
            suite, folder, reports / "data_docs", problem_by(problem).wording()
        )
    (address,) = re.findall(r"\(<(http[^>]+)>\)", shown)
    with served_pages(runs, "127.0.0.1", port, None):
        answer = get(port, urlsplit(address).path)
    assert (answer.status_code, answer.text) == (200, problem)


def test_a_run_shows_the_data_docs_of_its_own_problem(runs, monkeypatch):
    shown = {}
    monkeypatch.setattr(show, "_show", lambda key, page, _: shown.update({key: page}))
    monkeypatch.setenv(PAGES_VARIABLE, "http://127.0.0.1:4201")
    reports = runs / "a-run/reports/forecasting"
    (reports / "data_docs/series").mkdir(parents=True)
    (reports / "data_docs/series/index.html").touch()
    (reports / "validation.json").write_text('{"suite": "series", "expectations": []}')
    stage = "pipelines/forecasting/dvc.yaml:validate"
    show.show_stage(stage, runs / "a-run", None, "forecasting")
    address = "http://127.0.0.1:4201/a-run/reports/forecasting/data_docs/series/index.html"
    assert f"(<{address}>)" in shown["validate"]


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


def test_a_link_to_a_page_needs_no_password(runs, port, monkeypatch):
    credentials = "rnnpipe:open"
    key = access.pages_key(credentials)
    monkeypatch.setenv(PAGES_VARIABLE, f"http://127.0.0.1:{port}/{key}")
    (address,) = re.findall(r"\(<(http[^>]+)>\)", markdown.link(runs / "a-run", Path(REPORT)))
    with served_pages(runs, "127.0.0.1", port, credentials):
        answer = get(port, urlsplit(address).path)
        assert (answer.status_code, answer.text) == (200, f"<p>{REPORT}</p>")
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert get(port, f"/{key}/a-run/params.yaml").status_code == 404
        assert get(port, f"/{key}/{key}/a-run/{REPORT}").status_code == 404
        for other in (access.pages_key("rnnpipe:opem"), key[:-1], "", "%C3%A9"):
            assert get(port, f"/{other}/a-run/{REPORT}").status_code == 401


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE", "BREW"])
def test_nothing_is_told_to_who_asks_by_another_name_or_without_the_password(runs, port, method):
    credentials = "rnnpipe:open"
    known = {"Authorization": f"Basic {access.encoded(credentials)}"}
    with served_pages(runs, "127.0.0.1", port, credentials):
        for path in ("/", f"/a-run/{REPORT}", f"/{access.pages_key(credentials)}/a-run/{REPORT}"):
            for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", ""):
                answer = get(port, path, method, Host=host, **known)
                assert answer.status_code == 421
        assert get(port, f"/a-run/{REPORT}", method).status_code == 401


def test_the_port_is_given_back(runs, port):
    for _ in range(2):
        with served_pages(runs, "127.0.0.1", port, None):
            assert get(port, f"/a-run/{REPORT}").status_code == 200
