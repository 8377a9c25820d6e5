"""A language model's exact loss, over all words."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.metrics.perplexity import LogLoss
from rnnpipe.networks.backend import tf
from rnnpipe.problems.language_model.network import LanguageModel
from rnnpipe.runtime.progress import track
from rnnpipe.text.batching import sorted_batches
from rnnpipe.text.tokens import Ragged
from rnnpipe.text.windows import count_predictions, cut_windows

_JUDGED_BATCH = 64
_JUDGED_WINDOW = 64
_JUDGED_WORDS = 512  # of the vocabulary at once: a block of scores stays in the cache


def judge(
    model: LanguageModel,
    sequences: Ragged,
    rows: NDArray[np.int64],
    directions: int | None = None,
) -> tuple[LogLoss, ...]:
    """Judge each direction on whole texts, by the softmax over the whole vocabulary.

    The figures depend on neither batches nor windows, apart from rounding.

    Args:
        model: any language model.
        sequences: token ids, ragged; they may stay on disk.
        rows: ``int64[n]``, which of them.
        directions: 1 judges the forward direction alone; None all there are.
    """
    predictions = count_predictions(sequences, rows)
    nats = judge_texts(model, sequences, rows, directions)
    return tuple(LogLoss(float(total), predictions) for total in nats.sum(axis=1))


def judge_texts(
    model: LanguageModel,
    sequences: Ragged,
    rows: NDArray[np.int64],
    directions: int | None = None,
) -> NDArray[np.float64]:
    """Return each text's summed loss in nats, ``float64[directions, n]``; see :func:`judge`."""
    directions = directions or model.directions
    nats = np.zeros((directions, len(rows)))
    for batch, losses in judge_predictions(model, sequences, rows, directions):
        nats[:, batch] = losses.sum(axis=2, dtype=np.float64)
    return nats


def judge_predictions(
    model: LanguageModel,
    sequences: Ragged,
    rows: NDArray[np.int64],
    directions: int | None = None,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Yield each prediction's loss in nats, batch by batch of texts of like length.

    Args:
        model: any language model.
        sequences: token ids, ragged; they may stay on disk.
        rows: ``int64[n]``, which of them.
        directions: 1 judges the forward direction alone; None all there are.

    Yields:
        ``int64[batch]``, places in ``rows``, and ``float32[directions, batch, time]``, for each
        text its words in the direction's order and its end; zero behind that.
    """
    directions = directions or model.directions
    run = compile_judging(model, directions)
    batches = sorted_batches(sequences.lengths[rows], _JUDGED_BATCH)
    for batch in track(batches, "judging texts", "batches"):
        state = model.zero_state(len(batch))
        parts = []
        for window in cut_windows(sequences, rows[batch], _JUDGED_WINDOW, model.directions):
            losses, state = run(window.inputs, window.targets, window.lengths, state)
            parts.append(losses.numpy())
        yield batch, np.concatenate(parts, axis=2)


def compile_judging(model: LanguageModel, directions: int) -> Callable[..., tuple[Any, Any]]:
    """Compile each prediction's exact loss over a window, dropout off.

    It takes a window's ``inputs``, ``targets`` and ``lengths`` and the state before, and gives
    ``float32[directions, batch, time]``, zero where nothing is predicted, and the state after.
    """

    def run(inputs: Any, targets: Any, lengths: Any, state: Any) -> tuple[Any, Any]:
        predicted, after = model(inputs, lengths, state, training=False)
        real = tf.sequence_mask(lengths, tf.shape(inputs)[2])
        losses = [
            tf.scatter_nd(
                tf.where(real),
                exact_losses(
                    tf.boolean_mask(predicted[direction], real),
                    tf.boolean_mask(targets[direction], real),
                    model.words,
                    model.bias.value,
                ),
                tf.shape(real, tf.int64),
            )
            for direction in range(directions)
        ]
        return tf.stack(losses), after

    compiled: Callable[..., tuple[Any, Any]] = tf.function(
        run,
        autograph=False,
        input_signature=[
            tf.TensorSpec([model.directions, None, None], tf.int32),
            tf.TensorSpec([model.directions, None, None], tf.int32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([*model.zero_state(1).shape[:2], None, None], tf.float32),
        ],
    )
    return compiled


def exact_losses(predicted: Any, targets: Any, table: Any, bias: Any) -> Any:
    """Return each prediction's loss in nats, ``float32[n]``, by the softmax over all words.

    The words come in blocks, so that memory does not grow with the vocabulary.

    Args:
        predicted: ``float32[n, size]``.
        targets: ``int32[n]``, the right words.
        table: ``float32[vocabulary_size, size]``.
        bias: ``float32[vocabulary_size]``.
    """
    starts = range(0, table.shape[0], _JUDGED_WORDS)
    rights = tf.reduce_sum(predicted * tf.gather(table, targets), axis=1)
    rights += tf.gather(bias, targets)

    def scores(start: int) -> Any:
        block = slice(start, start + _JUDGED_WORDS)
        return tf.matmul(predicted, table[block], transpose_b=True) + bias[block]

    # Frequent words come first, so the highest score of the first block is near the highest of
    # all: every exponent is taken against it, and the scores need not be searched first. Bias and
    # subtraction ride in the product: a block of scores is gone through but twice.
    high = tf.maximum(tf.reduce_max(scores(0), axis=1), rights)
    rows = tf.concat([predicted, tf.ones_like(high)[:, None], -high[:, None]], axis=1)
    columns = tf.concat(
        [table, tf.convert_to_tensor(bias)[:, None], tf.ones([table.shape[0], 1])], axis=1
    )
    total = tf.zeros_like(high)
    for start in starts:
        block = columns[start : start + _JUDGED_WORDS]
        total += tf.reduce_sum(tf.exp(tf.matmul(rows, block, transpose_b=True)), axis=1)

    def slowly() -> Any:
        """Where a score lies so far above the first block's that its exponent is no number."""
        highest, found = high, tf.zeros_like(high)
        for start in starts:
            block = scores(start)
            higher = tf.maximum(highest, tf.reduce_max(block, axis=1))
            here = tf.reduce_sum(tf.exp(block - higher[:, None]), axis=1)
            found = found * tf.exp(highest - higher) + here
            highest = higher
        return tf.math.log(found) + highest

    fine = tf.reduce_all(tf.math.is_finite(total))
    return tf.cond(fine, lambda: tf.math.log(total) + high, slowly) - rights
