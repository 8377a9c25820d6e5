"""``python -m flows.serving.up``: what it refuses, what it starts, and that nothing outlives it."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import prefect
import pytest
import yaml
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import PrefectHTTPStatusError
from prefect.workers.process import ProcessWorker
from running import Up, free_port, wait_for
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from flows.serving import access
from flows.serving.children import UpError, marked, only_one
from flows.serving.environment import MARK, STATE, environment
from flows.serving.up import _port

ROOT = Path(__file__).parents[2]
PATIENCE = 300  # seconds for an answer, or a run of no work, where the machine is busy
pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")

STAND_IN = '''
"""Stands in for the flow: one task that waits, fails, or tells of a refused model."""

import logging
import os
import subprocess

from prefect import flow, task
from prefect.events import emit_event
from prefect.states import Completed


@task(name="download")
def download(seconds):
    # Prefect hands the named loggers' lines on, but leaves their level to us.
    logging.getLogger("rnnpipe").setLevel(logging.INFO)
    logging.getLogger("rnnpipe.storage.download").info("works in %s", os.getcwd())
    subprocess.run(["sleep", str(seconds)], check=True)
    return Completed(name="Skipped", message="unchanged")


@flow(name="pipeline")
def pipeline(overrides: dict | None = None, force: list | None = None, publish: bool = False):
    overrides = overrides or {}
    download(overrides.get("seconds", 0), return_state=True)
    if overrides.get("refuse"):
        emit_event(
            "rnnpipe.model.refused",
            resource={"prefect.resource.id": "rnnpipe.model.sentiment"},
            payload={"reasons": ["accuracy 0.4 is below 0.85"]},
        )
    if overrides.get("fail"):
        raise RuntimeError('it "failed" here')
    return Completed(message="nothing new")
'''


def make_project(folder: Path) -> Path:
    """The project's own deployments and command, with a flow that takes no time."""
    for name in ("rnnpipe", "flows"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "stages")
        )
    shutil.copy2(ROOT / "prefect.yaml", folder)
    (folder / "flows" / "pipeline.py").write_text(STAND_IN)
    return folder.resolve()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("up") / "project")


