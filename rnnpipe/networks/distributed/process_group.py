"""Those who train a network together, as the training sees them; here: one process by itself.

Several, each with its share of every batch, are :class:`rnnpipe.networks.distributed.cluster.Cluster`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ProcessGroup:
    """One process: every batch is its own, and nobody has to be asked.

    Attributes:
        rank: of this process, counted from 0; rank 0 is the chief, who judges and writes.
        size: how many processes there are.
    """

    rank = 0
    size = 1

    def share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return this process's rows of a batch; call it once before each step."""
        return rows

    def average(
        self, weight: Any, gradients: Sequence[Any], loss: Any, sums: Any
    ) -> tuple[Sequence[Any], Any, Any]:
        """Make what one share of a batch gave into what the whole batch gives.

        Called while a step is traced, before the gradients are clipped and applied.

        Args:
            weight: how much ``loss`` is the mean of: reviews, words, known values.
            gradients: of ``loss``, ``float32``, ``tf.Tensor`` or ``tf.IndexedSlices`` each.
            loss: ``float32[]``, the mean over the share.
            sums: of any shape, what is summed over the share, not averaged.

        Returns:
            Gradients, mean loss and sums of the whole batch.
        """
        return gradients, loss, sums

    def broadcast(self, make: Callable[[], Any]) -> Any:
        """Return what the chief makes, the same to all; it must be what JSON can hold."""
        return make()

    def bytes_from_chief(self, make: Callable[[], bytes]) -> bytes:
        """Return the bytes that the chief makes, the same to all."""
        return make()

    def require_same(self, digest: bytes, what: str) -> None:
        """Require that all hold the same.

        Raises:
            TrainingError: a digest differs from the chief's.
        """

    @contextmanager
    def report_loss(self, kept: Callable[[], str]) -> Iterator[None]:
        """Turn the loss of one of the others into an error that says what is kept.

        Raises:
            TrainingError: another process was lost.
        """
        yield


ONE_PROCESS = ProcessGroup()
