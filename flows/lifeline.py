"""What a run does while Prefect's server does not answer: it waits, and after a stated time it ends.

Prefect's client asks again for a minute, each question anew, and the end of a process asks once more
for every event and line that is still to be told: of a server that is gone, a run would never hear
the end. So a thread asks for a sign of life. While there is none, whoever has something to tell
waits here, and stages go on; a server that comes back is told all of it. If it stays away, the
stages are stopped and the process ends: what had run is in DVC's cache.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import httpx

from flows.stage import stop_all
from rnnpipe.errors import ParameterError

T = TypeVar("T")

SECONDS_VARIABLE = "RNNPIPE_SERVER_SECONDS"
# Without an answer. A server that is started anew needs some twenty, on a busy machine twice that.
SERVER_SECONDS = 90.0
# Of Prefect's client, with pauses of 2 to 64 s: longer than the time above.
_RETRIES = 6

_LOOK_SECONDS, _ANSWER_SECONDS = 1.0, 5.0
_TRIES = 3
_SET_BY_PREFECT = "PREFECT__FLOW_RUN_ID"  # where a worker has started a process for one run


class _Watch(threading.Thread):
    """Looks for the server as long as the process lives, which belongs to one run."""

    def __init__(self, seconds: float) -> None:
        super().__init__(name="lifeline", daemon=True)
        self.here = threading.Event()
        self.here.set()
        self.code = 1  # what the process ends with, if the server stays away
        self._seconds = seconds

    def run(self) -> None:
        # Prefect is imported by now, or soon; not before a server has been begun.
        from prefect.client.orchestration import get_client
        from prefect.events import emit_event
        from prefect.logging import get_logger
        from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

        address, logger = PREFECT_API_URL.value(), get_logger("lifeline")
        away = 0.0
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            client = get_client(httpx_settings={"timeout": _ANSWER_SECONDS}, sync_client=True)
        while True:
            began = time.monotonic()
            with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
                error = client.api_healthcheck()
            # Whatever it answers, it lives.
            if error is None or isinstance(error, httpx.HTTPStatusError):
                if not self.here.is_set():
                    logger.info("Prefect's server at %s answers again; the run goes on", address)
                    # With it go those events that could not be told meanwhile.
                    resource = {"prefect.resource.id": f"rnnpipe.process.{os.getpid()}"}
                    emit_event("rnnpipe.server.back", resource=resource)
                    self.here.set()
                away = 0.0
            elif self.here.is_set():
                self.here.clear()
                logger.warning(
                    "Prefect's server at %s does not answer: the run waits for it, %g s at most",
                    address,
                    self._seconds,
                )
            time.sleep(_LOOK_SECONDS)
            if not self.here.is_set():
                # Time in which this process itself was stopped is not the server's.
                away += min(time.monotonic() - began, 2 * _ANSWER_SECONDS)
            if away >= self._seconds:
                self._end(address)

    def _end(self, address: str) -> None:
        stopped = ", ".join(stop_all())
        print(
            f"rnnpipe: Prefect's server at {address} has not answered for {self._seconds:g} s, so"
            f" this run ends{f', and stops {stopped}' if stopped else ''}. What had run to its end"
            " is kept in DVC's cache, and comes back with the next run: start the server, or unset"
            " PREFECT_API_URL, and run again",
            file=sys.stderr,
            flush=True,
        )
        os._exit(self.code)  # all other ways wait for the server


_watch: _Watch | None = None


def seconds_to_wait() -> float:
    """How long a run waits for its server.

    Raises:
        ParameterError: the environment says so, but no number above 0.
    """
    text = os.environ.get(SECONDS_VARIABLE) or str(SERVER_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ParameterError(
            f"{SECONDS_VARIABLE}: found {text[:100]!r}, expected a number of seconds above 0"
        )
    return seconds


def ask_for_longer() -> None:
    """Have Prefect's client ask as long as a run waits; to be called before Prefect is imported."""
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", str(_RETRIES))


def watch_server() -> None:
    """End this process if Prefect's server stays away; for one that belongs to one run."""
    global _watch
    if _watch is None:
        _watch = _Watch(seconds_to_wait())
        _watch.start()


def watch_for_worker() -> None:
    """Do so where a worker of Prefect's has started this process for one run."""
    if _SET_BY_PREFECT in os.environ:
        watch_server()


def wait_for_server() -> None:
    """Wait while the server is away; the process ends if it stays away."""
    if _watch:
        _watch.here.wait()


def ending_with(code: int) -> int:
    """Have the process end with this code, if the server goes now that all has been done."""
    if _watch:
        _watch.code = code
    return code


def tell(ask: Callable[[], T]) -> T:
    """Return what the server answers; a question that its death cut off is asked once more.

    Raises:
        httpx.HTTPError: it refuses, or does not answer though it is there.
    """
    for _ in range(_TRIES):
        wait_for_server()
        try:
            return ask()
        except httpx.TransportError:
            if _watch is None:
                raise
            time.sleep(2 * _LOOK_SECONDS)  # by then its death is noticed
    return ask()
