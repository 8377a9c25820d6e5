"""Batches of texts cut into windows, over which a language model's state is carried.

Truncated backpropagation through time (Williams & Peng 1990): the state flows on from window to
window, the gradient stops at their borders. A text starts from the zero state and the start
symbol 0; it must predict its words, and behind them 0 as its end. Four texts of one batch, read
forward with ``bptt_length`` 3::

    texts           windows: above what is read, below what must be predicted

    a b c d e       0 a b │ c d e
                    a b c │ d e 0
    f g h           0 f g │ h · ·
                    f g h │ 0 · ·         · lies behind the end: no step, the state stands still
    i j             0 i j │ · · ·
                    i j 0 │ · · ·
    k               0 k · │ · · ·
                    k 0 · │ · · ·
                zero state → → state → → (thrown away: the next batch starts at zero again)
                    gradient stops at │

The backward direction is a second language model over each text turned round: ``0 e d c b a``.
Every direction predicts each word and one end a text, whatever the batch and the window.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rnnpipe.text.tokens import PADDING_ID, Ragged

BOUNDARY_ID = PADDING_ID  # read as the start of a text, predicted as its end


@dataclass(frozen=True)
class Window:
    """Some steps of a batch of texts.

    Attributes:
        inputs: ``int32[directions, batch, time]``, what is read; forward first.
        targets: ``int32[directions, batch, time]``, what must be predicted.
        lengths: ``int32[batch]``, steps of each text in this window, 0 to ``time``.
        first: whether it is the batch's first, which starts from the zero state.
    """

    inputs: NDArray[np.int32]
    targets: NDArray[np.int32]
    lengths: NDArray[np.int32]
    first: bool


def count_predictions(sequences: Ragged, rows: NDArray[np.int64]) -> int:
    """Count what a direction must predict: every word, and one end a text."""
    return int(sequences.lengths[rows].sum()) + len(rows)


def cut_windows(
    sequences: Ragged, rows: NDArray[np.int64], bptt_length: int, directions: int = 1
) -> Iterator[Window]:
    """Walk a batch of texts in windows of like width, of at most ``bptt_length`` steps.

    Args:
        sequences: token ids, ragged.
        rows: ``int64[batch]``, the texts of the batch; best of like length.
        bptt_length: most steps a window.
        directions: 1 for forward, 2 for forward and backward.

    >>> texts = Ragged(np.array([5, 6, 7, 8], np.int32), np.array([0, 3, 4]))
    >>> for window in cut_windows(texts, np.array([0, 1]), 2):
    ...     print(window.inputs[0].tolist(), window.targets[0].tolist(), window.lengths.tolist())
    [[0, 5], [0, 8]] [[5, 6], [8, 0]] [2, 2]
    [[6, 7], [0, 0]] [[7, 0], [0, 0]] [2, 0]
    """
    steps = sequences.lengths[rows] + 1
    width = int(steps.max(initial=0))
    ids = np.full((directions, len(rows), width + 1), BOUNDARY_ID, np.int32)
    for place, row in enumerate(rows.tolist()):
        text = sequences[row]
        for direction in range(directions):
            ids[direction, place, 1 : 1 + len(text)] = text[::-1] if direction else text
    # Of like width: a last window of three steps would cost an optimizer step of its own.
    number = -(-width // bptt_length)
    bounds = np.linspace(0, width, number + 1).astype(np.int64).tolist()
    for start, end in pairwise(bounds):
        yield Window(
            ids[:, :, start:end],
            ids[:, :, start + 1 : end + 1],
            np.clip(steps - start, 0, end - start).astype(np.int32),
            first=start == 0,
        )
