"""Several processes that train one network, each on its share of every batch.

They sum their gradients by ``tf.distribute.MultiWorkerMirroredStrategy`` in a step of our own.
Each holds plain variables of its own and applies the same update to the same sum, so that all
stay equal bit for bit; that is checked when training begins and after each epoch.

How they find each other (:func:`join`): by ``TF_CONFIG``, which a cluster's own manager sets; else
in a folder that all see, into which each writes its address (``RNNPIPE_MEETING``, by a flow);
else the one process that was started starts the others, on this machine.

TensorFlow's server listens on every interface of its machine and asks nobody for a password:
whoever reaches the port can run operations. Do this on a network whose members are trusted.
"""

import importlib
import json
import logging
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.errors import TrainingError
from rnnpipe.networks.backend import tf
from rnnpipe.networks.distributed.process_group import ONE_PROCESS, ProcessGroup
from rnnpipe.networks.optimizers import sum_rows
from rnnpipe.runtime.parent import PARENT_VARIABLE
from rnnpipe.storage.files import atomic_file

MEETING_VARIABLE = "RNNPIPE_MEETING"  # folder that all processes see
RANK_VARIABLE = "RNNPIPE_RANK"
HOST_VARIABLE = "RNNPIPE_HOST"  # by which the others reach this machine
LOOPBACK = "127.0.0.1"

MEETING_SECONDS = 120.0
_PAUSE_SECONDS = 0.2
# A process that has died breaks its connections at once; one that hangs is noticed by these.
_HEALTH_PAUSE_SECONDS, _HEALTH_SECONDS = 5, 10
_GRACE_SECONDS = 10.0  # for TensorFlow to notice a loss by itself
_PIECE = 1 << 22  # int32 values broadcast at once

_log = logging.getLogger(__name__)


