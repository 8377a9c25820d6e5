"""How the processes of one training find each other, and with which key.

By ``TF_CONFIG``, which a cluster's own manager sets, with a key of one's own in
``RNNPIPE_CLUSTER_KEY``; else in a folder that all see (``RNNPIPE_MEETING``, by a flow), where the chief
writes its address and a key; else the one process that was started starts the others, on this machine.

TensorFlow's own server would not do: whatever address it is given, it listens on every interface
(``[::]``), and asks nobody for a password. Here the chief alone listens, on loopback or the one interface
that ``RNNPIPE_HOST`` or ``TF_CONFIG`` names, and lets in who knows the key.
"""

import hashlib
import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rnnpipe.errors import TrainingError, quoted
from rnnpipe.networks.distributed.links import (
    KEY_BYTES,
    Link,
    LostError,
    Reception,
    connect,
    listen,
    wait_for,
)
from rnnpipe.runtime.parent import PARENT_VARIABLE
from rnnpipe.runtime.private import NotPrivateError, read_own_file
from rnnpipe.storage.files import atomic_file

MEETING_VARIABLE = "RNNPIPE_MEETING"  # folder that all processes see
RANK_VARIABLE = "RNNPIPE_RANK"
HOST_VARIABLE = "RNNPIPE_HOST"  # by which the others reach this machine
KEY_VARIABLE = "RNNPIPE_CLUSTER_KEY"  # which all know who meet in no folder
LOOPBACK = "127.0.0.1"

MEETING_SECONDS = 120.0
_PAUSE_SECONDS = 0.2
_SHORTEST_KEY = 16
_MOST_BYTES = 4096  # of what the chief writes into the folder

_log = logging.getLogger(__name__)

Children = Mapping[int, "subprocess.Popen[bytes]"]


@contextmanager
def meet(workers: int) -> Iterator[tuple[int, dict[int, Link], Children]]:
    """Come together with the others; who was started for it ends with the block.

    Args:
        workers: how many processes train together; of one, nobody is waited for.

    Returns:
        This process's rank; links to the others (of the chief to all, of another to the chief) by
        rank; those of the others that this process started, by rank.

    Raises:
        TrainingError: they did not come together, or ``TF_CONFIG`` speaks of another number.
    """
    config = _config(workers)
    if workers == 1:
        yield 0, {}, {}
        return
    with ExitStack() as stack:
        if config:
            rank, address = config
            yield rank, _meet_at(address, rank, workers), {}
            return
        children: Children = {}
        if MEETING_VARIABLE not in os.environ:
            children = stack.enter_context(_children(workers))
        folder = Path(os.environ[MEETING_VARIABLE])
        rank = _rank(workers)
        yield rank, rendezvous(folder, rank, workers, children), children


def rendezvous(
    folder: Path, rank: int, workers: int, children: Children | None = None
) -> dict[int, Link]:
    """Meet in a folder: the chief writes there where it listens, the others come to it.

    Args:
        folder: seen by all. What an earlier training has left there does no harm.
        rank: of this process.
        workers: how many there are.
        children: those among the others whose end would be in vain to wait beyond.

    Raises:
        TrainingError: not all came in time, or one ended.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "0"
    if rank == 0:
        given = _given_key()
        key = given or secrets.token_bytes(KEY_BYTES)
        listener, address = _open(os.environ.get(HOST_VARIABLE) or LOOPBACK, 0)
        told = {"address": address, "key": None if given else key.hex()}
        with atomic_file(place) as partial:
            partial.touch(0o600)
            partial.chmod(0o600)
            partial.write_text(json.dumps(told))
        return _await_all(listener, key, workers, str(folder), children or {})
    (folder / str(rank)).touch()  # for whoever looks who has come
    given = _given_key()

    def attempt() -> Link | None:
        try:
            told = json.loads(read_own_file(place, _MOST_BYTES))
            key = bytes.fromhex(told["key"]) if told["key"] else given
            host, port = _parts(told["address"])
        except FileNotFoundError:
            return None
        except (NotPrivateError, TrainingError, ValueError, KeyError, TypeError) as error:
            raise LostError(0, f"{place} is not what a chief writes: {error}") from None
        if key is None:
            raise LostError(0, f"the chief was given a key, expected {KEY_VARIABLE} here too")
        return connect(host, port, key, rank, workers)

    return _reach(attempt, rank, str(folder))


def _meet_at(address: str, rank: int, workers: int) -> dict[int, Link]:
    """Meet at the chief's address in ``TF_CONFIG``."""
    key = _given_key()
    if key is None:
        raise TrainingError(
            f"TF_CONFIG is set, but {KEY_VARIABLE} is not: expected one secret text, the same in the"
            f" environment of all workers, of {_SHORTEST_KEY} characters or more, such as"
            ' `python -c "import secrets; print(secrets.token_hex(32))"` makes: without it anybody'
            " who reaches the port could take part"
        )
    host, port = _parts(address)
    if rank == 0:
        listener, _ = _open(os.environ.get(HOST_VARIABLE) or host, port)
        return _await_all(listener, key, workers, address, {})
    return _reach(lambda: connect(host, port, key, rank, workers), rank, address)