@pytest.fixture(scope="module")
def told() -> Iterator[list[dict[str, str]]]:
    """What the webhook was told: the bodies, in the order in which they came."""
    bodies: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            bodies.append(json.loads(self.rfile.read(length)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNPIPE_WEBHOOK", f"http://127.0.0.1:{server.server_port}/hook")
        yield bodies
    server.shutdown()


@pytest.fixture(scope="module")
def up(project: Path, told: list[dict[str, str]]) -> Iterator[Up]:
    """One running server with a webhook, started for the first time; the module's tests share it."""
    running = Up(project, TZ="UTC")
    try:
        yield running.ready()
    finally:
        if running.process.poll() is None:  # else a test has seen to that
            running.stop()


def refused(folder: Path, *arguments: str, **variables: str) -> str:
    """What the command says when it will not start: one message, and no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.serving.up", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", **variables},
        text=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert not marked(folder / STATE)
    return done.stderr


# What it refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize("port", ["0", "80", "65536", "-1", "x", "4200.5"])
def test_a_port_that_is_none_is_refused(monkeypatch, port):
    with pytest.raises(UpError, match="--port: .*expected a number from 1024 to 65534"):
        _port(port)
    monkeypatch.setenv("RNNPIPE_UI_PORT", port)
    with pytest.raises(UpError, match="RNNPIPE_UI_PORT: .*expected a number from 1024 to 65534"):
        _port(None)


def test_a_port_that_is_none_starts_nothing(project):
    message = refused(project, RNNPIPE_UI_PORT="80")
    assert "expected a number from 1024 to 65534" in message
    assert len(message.splitlines()) == 1


def test_a_port_in_use_is_named_with_what_to_do(tmp_path):
    folder = make_project(tmp_path / "project")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = refused(folder, "--port", str(port))
    assert f"port {port} is in use" in message
    assert f"RNNPIPE_UI_PORT={port + 10}" in message
    assert len(message.splitlines()) == 1


def test_a_second_one_is_refused_and_a_dead_one_is_not(tmp_path):
    state = tmp_path / "state"
    with only_one(state, "http://127.0.0.1:4200"):
        with (
            pytest.raises(UpError, match=f"already running: pid {os.getpid()} at http://127"),
            only_one(state, "http://127.0.0.1:4300"),
        ):
            pass
        # A second one that was refused leaves the first one's word alone.
        assert json.loads((state / "up.lock").read_text())["pid"] == os.getpid()
    (state / "up.lock").write_text('{"pid": 1, "address": "left by one that was killed"}')
    with only_one(state, "http://127.0.0.1:4200"):
        pass


def test_the_state_folder_is_closed_to_others_even_if_it_was_open(tmp_path):
    (tmp_path / "state").mkdir(mode=0o755)
    with only_one(tmp_path / "state", ""):
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_a_state_folder_that_cannot_be_closed_is_named(tmp_path):
    (tmp_path / "state").touch()
    with pytest.raises(UpError, match="state cannot be made"), only_one(tmp_path / "state", ""):
        pass


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda path: sqlite3.connect(path).executescript(
                "create table alembic_version (version_num varchar(32) not null);"
                "insert into alembic_version values ('ffffffffffff');"
            ),
            "another release of Prefect",
        ),
        (lambda path: path.write_bytes(b"no database" * 1000), "is damaged"),
    ],
    ids=["another release", "damaged"],
)
def test_a_database_that_cannot_be_read_is_named_with_what_to_do(tmp_path, make, says):
    folder = make_project(tmp_path / "project")
    (folder / STATE).mkdir(parents=True)
    make(folder / STATE / "prefect.db")
    message = refused(folder, "--port", str(free_port()))
    assert says in message
    assert str(STATE / "prefect.db") in message
    assert len(message.splitlines()) == 1


# What it sets ---------------------------------------------------------------------------------


def test_nothing_of_another_server_leaks_in():
    outer = {
        "HOME": "/home/ann",
        "PREFECT_API_URL": "https://elsewhere/api",
        "PREFECT_API_KEY": "secret",
        "PREFECT_PROFILE": "other",
        "PREFECT_LOGGING_LEVEL": "DEBUG",
        "NO_PROXY": "intranet",
    }
    made = environment(Path("/project"), 4300, outer)
    assert made["PREFECT_API_URL"] == "http://127.0.0.1:4300/api"
    assert made["PREFECT_LOGGING_LEVEL"] == "DEBUG"
    assert made["NO_PROXY"] == "intranet,127.0.0.1,localhost"
    assert not {"PREFECT_API_KEY", "PREFECT_PROFILE", "PREFECT_API_AUTH_STRING"} & made.keys()
    assert made["DO_NOT_TRACK"] == "1"
    assert made["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


def test_a_password_is_one_variable():
    made = environment(Path("/project"), 4300, {"RNNPIPE_UI_PASSWORD": "x y"})
    assert made["PREFECT_API_AUTH_STRING"] == "rnnpipe:x y"
    assert made["PREFECT_SERVER_API_AUTH_STRING"] == "rnnpipe:x y"


def test_prefect_yaml_holds_no_path_of_a_machine():
    text = (ROOT / "prefect.yaml").read_text()
    assert str(ROOT) not in text
    assert all("/home" not in line and "/tmp" not in line for line in text.splitlines())
    names = [deployment["name"] for deployment in yaml.safe_load(text)["deployments"]]
    assert names == ["nightly", "forecasting", "language-model", "manual", "search"]


@pytest.mark.parametrize("pool", ["docker", "kubernetes"])
def test_the_templates_for_containers_use_just_the_variables_they_name(pool):
    template = json.loads((ROOT / "deploy" / f"{pool}-pool.json").read_text())
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    assert used == set(template["variables"]["properties"])


def test_the_deployment_for_containers_takes_no_credentials_as_parameters():
    written = yaml.safe_load((ROOT / "deploy" / "prefect.yaml").read_text())
    (deployment,) = written["deployments"]
    assert deployment["entrypoint"] == "flows/pipeline.py:pipeline"
    assert deployment["parameters"] == {"publish": True}


def test_the_image_has_what_the_lock_does_not_bring():
    written = (ROOT / "deploy" / "Containerfile").read_text()
    packages = re.search(r"apt-get install [^\n]*recommends ([^\\]*)", written)[1].split()
    # git for the clones, ssh for pushing, a compiler with C's headers for the recurrent layer.
    assert {"git", "openssh-client", "gcc", "libc6-dev"} <= set(packages)


# What it starts -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def worked(up: Up) -> FlowRun:
    """A run that came to its end, and left what a run leaves."""
    run = up.finished(up.run().id, PATIENCE)
    assert run.state_type == StateType.COMPLETED
    return run


def answer(up: Up, method: str, path: str, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=PATIENCE)
    connection.request(method, path, headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_it_says_where_and_when(up):
    assert up.address in up.printed
    # Whichever comes next when the test runs.
    planned = {"nightly": "03:00:00", "forecasting": "04:00:00", "language-model": "05:00:00"}
    assert any(re.search(rf"{name}, .* {time}", up.printed) for name, time in planned.items())


def test_the_password_stands_in_one_file_and_in_no_log_and_no_command(up, worked):
    password = up.credentials.removeprefix("rnnpipe:")
    secret = [text.encode() for text in (password, access.encoded(up.credentials), up.link)]
    kept = up.folder / STATE / access.FILE
    assert kept.stat().st_mode & 0o777 == 0o600
    files = [path for path in (up.folder / ".rnnpipe").rglob("*") if path.is_file()]
    assert up.folder / STATE / "logs" / "server.log" in files
    holding = [path for path in files if any(word in path.read_bytes() for word in secret)]
    assert holding == [kept]
    assert not up.children("|".join(re.escape(word.decode()) for word in secret))
    assert password not in up.printed
    assert access.encoded(up.credentials) not in up.printed


def paths_of(up: Up) -> dict[str, dict[str, object]]:
    """Every route of the API and its methods, as the server tells who knows the password."""
    connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=PATIENCE)
    known = {"Authorization": f"Basic {access.encoded(up.credentials)}"}
    connection.request("GET", "/api/openapi.json", headers=known)
    found: dict[str, dict[str, object]] = json.load(connection.getresponse())["paths"]
    connection.close()
    return found


def test_every_route_but_health_asks_for_the_password(up):
    told = {}
    for path, methods in paths_of(up).items():
        for method in methods:
            asked = re.sub(r"\{\w+\}", "00000000-0000-0000-0000-000000000000", f"/api{path}")
            told[method.upper(), asked] = answer(up, method.upper(), asked)
    assert len(told) > 150
    for path in ("/docs", "/redoc", "/openapi.json", "/api/openapi.json", "/api/static/x"):
        told["GET", path] = answer(up, "GET", path)
    assert {asked for asked, status in told.items() if status != 401} == {
        ("GET", "/api/health"),
        ("GET", "/api/ready"),
    }


def welcome(up: Up, path: str, origin: str | None = None, token: str = "wrong") -> str | int:
    """How a web socket is answered: HTTP's status, the code it is closed with, or by a word."""
    address = f"ws://127.0.0.1:{up.port}/api{path}"
    try:
        with connect(address, origin=origin, subprotocols=["prefect"], proxy=None) as opened:
            opened.send(json.dumps({"type": "auth", "token": token}))
            return str(json.loads(opened.recv(PATIENCE))["type"])
    except InvalidStatus as error:
        return error.response.status_code
    except ConnectionClosedError as error:
        return error.rcvd.code if error.rcvd else 0


@pytest.mark.parametrize(
    "path",
    ["/events/in", "/events/out", "/logs/out", "/task_runs/subscriptions/scheduled"],
)
def test_sockets_take_our_own_pages_with_the_password_alone(up, path):
    assert welcome(up, path, token=up.credentials) == "auth_success"
    assert welcome(up, path, up.address, up.credentials) == "auth_success"
    assert welcome(up, path) == 1008
    for origin in ("http://evil.example", f"http://evil.example:{up.port}", "null"):
        assert welcome(up, path, origin, up.credentials) == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.nip.io:{port}"])
def test_by_another_name_nothing_is_answered(up, host):
    known = {"Authorization": f"Basic {access.encoded(up.credentials)}"}
    for path in ("/", "/api/health", "/api/csrf-token?client=x", access.LOGIN):
        assert answer(up, "GET", path, Host=host.format(port=up.port), **known) == 421


def test_the_link_logs_a_browser_in_once(up):
    def answered(method: str, body: str | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=PATIENCE)
        connection.request(method, access.LOGIN, body, {"Origin": up.address})
        response = connection.getresponse()
        return response.status, response.read().decode()

    status, page = answered("GET")
    assert status == 200
    assert 'localStorage.setItem("prefect-password"' in page
    assert answered("POST", up.link) == (200, access.encoded(up.credentials))
    assert answered("POST", up.link)[0] == 403
    # Where Prefect's pages still look for it.
    assets = Path(prefect.__ui_static_path__).glob("assets/*.js")
    assert any("prefect-password" in path.read_text(errors="replace") for path in assets)


def test_a_command_of_the_project_finds_the_password(up):
    code = (
        "from flows.serving.own_server import use_a_server; from pathlib import Path;"
        f"use_a_server(Path({str(up.folder / STATE)!r}));"
        "from prefect.client.orchestration import get_client;"
        "client = get_client(sync_client=True); print(client.api_url, len(client.read_deployments()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True)
    assert done.stdout.split() == [f"{up.address}/api/", "5"], done.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"command": "touch {mark}"},
        {"env": {"LD_PRELOAD": "{mark}"}},
        {"env": {"PREFECT_LOGGING_EXTRA_LOGGERS": "{mark}"}},
        {"env.PYTHONPATH": "{mark}"},
        {"working_dir": "{mark}"},
        {"stream_output": False},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_a_run_takes_no_job_variables(up, variables):
    with up.client() as client:
        manual = client.read_deployment_by_name("pipeline/manual")
        with pytest.raises(PrefectHTTPStatusError, match="422"):
            client.create_flow_run_from_deployment(manual.id, job_variables=variables)
        with pytest.raises(PrefectHTTPStatusError, match="422"):
            client.create_deployment(
                flow_id=manual.flow_id,
                name="other",
                work_pool_name="local",
                job_variables=variables,
            )


def test_job_variables_that_the_server_did_not_check_do_nothing(up, tmp_path):
    mark = tmp_path / "mark"
    variables = {
        "command": f"touch {mark}",
        "env": {"PATH": str(tmp_path), "PYTHONPATH": str(tmp_path)},
        "working_dir": str(tmp_path / "none"),
    }
    (tmp_path / "sitecustomize.py").write_text(f"open({str(mark)!r}, 'w')")
    with up.client() as client:
        manual = client.read_deployment_by_name("pipeline/manual")
        # What Prefect checks for a deployment's runs, it does not for one that is made like this.
        made = client.request(
            "POST",
            "/flow_runs/",
            json={
                "flow_id": str(manual.flow_id),
                "deployment_id": str(manual.id),
                "work_pool_name": "local",
                "job_variables": variables,
                "state": {"type": "SCHEDULED"},
            },
        )
    run = up.finished(made.json()["id"], PATIENCE)
    assert run.job_variables == variables
    assert run.state_type == StateType.COMPLETED
    assert not mark.exists()


def test_without_the_password_nothing_is_told(up):
    assert answer(up, "GET", "/api/flows/00000000-0000-0000-0000-000000000000") == 401
    assert answer(up, "GET", "/api/csrf-token?client=x") == 401
    with up.client() as client:
        assert client.read_deployments()
        token = client.request("GET", "/csrf-token", params={"client": "x"}).json()["token"]
    csrf = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "x"}
    assert answer(up, "POST", "/api/flow_runs/filter", **csrf) == 401
    assert answer(up, "POST", "/api/flow_runs/filter", **csrf, Authorization="Basic eDp5") == 401


def test_another_site_cannot_make_the_browser_ask(up):
    known = {"Authorization": f"Basic {access.encoded(up.credentials)}"}
    # The password alone, which a browser may add by itself, is not enough to change anything.
    assert answer(up, "POST", "/api/flow_runs/filter", **known) == 403


def test_it_listens_on_the_loopback_interface_alone(up):
    listening = [
        line.split()[1].split(":")[0]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        if Path(table).exists()
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{up.port:04X}") and line.split()[3] == "0A"
    ]
    assert listening == ["0100007F"]


def test_the_pages_of_the_ui_come(up):
    assert answer(up, "GET", "/") == 200
    assert answer(up, "GET", "/v2/") == 200


def test_the_deployments_are_as_written(up):
    with up.client() as client:
        nightly = client.read_deployment_by_name("pipeline/nightly")
        manual = client.read_deployment_by_name("pipeline/manual")
    (schedule,) = nightly.schedules
    assert schedule.slug == "nightly"
    assert schedule.active
    assert schedule.schedule.cron == "0 3 * * *"
    assert schedule.schedule.timezone
    assert nightly.global_concurrency_limit.limit == 1
    assert nightly.concurrency_options.collision_strategy.value == "CANCEL_NEW"
    assert not manual.schedules
    with up.client() as client:
        for problem in ("forecasting", "language_model"):
            other = client.read_deployment_by_name(f"pipeline/{problem.replace('_', '-')}")
            assert other.parameters == {"problem": problem}
            assert other.schedules
    assert {nightly.work_pool_name, manual.work_pool_name} == {"local"}
    assert nightly.entrypoint == "flows/pipeline.py:pipeline"


def test_a_second_one_names_the_first(up):
    message = refused_beside(up)
    assert f"already running: pid {up.process.pid} at {up.address}" in message
    assert len(message.splitlines()) == 1


def refused_beside(up: Up) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "flows.serving.up", "--port", str(free_port())],
        cwd=up.folder,
        text=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    return done.stderr


