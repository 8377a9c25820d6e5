"""Server, worker and deployments, started, watched and stopped as one: ``python -m flows.serving.up``.

Everything lives in ``.rnnpipe/prefect``: database, logs, lock. Every process that this command
starts, and every one that those start, carries the mark ``RNNPIPE_UP`` in its environment; so
what is left of a command that was killed is found and ended by the next one.
"""

import argparse
import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from flows.serving import access
from flows.serving.children import (
    LOGS,
    Children,
    Stopped,
    UpError,
    asked_to_stop,
    check_port,
    end_marked,
    last_lines,
    only_one,
)
from flows.serving.environment import POOL, PORT, STATE, environment
from flows.serving.own_server import HOST, is_healthy
from flows.serving.pages import served_pages
from flows.workspace import RUNS
from rnnpipe.errors import RnnpipeError, printable
from rnnpipe.runtime.encoding import ensure_utf8

_SERVER_SECONDS, _WORKER_SECONDS, _SCHEDULER_SECONDS = 180, 90, 90


def main(arguments: Sequence[str] | None = None) -> int:
    """Run in the foreground until Ctrl-C or SIGTERM, and return the exit code."""
    options = _parser().parse_args(arguments)
    project = Path(__file__).resolve().parents[2]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # SIGINT too: a shell without job control has it ignored.
        signal.signal(number, _stop)
    try:
        port = _port(options.port)
        with only_one(project / STATE, f"http://{HOST}:{port}"):
            _up(project, port)
    except Stopped:
        return 0
    except Exception as error:
        if asked_to_stop.is_set():  # a library that was interrupted has made another error of it
            return 0
        if not isinstance(error, RnnpipeError):
            raise
        print(f"rnnpipe: {printable(error, error.several_lines)}", file=sys.stderr)
        return error.exit_code


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    # Raised in the midst of an import it may be swallowed there: the next look finds the event.
    asked_to_stop.set()
    raise Stopped


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m flows.serving.up",
        description="Start Prefect's server, worker and deployments; Ctrl-C stops them.",
    )
    parser.add_argument("--port", help=f"port of the server (RNNPIPE_UI_PORT, else {PORT})")
    return parser


def _port(option: str | None) -> int:
    name = "--port" if option else "RNNPIPE_UI_PORT"
    text = option or os.environ.get("RNNPIPE_UI_PORT") or str(PORT)
    if not text.isdigit() or not 1024 <= int(text) < 65535:
        raise UpError(f"{name}: found {text[:100]!r}, expected a number from 1024 to 65534")
    return int(text)


def _up(project: Path, port: int) -> NoReturn:
    began = time.monotonic()
    state = project / STATE
    address = f"http://{HOST}:{port}"
    if ended := end_marked(state):
        print(f"rnnpipe: an earlier `make ui` was killed; ended {ended} processes that it left")
    check_port(port)
    check_port(port + 1)  # the runs' own pages
    credentials = access.kept(state, os.environ)
    link = secrets.token_urlsafe(32)
    # Prefect reads its settings from the environment, once, in this process too.
    settings = environment(project, port, os.environ)
    for name in os.environ.keys() - settings.keys():
        del os.environ[name]
    os.environ.update(settings)
    children = Children(project, state)
    pages = contextlib.ExitStack()
    try:
        pages.enter_context(served_pages(project / RUNS, HOST, port + 1, credentials))
        print("rnnpipe: starting server, worker and deployments", flush=True)
        children.start(
            "server",
            *("server", "--host", HOST, "--port", str(port)),
            module="flows.serving.application",
            variables={access.LINK_VARIABLE: link},
        )
        from flows.serving import server

        children.wait_until(lambda: is_healthy(port), _SERVER_SECONDS, "the server to answer")
        try:
            planned = _set_up(project, children)
        except server.ERRORS as error:
            first = str(error).splitlines()[0][:300]
            raise UpError(f"the server did not do as told: {first}; logs: {LOGS}") from error
        for line in _ready(address, link, planned, time.monotonic() - began):
            print(line, flush=True)
        children.watch()
    finally:
        children.stop()
        pages.close()


def _set_up(project: Path, children: "Children") -> tuple[str, datetime] | None:
    """Return a running server its worker, deployments and automations; return the next run."""
    from flows.serving import server

    for name in server.settle_runs(POOL, "It was cut off when `make ui` or the machine ended."):
        print(f"rnnpipe: run {name} had been cut off; now it says so")
    server.ensure_pool(POOL)
    now = datetime.now(UTC)
    children.start("worker", "worker", "start", "--pool", POOL, "--name", POOL)
    children.start("deploy", "--no-prompt", "deploy", "--all", ends=True)
    server.ensure_automations(os.environ.get("RNNPIPE_WEBHOOK"))
    children.wait_until(lambda: children.finished("deploy"), _WORKER_SECONDS, "the deployments")
    if missing := server.missing_deployments((project / "prefect.yaml").read_text()):
        raise UpError(f"not deployed: {', '.join(missing)}; {last_lines(children.log('deploy'))}")
    children.wait_until(
        lambda: server.worker_is_ready(POOL, POOL, now), _WORKER_SECONDS, "the worker to report"
    )
    if server.has_active_schedule():
        # A scheduler that is broken looks healthy but for this.
        children.wait_until(
            lambda: server.next_run(now) is not None, _SCHEDULER_SECONDS, "a run to be scheduled"
        )
    return server.next_run(now)


def _ready(
    address: str, link: str, planned: tuple[str, datetime] | None, seconds: float
) -> Iterator[str]:
    if planned:
        name, moment = planned
        when = f"{name}, {moment.astimezone():%a %d %b %Y %H:%M:%S %Z}"
    else:
        when = "none: no schedule is active"
    password = STATE / access.FILE
    yield f"rnnpipe: ready after {seconds:.0f} s"
    yield f"  address     {address}"
    yield f"  log in      {address}{access.LOGIN}#{link}"
    yield "              works once; that browser then stays logged in"
    yield f"  password    in {password}, where `make flow` and `make search` find it"
    yield f"  next run    {when}"
    yield (
        f"  run now     PREFECT_API_URL={address}/api"
        f' PREFECT_API_AUTH_STRING="$(cat {password})" prefect deployment run pipeline/manual'
    )
    yield f"  logs        {LOGS}"
    yield "  stop        Ctrl-C"


if __name__ == "__main__":
    ensure_utf8()
    sys.exit(main())