class Cluster(ProcessGroup):
    """One process of several."""

    def __init__(
        self,
        strategy: Any,
        rank: int,
        size: int,
        children: Mapping[int, "subprocess.Popen[bytes]"],
    ) -> None:
        """Speak to the others through a strategy that has been set up.

        Args:
            strategy: ``tf.distribute.MultiWorkerMirroredStrategy``.
            rank: of this process, the chief's being 0.
            size: how many processes there are.
            children: those among the others that this one started, by rank.
        """
        self.rank, self.size = rank, size
        self._strategy = strategy
        self._present = tf.Variable(1.0)  # 0 where a batch has too few rows for everyone
        self._children = children
        self._kept: Callable[[], str] = lambda: "nothing had been learnt yet"
        self._sum_flat = tf.function(
            lambda values: self._sum([values])[0], input_signature=[tf.TensorSpec([None], tf.int32)]
        )

    def share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return this process's rows of a batch.

        All take part in every step: where none is left for this one, it computes the first, which
        then counts nothing.
        """
        mine = rows[self.rank :: self.size]
        self._present.assign(float(len(mine) > 0))
        return mine if len(mine) else rows[:1]

    def average(
        self, weight: Any, gradients: Sequence[Any], loss: Any, sums: Any
    ) -> tuple[Sequence[Any], Any, Any]:
        """Average over the whole batch; see :meth:`rnnpipe.networks.distributed.process_group.ProcessGroup.average`."""
        weight = tf.cast(weight, tf.float32) * self._present
        # Nothing at all comes from a share of no weight, not even a NaN: the mean of nothing.
        gradients = [sum_rows(gradient) for gradient in gradients]
        sparse = [isinstance(gradient, tf.IndexedSlices) for gradient in gradients]
        dense = [g for g, rows in zip(gradients, sparse, strict=True) if not rows]
        parts = [tf.math.multiply_no_nan(part, weight) for part in [*dense, loss]]
        sums = tf.convert_to_tensor(sums)
        parts += [tf.math.multiply_no_nan(tf.cast(sums, tf.float32), self._present), weight]
        # What is dense travels as one: each message has its price, whatever it holds.
        flat, *rows = self._sum(
            [
                tf.concat([tf.reshape(part, [-1]) for part in parts], axis=0),
                *(
                    tf.IndexedSlices(
                        tf.math.multiply_no_nan(g.values, weight), g.indices, g.dense_shape
                    )
                    for g, is_rows in zip(gradients, sparse, strict=True)
                    if is_rows
                ),
            ]
        )
        pieces = tf.split(flat, [tf.size(part) for part in parts], num=len(parts))
        wholes = [
            tf.reshape(piece, tf.shape(part)) for piece, part in zip(pieces, parts, strict=True)
        ]
        *means, found, total = wholes
        *dense, loss = [mean / total for mean in means]
        remaining, remaining_rows = iter(dense), iter(rows)
        gradients = [
            _divided(next(remaining_rows), total) if is_rows else next(remaining)
            for is_rows in sparse
        ]
        return gradients, loss, tf.cast(found, sums.dtype)

    def broadcast(self, make: Callable[[], Any]) -> Any:
        """Return what the chief makes, through JSON, which keeps every float as it is."""
        return json.loads(self.bytes_from_chief(lambda: json.dumps(make()).encode()))

    def bytes_from_chief(self, make: Callable[[], bytes]) -> bytes:
        """Return the bytes that the chief makes: the sum of its own and the others' zeros."""
        content = make() if self.rank == 0 else b""
        high, low = self._total([len(content) >> 30, len(content) & ((1 << 30) - 1)])
        size = (int(high) << 30) + int(low)
        values = np.zeros(-(-size // 4), np.int32)
        values.view(np.uint8)[: len(content)] = np.frombuffer(content, np.uint8)
        for start in range(0, len(values), _PIECE):
            values[start : start + _PIECE] = self._total(values[start : start + _PIECE])
        return values.tobytes()[:size]

    def require_same(self, digest: bytes, what: str) -> None:
        """Require that all hold the same; all end if one does not."""
        differs = self.bytes_from_chief(lambda: digest) != digest
        if (number := int(self._total([int(differs)])[0])) > 0:
            raise TrainingError(
                f"{what}: those of {number} of {self.size} workers differ from the chief's, expected"
                " the same bytes; are data, code, versions and processors the same everywhere?"
            )

    @contextmanager
    def report_loss(self, kept: Callable[[], str]) -> Iterator[None]:
        """Turn the loss of one of the others into an error that says what is kept."""
        self._kept = kept
        try:
            yield
        except tf.errors.OpError as error:
            if not _is_loss(error):
                raise
            raise TrainingError(self.lost(str(error))) from None

    def lost(self, words: str) -> str:
        """Say who is gone, what is kept and what to do, from the words of an error."""
        time.sleep(2 * _PAUSE_SECONDS if self._children else 0)  # for its end to be seen
        ended = [
            f"worker {rank} (pid {child.pid}) ended with {child.returncode}"
            for rank, child in self._children.items()
            if child.poll() is not None
        ]
        resolver = self._strategy.cluster_resolver
        named = set(re.findall(r"/job:(\w+)/replica:\d+/task:(\d+)", words))
        named -= {(resolver.task_type, str(resolver.task_id))}
        who = "; ".join(ended) or (
            f"{' and '.join(' '.join(one) for one in sorted(named)) or 'another worker'} was lost"
        )
        return f"{who}; {self._kept()}: run the same command again to go on"

    def _total(self, values: Any) -> NDArray[np.int32]:
        return np.asarray(self._sum_flat(tf.constant(values, tf.int32)))

    def _sum(self, values: Sequence[Any]) -> Any:
        def inside() -> Any:
            # The strategy asks each tensor for its device, and only what is made here has one.
            return tf.distribute.get_replica_context().all_reduce(
                tf.distribute.ReduceOp.SUM,
                tf.nest.map_structure(tf.identity, list(values), expand_composites=True),
            )

        return self._strategy.run(inside)


def _divided(gradient: Any, total: Any) -> Any:
    return tf.IndexedSlices(gradient.values / total, gradient.indices, gradient.dense_shape)


def _is_loss(error: Any) -> bool:
    kinds = (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.FailedPreconditionError,
    )
    return isinstance(error, kinds) or "Collective ops is aborted" in str(error)


@contextmanager
def join(workers: int) -> Iterator[ProcessGroup]:
    """Come together with the others; call it before the first tensor is made.

    Args:
        workers: how many processes train together (``train.workers``).

    Raises:
        TrainingError: they did not come together, or ``TF_CONFIG`` speaks of another number.
    """
    _check_config(workers)
    if workers == 1:
        yield ONE_PROCESS
        return
    with ExitStack() as stack:
        children: Mapping[int, subprocess.Popen[bytes]] = {}
        if "TF_CONFIG" not in os.environ:
            if MEETING_VARIABLE not in os.environ:
                children = stack.enter_context(_children(workers))
            folder = Path(os.environ[MEETING_VARIABLE])
            rank = int(os.environ.get(RANK_VARIABLE, "0"))
            os.environ["TF_CONFIG"] = rendezvous(folder, rank, workers, children)
            stack.callback(os.environ.pop, "TF_CONFIG")
        team = _connect(workers, children)
        stack.enter_context(_watched(team, children))
        _log.info("worker %d of %d has joined", team.rank, team.size)
        yield team
        for child in children.values():  # they have their last words in the log
            child.wait(MEETING_SECONDS)


def rendezvous(
    folder: Path,
    rank: int,
    workers: int,
    children: Mapping[int, "subprocess.Popen[bytes]"] | None = None,
) -> str:
    """Write this process's address into a folder, wait for the others', and give ``TF_CONFIG``.

    Args:
        folder: seen by all, and used by no earlier training.
        rank: of this process.
        workers: how many there are.
        children: those among the others whose end would be in vain to wait beyond.

    Raises:
        TrainingError: not all came in time, or one ended.
    """
    host = os.environ.get(HOST_VARIABLE, LOOPBACK)
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(folder / str(rank)) as partial:
        partial.write_text(f"{host}:{port}")
    end = time.monotonic() + MEETING_SECONDS
    while missing := [r for r in range(workers) if not (folder / str(r)).exists()]:
        gone = [r for r, child in (children or {}).items() if child.poll() is not None]
        if gone or time.monotonic() > end:
            why = f"worker {gone[0]} ended" if gone else f"waited {MEETING_SECONDS:.0f} s"
            raise TrainingError(
                f"found {workers - len(missing)} of {workers} workers in {folder}, {why}; expected"
                f" all: worker {', '.join(map(str, missing))} did not come; its own lines say why."
                " Is there room for all of them to run at the same time?"
            )
        time.sleep(_PAUSE_SECONDS)
    addresses = [(folder / str(r)).read_text() for r in range(workers)]
    task = {"type": "worker", "index": rank}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


@contextmanager
def _children(workers: int) -> Iterator[Mapping[int, "subprocess.Popen[bytes]"]]:
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


def _jobs() -> Mapping[str, Any]:
    try:
        jobs: Mapping[str, Any] = json.loads(os.environ["TF_CONFIG"]).get("cluster", {})
    except ValueError as error:
        raise TrainingError(f"TF_CONFIG is no JSON object ({error}): set it right") from None
    return jobs


def _check_config(workers: int) -> None:
    """Require that ``TF_CONFIG``, where it is set and names a cluster, means as many workers."""
    if not (os.environ.get("TF_CONFIG") and (jobs := _jobs())):
        os.environ.pop("TF_CONFIG", None)
        return
    size = sum(len(jobs.get(job, ())) for job in ("chief", "worker"))
    if size != workers:
        raise TrainingError(
            f"TF_CONFIG names {size} workers, but train.workers is {workers}: make them the same"
        )


def _connect(workers: int, children: Mapping[int, "subprocess.Popen[bytes]"]) -> Cluster:
    task = json.loads(os.environ["TF_CONFIG"])["task"]
    chiefs = len(_jobs().get("chief", ()))
    rank = int(task["index"]) + (chiefs if task["type"] == "worker" else 0)
    _prefer_health_checks()
    late = threading.Timer(
        MEETING_SECONDS + _GRACE_SECONDS, _end_hard, [lambda: _not_together(workers)]
    )
    late.daemon = True
    late.start()
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError) as error:
        raise TrainingError(f"{_not_together(workers)} ({error})") from None
    finally:
        late.cancel()
    return Cluster(strategy, rank, workers, children)


def _not_together(workers: int) -> str:
    return (
        f"the {workers} workers of {os.environ['TF_CONFIG']} did not come together within"
        f" {MEETING_SECONDS:.0f} s: are all of them started, and are the addresses theirs, free, and"
        " reachable?"
    )


def _prefer_health_checks() -> None:
    """Have the strategy notice a lost process by its checks of the others' health, and soon.

    Its other way, the coordination service, lets a process whose peer was lost wait at its own
    end, for many minutes. There is no public switch between the two.
    """
    context = importlib.import_module("tensorflow.python.eager.context").context()
    context.configure_coordination_service("")
    extended = importlib.import_module(
        "tensorflow.python.distribute.collective_all_reduce_strategy"
    ).CollectiveAllReduceExtended
    extended._check_health_interval = _HEALTH_PAUSE_SECONDS
    extended._check_health_timeout = _HEALTH_SECONDS
    extended._check_health_initial_timeout = int(MEETING_SECONDS)


@contextmanager
def _watched(team: Cluster, children: Mapping[int, "subprocess.Popen[bytes]"]) -> Iterator[None]:
    """Notice at once when a child dies, whatever this process is busy with."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_PAUSE_SECONDS):
            if any(child.poll() for child in children.values()):
                if not over.wait(_GRACE_SECONDS):
                    _end_hard(lambda: team.lost(""))
                return

    thread = threading.Thread(target=watch, name="watch-workers", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        # Who ends first must not alarm the others.
        stop = getattr(team._strategy.extended, "_check_health_thread_should_stop", None)
        if stop is not None:
            stop.set()


def _end_hard(message: Callable[[], str]) -> None:
    """End this process, which waits where no exception reaches it; what it writes is atomic."""
    print(f"rnnpipe: {message()}", file=sys.stderr, flush=True)
    os._exit(TrainingError.exit_code)
