"""Prefect for a single run at a prompt: the server that is up, else one that ends with the run.

Nothing of Prefect is imported before a server has been begun: each takes seconds, and two cores do
both at once.
"""

import atexit
import fcntl
import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from flows.serving import access
from flows.serving.database import database_fault
from flows.stage import guarded
from rnnpipe.errors import RnnpipeError

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]

_READY_SECONDS, _STOP_SECONDS = 180, 5
# What Prefect sets for its own temporary server; that one outlives a run that is killed hard.
_TEMPORARY = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    # The catalogue of blocks is for the pages of `make ui`, whose server registers them.
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "0",
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "0",  # else it imports what could have some
}


class ServerError(RnnpipeError):
    """Prefect's server does not start."""


def use_a_server(home: Path) -> None:
    """Have Prefect use a server until this process ends; see :func:`begin_a_server`."""
    begin_a_server(home)()


def begin_a_server(home: Path) -> Callable[[], None]:
    """Have Prefect use a server until this process ends, and start it if need be.

    It is the one that ``PREFECT_API_URL`` names, else that of ``make ui`` if it is up, else one
    that is started here.

    Args:
        home: folder of Prefect's state, made if need be and closed to others.

    Raises:
        ServerError: the folder, or the database in it, cannot be used.

    Returns:
        A function to be called before Prefect is used. It waits until the server answers, and
        raises a ServerError where it does not, or lets nobody in without a password.
    """
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), HOST, "localhost"]))
    if "PREFECT_API_URL" in os.environ:
        return _require_answer
    try:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
    except OSError as error:
        raise ServerError(
            f"{home} cannot be used ({error.strerror}): mend it, or move it away"
        ) from None
    os.environ.setdefault("PREFECT_HOME", str(home))
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    address = _address_of_ui(home / "up.lock")
    if address:
        if credentials := access.found(home, os.environ):
            os.environ["PREFECT_API_AUTH_STRING"] = credentials

        def alive() -> bool:
            return _address_of_ui(home / "up.lock") == address

    else:
        if fault := database_fault(Path(os.environ["PREFECT_HOME"])):
            raise ServerError(fault)
        address, alive = _start()
    os.environ["PREFECT_API_URL"] = f"{address}/api"

    def ready() -> None:
        from prefect.context import refresh_global_settings_context

        _wait_until_healthy(address, alive)
        refresh_global_settings_context()
        _require_answer()

    return ready


def _require_answer() -> None:
    """Ask the server one thing: inside a flow a failure would come as a traceback."""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectException

    address = os.environ["PREFECT_API_URL"]
    try:
        with get_client(sync_client=True) as client:
            client.read_flows(limit=1)
    except (httpx.HTTPError, PrefectException, RuntimeError) as error:
        if "401" in f"{error} {error.__cause__}":
            raise ServerError(
                f"{address} asks for a password: set RNNPIPE_UI_PASSWORD to that of `make ui`,"
                " or PREFECT_API_AUTH_STRING to that of another server"
            ) from None
        reason = f"{error}".partition("\n")[0][:200]
        raise ServerError(
            f"no Prefect server answers at {address} ({reason}): start it, or unset"
            " PREFECT_API_URL for one that ends with the run"
        ) from None


def _address_of_ui(lock: Path) -> str | None:
    """Where ``make ui`` listens; None where it is not up."""
    if not lock.is_file():
        return None
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:  # it holds the lock, so it is up
            try:
                return str(json.load(file)["address"])
            except (ValueError, KeyError):  # it is just starting
                return None
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _start() -> tuple[str, Callable[[], bool]]:
    """Start a server that ends with this process; its address, and whether it is alive."""
    port = _free_port()
    # Other users of the machine reach the port, too. It is told to our own children alone.
    credentials = access.made()
    os.environ["PREFECT_API_AUTH_STRING"] = credentials
    server = subprocess.Popen(
        guarded(
            "uvicorn",
            *("--app-dir", str(ROOT)),  # else the current folder comes first
            *("--factory", "flows.serving.application:create_app"),
            *("--host", HOST, "--port", str(port), "--log-level", "error", "--lifespan", "on"),
        ),
        env={**os.environ, **_TEMPORARY, "PREFECT_SERVER_API_AUTH_STRING": credentials},
        stdin=subprocess.DEVNULL,
        # Ctrl-C is for the run alone: it still has to tell the server how it ended.
        start_new_session=True,
    )
    # Not when the run ends, but later: logs and events are still on their way to the server.
    atexit.register(_stop, server)
    return f"http://{HOST}:{port}", lambda: server.poll() is None


def _wait_until_healthy(address: str, alive: Callable[[], bool]) -> None:
    port = urlsplit(address).port or 80
    end = time.monotonic() + _READY_SECONDS
    while going := alive():
        if is_healthy(port):
            return
        if time.monotonic() > end:
            break
        time.sleep(0.2)
    became = "it still starts" if going else "it has ended"
    raise ServerError(f"Prefect's server does not answer at {address}: {became}; see above")


def is_healthy(port: int) -> bool:
    """Tell whether a Prefect server answers at the port."""
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/api/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