def test_a_run_works_in_the_project_and_its_log_comes(up, worked):
    wait_for("the log", 60, lambda: f"works in {up.folder}" in up.log_of(worked.id))


def test_a_failed_run_and_a_refused_model_call_the_webhook(up, told):
    def bodies(run: FlowRun) -> tuple[str, str] | None:
        """What was told of a run's failure, and of any refused model."""
        failed = next((b["text"] for b in told if str(run.id) in b.get("url", "")), "")
        refused = next((b["text"] for b in told if "model refused" in b["text"]), "")
        return (failed, refused) if failed and refused else None

    def told_of_a_run() -> tuple[str, str] | None:
        run = up.finished(up.run(overrides={"refuse": True, "fail": True}).id, PATIENCE)
        assert run.state_type == StateType.FAILED
        with suppress(AssertionError):
            return wait_for("the webhook", 40, lambda: bodies(run))
        return None

    # Prefect delivers an event at most once: on a machine that stalls it may lose a single one.
    found = next(filter(None, (told_of_a_run() for _ in range(3))), None)
    assert found, (up.folder / STATE / "logs" / "server.log").read_text()[-5000:]
    assert 'it "failed" here' in found[0]
    assert "accuracy 0.4 is below 0.85" in found[1]


def test_who_does_not_know_the_password_is_told_so_at_a_prompt(up):
    done = subprocess.run(
        [sys.executable, "-m", "flows.search", "run"],
        cwd=ROOT,
        env={**os.environ, "PREFECT_API_URL": f"{up.address}/api"},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 1
    assert "asks for a password: set RNNPIPE_UI_PASSWORD" in done.stderr
    assert "Traceback" not in done.stderr


# How it ends ----------------------------------------------------------------------------------


def sleeping(up: Up) -> str:
    """Name of a run that is in the middle of its work."""
    run = up.run(overrides={"seconds": 300})
    wait_for("the run's child", PATIENCE, lambda: up.children("^300$"))
    return up.flow_run(run.id).name


def states(folder: Path) -> dict[str, str]:
    """Name and state of every run, from the database of a server that is gone."""
    with sqlite3.connect(folder / STATE / "prefect.db") as database:
        return dict(database.execute("select name, state_type from flow_run"))


def test_a_life_that_is_cut_short(up):
    """One story: killed with a run at work, started again, and ended by Ctrl-C with another."""
    name = sleeping(up)
    with up.client() as client:  # as an earlier release left it
        of_prefect = ProcessWorker.get_default_base_job_template()
        client.update_work_pool("local", WorkPoolUpdate(base_job_template=of_prefect))
    up.process.kill()
    up.ended(5)
    assert marked(up.folder / STATE)

    second = Up(up.folder, password="ein Passwort").ready()
    assert second.credentials == "rnnpipe:ein Passwort"
    assert "ein Passwort" not in second.printed
    with second.client() as client:
        manual = client.read_deployment_by_name("pipeline/manual")
        with pytest.raises(PrefectHTTPStatusError, match="422"):
            client.create_flow_run_from_deployment(manual.id, job_variables={"command": "true"})
    assert "an earlier `make ui` was killed" in second.printed
    assert f"run {name} had been cut off" in second.printed
    assert states(up.folder)[name] == "CRASHED"
    assert not second.children("^300$")

    name = sleeping(second)
    assert second.stop(signal.SIGINT) < 20
    assert second.process.returncode == 0
    assert states(up.folder)[name] == "CANCELLED"


def test_ended_while_it_starts_nothing_stays(tmp_path):
    folder = make_project(tmp_path / "project")
    up = Up(folder)
    wait_for("the server's process", 20, lambda: up.children("^server$"))
    assert up.stop() < 20
    assert up.process.returncode == 0


@pytest.mark.parametrize("caught", ["", "pass", "raise ImportError('broken') from None"])
def test_ended_in_the_midst_of_an_import_it_stops(tmp_path, caught):
    folder = make_project(tmp_path / "project")
    path = folder / "flows/serving/server.py"
    # As many a library does while it is imported.
    lines = ["print('importing', flush=True)", "exec('import time; time.sleep(60)')"]
    if caught:
        lines = [
            "try:",
            *(f"    {line}" for line in lines),
            "except BaseException:",
            f"    {caught}",
        ]
    path.write_text("\n".join([*lines, path.read_text()]))
    up = Up(folder)
    wait_for("the import", 30, lambda: "importing" in up.printed, every=0.05)
    assert up.stop() < 20
    assert up.process.returncode == 0
    assert "ready" not in up.printed


def test_a_terminal_that_is_gone_leaves_nothing(tmp_path, empty_database):
    folder = make_project(tmp_path / "project")
    (folder / STATE).mkdir(parents=True)
    shutil.copy(empty_database, folder / STATE)
    terminal, ours = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "flows.serving.up", "--port", str(free_port())],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ""},
        stdin=subprocess.DEVNULL,
        stdout=ours,
        stderr=ours,
        start_new_session=True,
    )
    os.close(ours)
    try:
        wait_for("its processes", 120, lambda: len(marked(folder / STATE)) > 1)
        os.close(terminal)  # from now on a line printed is an error
        child.send_signal(signal.SIGHUP)
        assert child.wait(40) == 0
        assert not marked(folder / STATE)
    finally:
        child.kill()
        for pid in marked(folder / STATE):
            os.kill(pid, signal.SIGKILL)


def test_the_mark_names_the_folder(tmp_path):
    child = subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: str(tmp_path)})
    try:
        wait_for("its environment", 5, lambda: marked(tmp_path) == {child.pid}, every=0.05)
        assert marked(tmp_path / "other") == set()
    finally:
        child.kill()
        child.wait()
