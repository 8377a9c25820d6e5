"""Token ids padded a batch at a time.

The standing convention is right-padded and masked: under it a prediction depends neither on
the padded width nor on the batch it rides in.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rnnpipe.text.tokens import PADDING_ID, Ragged

_BUCKET_BATCHES = 64  # batches of like length are cut from a shuffled run of so many


class PaddedTraining(Protocol):
    """The parameters of a training that decide how its sequences are padded."""

    @property
    def sequence_length(self) -> int: ...  # noqa: D102
    @property
    def padding_side(self) -> str: ...  # noqa: D102
    @property
    def truncation_side(self) -> str: ...  # noqa: D102
    @property
    def bucket(self) -> bool: ...  # noqa: D102
    @property
    def mask(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True)
class Padding:
    """How a batch of sequences becomes a rectangle.

    Attributes:
        length: most words kept of a sequence.
        side: where short sequences are filled up.
        truncation_side: which end of a long sequence is cut off.
        fixed: pad to ``length`` always, not only to the longest of the batch.
    """

    length: int
    side: str = "right"
    truncation_side: str = "left"
    fixed: bool = False

    @classmethod
    def of(cls, params: PaddedTraining) -> "Padding":
        """Read the padding from the training parameters.

        Without a mask the padded width changes the prediction, so it is kept the same.
        """
        return cls(
            params.sequence_length,
            params.padding_side,
            params.truncation_side,
            fixed=not (params.bucket and params.mask),
        )

    def cut(
        self, sequences: Ragged, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where that begins and ends in ``values`` which is kept of rows, ``int64[batch]``.

        >>> ragged = Ragged(np.array([5, 6, 7, 8], np.int32), np.array([0, 3, 4]))
        >>> Padding(2).cut(ragged, np.array([0, 1]))
        (array([1, 3]), array([3, 4]))
        """
        starts, ends = sequences.offsets[rows], sequences.offsets[rows + 1]
        if self.truncation_side == "left":
            return np.maximum(starts, ends - self.length), ends
        return starts, np.minimum(ends, starts + self.length)

    def pad(self, sequences: Ragged, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Cut out rows of ragged sequences as ``int32[batch, time]``.

        >>> ragged = Ragged(np.array([5, 6, 7, 8], np.int32), np.array([0, 3, 4]))
        >>> Padding(2).pad(ragged, np.array([0, 1])).tolist()
        [[6, 7], [8, 0]]
        >>> Padding(4, "left", fixed=True).pad(ragged, np.array([0, 1])).tolist()
        [[0, 5, 6, 7], [0, 0, 0, 8]]
        """
        starts, ends = self.cut(sequences, rows)
        lengths = ends - starts
        width = self.length if self.fixed else int(lengths.max(initial=1))
        padded = np.full((len(rows), width), PADDING_ID, np.int32)
        for line, start, length in zip(padded, starts, lengths, strict=True):
            place = slice(0, length) if self.side == "right" else slice(width - length, width)
            line[place] = sequences.values[start : start + length]
        return padded


def draw_batches(
    lengths: NDArray[np.int64], batch_size: int, *, bucket: bool, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Divide all rows into random batches; the same (seed, epoch) gives the same batches.

    Args:
        lengths: ``int64[n]``, length of each sequence after truncation.
        batch_size: rows a batch; the last one may be smaller.
        bucket: form batches of like length, so that little is padded.
        seed: seed of the training.
        epoch: counted from 0.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    if bucket:
        run = batch_size * _BUCKET_BATCHES
        runs = [order[start : start + run] for start in range(0, len(order), run)]
        order = np.concatenate(
            [rows[np.argsort(lengths[rows], kind="stable")] for rows in runs] or [order]
        )
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [batches[i] for i in random.permutation(len(batches))]


def sorted_batches(lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Divide all rows into batches of like length, for prediction.

    Args:
        lengths: ``int64[n]``, length of each sequence after truncation.
        batch_size: rows a batch; the last one may be smaller.
    """
    order = np.argsort(lengths, kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
