"""Windows over batches of texts: each word predicted once, each from what stands before it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from language import ragged, texts

from rnnpipe.text.windows import BOUNDARY_ID, count_predictions, cut_windows


def read_back(sequences, windows, direction):
    """Join each text's real steps of all windows: what was read, and what was predicted."""
    read = [[] for _ in range(len(sequences))]
    predicted = [[] for _ in range(len(sequences))]
    for window in windows:
        for row, length in enumerate(window.lengths):
            read[row] += window.inputs[direction, row, :length].tolist()
            predicted[row] += window.targets[direction, row, :length].tolist()
    return read, predicted


@given(sequences=texts(), bptt_length=st.integers(1, 12), directions=st.integers(1, 2))
def test_every_text_is_read_from_its_start_and_predicted_to_its_end(
    sequences, bptt_length, directions
):
    rows = np.arange(len(sequences))
    windows = list(cut_windows(sequences, rows, bptt_length, directions))
    for direction in range(directions):
        ordered = [sequences[row].tolist()[:: -1 if direction else 1] for row in rows]
        read, predicted = read_back(sequences, windows, direction)
        assert read == [[BOUNDARY_ID, *text] for text in ordered]
        assert predicted == [[*text, BOUNDARY_ID] for text in ordered]


@given(sequences=texts(), bptt_length=st.integers(1, 12))
def test_windows_are_no_wider_than_asked_and_of_like_width(sequences, bptt_length):
    windows = list(cut_windows(sequences, np.arange(len(sequences)), bptt_length))
    widths = [window.inputs.shape[2] for window in windows]
    assert max(widths) <= bptt_length
    assert max(widths) - min(widths) <= 1
    assert [window.first for window in windows] == [True] + [False] * (len(windows) - 1)
    assert sum(window.lengths.sum() for window in windows) == count_predictions(
        sequences, np.arange(len(sequences))
    )


def test_rows_come_in_the_order_asked_for():
    (window,) = cut_windows(ragged([[5], [6, 7]]), np.array([1, 0]), 9)
    assert window.inputs[0].tolist() == [[0, 6, 7], [0, 5, 0]]
    assert window.lengths.tolist() == [3, 2]


def test_no_texts_make_no_windows():
    assert list(cut_windows(ragged([[5]]), np.array([], np.int64), 9)) == []