def _open(host: str, port: int) -> tuple[socket.socket, str]:
    """Listen, and say where."""
    try:
        listener = listen(host, port)
    except (OSError, UnicodeError, OverflowError) as error:
        raise TrainingError(
            f"the chief cannot listen at {quoted(host)}, port {port} ({error}): expected an address of"
            f" this machine and a free port; {HOST_VARIABLE} names another"
        ) from None
    number, bound = listener.getsockname()[1], listener.getsockname()[0]
    if bound.startswith("127.") or bound == "::1":
        _log.info("the chief listens at %s:%d, for this machine alone", host, number)
    else:
        _log.warning(
            "the chief listens at %s:%d: who comes must know the training's key, but what travels is not"
            " encrypted, so the network between the machines has to be trusted",
            host,
            number,
        )
    return listener, f"{host}:{number}"


def _await_all(
    listener: socket.socket, key: bytes, workers: int, where: str, children: Children
) -> dict[int, Link]:
    refused: set[str] = set()

    def refuse(address: str) -> None:
        if address not in refused:
            refused.add(address)
            _log.warning("refused a connection from %s, which does not know the key", address)

    reception = Reception(listener, key, workers, refuse)
    end = time.monotonic() + MEETING_SECONDS
    try:
        while missing := sorted(set(range(1, workers)) - reception.links.keys()):
            gone = [r for r, child in children.items() if child.poll() is not None]
            if gone or time.monotonic() > end:
                why = f"worker {gone[0]} ended" if gone else f"waited {MEETING_SECONDS:.0f} s"
                raise TrainingError(
                    f"found {workers - len(missing)} of {workers} workers in {where}, {why};"
                    f" expected all: worker {', '.join(map(str, missing))} did not come; its own"
                    " lines say why. Is there room for all of them to run at the same time?"
                )
            time.sleep(_PAUSE_SECONDS)
    except BaseException:
        for link in reception.close().values():
            link.close()
        raise
    return reception.close()


def _reach(attempt: Callable[[], Link | None], rank: int, where: str) -> dict[int, Link]:
    link, reason = wait_for(attempt, MEETING_SECONDS)
    if link is None:
        raise TrainingError(
            f"worker {rank} did not reach the chief by {where} within {MEETING_SECONDS:.0f} s"
            f" ({reason}): is it started, with the same key and train.workers, and reachable from here?"
        )
    return {0: link}


@contextmanager
def _children(workers: int) -> Iterator[Children]:
    """Start the other processes: this one's own command once more, with another rank."""
    with tempfile.TemporaryDirectory(prefix="rnnpipe-workers-") as folder:
        os.environ[MEETING_VARIABLE] = folder
        started = {
            rank: subprocess.Popen(
                [sys.executable, *sys.orig_argv[1:]],
                env={**os.environ, RANK_VARIABLE: str(rank), PARENT_VARIABLE: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),  # what this one prints is read by others
            )
            for rank in range(1, workers)
        }
        try:
            yield started
        finally:
            del os.environ[MEETING_VARIABLE]
            for child in started.values():
                child.kill()  # of no effect on one that has ended
                child.wait()


def _rank(workers: int) -> int:
    text = os.environ.get(RANK_VARIABLE, "0")
    if not text.isascii() or not text.isdecimal() or not int(text[:9]) < workers:
        raise TrainingError(
            f"{RANK_VARIABLE} is {quoted(text)}, expected a number from 0 to {workers - 1}"
        )
    return int(text)


def _given_key() -> bytes | None:
    """Return the key that the environment gives; None where it gives none."""
    text = os.environ.get(KEY_VARIABLE, "")
    if text and len(text) < _SHORTEST_KEY:
        raise TrainingError(
            f"{KEY_VARIABLE} has {len(text)} characters, expected {_SHORTEST_KEY} or more"
        )
    return hashlib.sha256(os.fsencode(text)).digest() if text else None


def _config(workers: int) -> tuple[int, str] | None:
    """Return this process's rank and the chief's address by ``TF_CONFIG``; None without a cluster.

    Raises:
        TrainingError: it means another number of workers, or is no such thing.
    """
    if not (text := os.environ.get("TF_CONFIG")):
        return None
    try:
        config: Any = json.loads(text)
        jobs = config.get("cluster") or {}
        chiefs, others = list(jobs.get("chief", ())), list(jobs.get("worker", ()))
        addresses = [str(address) for address in chiefs + others]
        if addresses:
            index = int(config["task"]["index"])
            rank = index + (len(chiefs) if config["task"]["type"] == "worker" else 0)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TrainingError(
            f"TF_CONFIG is {quoted(text)}, expected a JSON object of cluster and task"
            f" ({type(error).__name__}: {error}): set it right"
        ) from None
    if not addresses:
        return None
    if len(addresses) != workers:
        raise TrainingError(
            f"TF_CONFIG names {len(addresses)} workers, but train.workers is {workers}: make them the"
            " same"
        )
    if not 0 <= rank < workers:
        raise TrainingError(f"TF_CONFIG makes this worker {rank}, expected 0 to {workers - 1}")
    return rank, addresses[0]


def _parts(address: str) -> tuple[str, int]:
    """Return host and port.

    >>> _parts("10.0.0.5:2222"), _parts("[::1]:80")
    (('10.0.0.5', 2222), ('::1', 80))
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not int(port[:9]) < 1 << 16:
        raise TrainingError(f"found the address {quoted(address)}, expected HOST:PORT")
    return host.strip("[]"), int(port)
