"""Several processes that train one network, each on its share of every batch.

The chief sums their gradients, in the order of their ranks, inside a step of our own. Each holds plain
variables of its own and applies the same update to the same sum, so that all stay equal bit for bit;
that is checked when training begins and after each epoch.

How they come together: :mod:`rnnpipe.networks.distributed.meeting`. What they speak through:
:mod:`rnnpipe.networks.distributed.links`.
"""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.errors import TrainingError
from rnnpipe.networks.backend import tf
from rnnpipe.networks.distributed.links import Link, LostError, keep_alive
from rnnpipe.networks.distributed.meeting import MEETING_SECONDS, meet
from rnnpipe.networks.distributed.process_group import ONE_PROCESS, ProcessGroup
from rnnpipe.networks.optimizers import sum_rows

_PAUSE_SECONDS = 0.2
_GRACE_SECONDS = 10.0  # for this process to notice a loss by itself

_log = logging.getLogger(__name__)

Buffer = bytes | bytearray


class Cluster(ProcessGroup):
    """One process of several."""

    def __init__(
        self,
        rank: int,
        size: int,
        links: Mapping[int, Link],
        children: Mapping[int, "subprocess.Popen[bytes]"],
    ) -> None:
        """Speak to the others.

        Args:
            rank: of this process, the chief's being 0.
            size: how many processes there are.
            links: of the chief, one to each of the others by its rank; of another, the one to 0.
            children: those among the others that this one started, by rank.
        """
        self.rank, self.size = rank, size
        self._links = links
        self._present = tf.Variable(1.0)  # 0 where a batch has too few rows for everyone
        self._children = children
        self._kept: Callable[[], str] = lambda: "nothing had been learnt yet"
        self._loss: LostError | None = None

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
        # All travels as one: each message has its price, whatever it holds.
        flat, rows = self._sum(
            tf.concat([tf.reshape(part, [-1]) for part in parts], axis=0),
            [
                tf.IndexedSlices(
                    tf.math.multiply_no_nan(g.values, weight), g.indices, g.dense_shape
                )
                for g, is_rows in zip(gradients, sparse, strict=True)
                if is_rows
            ],
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
        """Return the bytes that the chief makes."""
        content = make() if self.rank == 0 else b""
        return bytes(self._exchange(b"", lambda parts: content))

    def require_same(self, digest: bytes, what: str) -> None:
        """Require that all hold the same; all end if one does not."""

        def count(digests: Sequence[Buffer]) -> bytes:
            return str(sum(other != digest for other in digests)).encode()

        if (number := int(self._exchange(digest, count))) > 0:
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
        except (LostError, tf.errors.OpError):
            # From inside a step it comes as TensorFlow's own error.
            if self._loss is None:
                raise
            raise TrainingError(self.lost()) from None

    def lost(self) -> str:
        """Say who is gone, what is kept and what to do."""
        time.sleep(2 * _PAUSE_SECONDS if self._children else 0)  # for its end to be seen
        ended = [
            f"worker {rank} (pid {child.pid}) ended with {child.returncode}"
            for rank, child in self._children.items()
            if child.poll() is not None
        ]
        who = "; ".join(ended)
        if not who:
            rank = self._loss.rank if self._loss else None
            name = "another worker" if rank is None else f"worker {rank}" if rank else "the chief"
            who = f"{name} was lost" + (f" ({self._loss})" if self._loss else "")
        return f"{who}; {self._kept()}: run the same command again to go on"

    def _sum(self, flat: Any, rows: Sequence[Any]) -> tuple[Any, list[Any]]:
        """Sum over all processes, in the graph of a step.

        Args:
            flat: ``float32[n]``.
            rows: ``tf.IndexedSlices``, whose rows are put side by side.
        """
        given = [flat, *(part for one in rows for part in (one.values, one.indices))]
        summed, *parts = tf.numpy_function(
            self._sum_arrays, given, [tensor.dtype for tensor in given]
        )
        summed.set_shape(flat.shape)
        for part, like in zip(parts, given[1:], strict=True):
            part.set_shape([None, *like.shape[1:]])
        pairs = zip(rows, parts[::2], parts[1::2], strict=True)
        return summed, [
            tf.IndexedSlices(values, indices, one.dense_shape) for one, values, indices in pairs
        ]

    def _sum_arrays(self, *arrays: NDArray[Any]) -> list[NDArray[Any]]:
        def combine(parts: Sequence[Buffer]) -> bytes:
            flats, *others = zip(*(_unpack(part, arrays) for part in parts), strict=True)
            total = flats[0].copy()
            for flat in flats[1:]:
                total += flat
            return _pack([total, *(np.concatenate(other) for other in others)])

        return _unpack(self._exchange(_pack(arrays), combine), arrays)

    def _exchange(self, content: bytes, combine: Callable[[Sequence[Buffer]], bytes]) -> Buffer:
        """Bring what each has to the chief, and what it makes of it to all.

        Args:
            content: of this process.
            combine: called on the chief with the contents of all, by rank.
        """
        try:
            if self.rank:
                self._links[0].wait_until_asked()
                self._links[0].send(content)
                return self._links[0].receive()
            parts: list[Buffer] = [content]
            others = [self._links[rank] for rank in range(1, self.size)]
            for link in others:
                link.ask()
                parts.append(link.receive())
            whole = combine(parts)
            for link in others:
                link.send(whole)
        except LostError as error:
            self._loss = error
            raise
        return whole


def _pack(arrays: Sequence[NDArray[Any]]) -> bytes:
    counts = np.array([len(array) for array in arrays], np.int64)
    return b"".join(np.ascontiguousarray(array).tobytes() for array in (counts, *arrays))


def _unpack(content: Buffer, like: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Read arrays of the dtypes of others, and of their shapes but for the number of rows."""
    counts = np.frombuffer(content, np.int64, len(like))
    offset, arrays = counts.nbytes, []
    for count, array in zip(counts.tolist(), like, strict=True):
        shape = (count, *array.shape[1:])
        read = np.frombuffer(content, array.dtype, int(np.prod(shape)), offset)
        arrays.append(read.reshape(shape))
        offset += read.nbytes
    return arrays


def _divided(gradient: Any, total: Any) -> Any:
    return tf.IndexedSlices(gradient.values / total, gradient.indices, gradient.dense_shape)


@contextmanager
def join(workers: int) -> Iterator[ProcessGroup]:
    """Come together with the others.

    Args:
        workers: how many processes train together (``train.workers``).

    Raises:
        TrainingError: they did not come together, or ``TF_CONFIG`` speaks of another number.
    """
    with ExitStack() as stack:
        rank, links, children = stack.enter_context(meet(workers))
        if workers == 1:
            yield ONE_PROCESS
            return
        stack.enter_context(keep_alive(links))
        team = Cluster(rank, workers, links, children)
        stack.enter_context(_watched(team, children))
        _log.info("worker %d of %d has joined", team.rank, team.size)
        yield team
        for child in children.values():  # they have their last words in the log
            child.wait(MEETING_SECONDS)


@contextmanager
def _watched(team: Cluster, children: Mapping[int, "subprocess.Popen[bytes]"]) -> Iterator[None]:
    """Notice at once when a child dies, whatever this process is busy with."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_PAUSE_SECONDS):
            if any(child.poll() for child in children.values()):
                if not over.wait(_GRACE_SECONDS):
                    _end_hard(team.lost)
                return

    thread = threading.Thread(target=watch, name="watch-workers", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _end_hard(message: Callable[[], str]) -> None:
    """End this process, which waits where no exception reaches it; what it writes is atomic."""
    print(f"rnnpipe: {message()}", file=sys.stderr, flush=True)
    os._exit(TrainingError.exit_code)
