"""Learning to classify: labelled sequences to batches, the step on one batch, the judging."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnnpipe.errors import TrainingError
from rnnpipe.networks.backend import keras, tf
from rnnpipe.networks.optimizers import Optimizer
from rnnpipe.networks.training import StepResult, TrainingTask, tensorflow_variables
from rnnpipe.problems.classification.loss import (
    count_correct,
    count_known,
    cross_entropy,
    mean_loss,
    weigh,
)
from rnnpipe.problems.classification.network import split_at_vectors
from rnnpipe.problems.classification.params import Train
from rnnpipe.runtime.progress import track
from rnnpipe.text.batching import Padding, draw_batches, sorted_batches
from rnnpipe.text.sequences import Split
from rnnpipe.text.tokens import Ragged

PREDICTION_BATCH = 256
_PREDICTION_TOKENS = 1 << 17  # in a batch, so that very long sequences come in smaller ones


@dataclass(frozen=True)
class TrainingSet:
    """What to learn from.

    Attributes:
        sequences: token ids, ragged; they may stay on disk.
        rows: ``int64[n]``, which of the sequences belong to it.
        targets: ``float32[n]``, the probability of label 1 for each of ``rows``: 0 and 1 where it
            is known, something between where a teacher only thinks so. Of K > 2 classes
            ``float32[n, K]``, the probability of each.
        class_weights: ``float64[K]``, what each class counts in the loss; None: all rows alike.
    """

    sequences: Ragged
    rows: NDArray[np.int64]
    targets: NDArray[np.float32]
    class_weights: NDArray[np.float64] | None = None


def learn_to_classify(
    model: keras.Model, training_set: TrainingSet, validation: Split, params: Train
) -> TrainingTask:
    """Make a classifier, a training set, and a validation split ready for training.

    Args:
        model: maps ``int32[batch, time]`` to ``float32[batch]``, or ``float32[batch, K]``; freshly
            built.
        training_set: what to learn from.
        validation: what decides which epoch was best, by the loss that is learnt from.
        params: batches and length of the sequences.

    Raises:
        TrainingError: there is nothing to learn from, or to judge by.
    """
    for name, size in (("train", len(training_set.rows)), ("validation", len(validation))):
        if not size:
            raise TrainingError(
                f"{name} holds no labelled review, expected some: see reports/sequences.json"
            )
    padding = Padding.of(params)
    class_weights = training_set.class_weights
    lesson = [training_set.targets]
    if class_weights is not None:
        lesson = [*weigh(training_set.targets, class_weights)]
    known = max(1, count_known(lesson[0]))
    forward = compile_forward(model)

    def batches(epoch: int) -> list[NDArray[np.int64]]:
        lengths = training_set.sequences.lengths[training_set.rows]
        return draw_batches(
            np.minimum(lengths, params.sequence_length),
            params.batch_size,
            bucket=params.bucket,
            seed=params.seed,
            epoch=epoch,
        )

    def start(optimizer: Optimizer) -> Callable[[NDArray[np.int64]], StepResult]:
        step = compile_step(
            model,
            optimizer,
            params.gradient_clip_norm,
            params.adversarial_norm,
            weighted=class_weights is not None,
        )

        def take(batch: NDArray[np.int64]) -> StepResult:
            mine = optimizer.team.share(batch)
            token_ids = padding.pad(training_set.sequences, training_set.rows[mine])
            found = step(tf.constant(token_ids), *(tf.constant(part[mine]) for part in lesson))
            loss, correct, norm = map(float, found)
            return StepResult(loss, len(batch), norm, correct)

        return take

    def validate() -> dict[str, float]:
        logits = predict_logits(forward, validation.sequences, padding)
        called = logits > 0 if logits.ndim == 1 else logits.argmax(axis=1)
        return {
            "loss": mean_loss(logits, validation.labels, class_weights),
            "accuracy": float(np.mean(called == validation.labels)),
        }

    return TrainingTask(
        model,
        batches,
        start,
        lambda loss, correct: {"accuracy": correct / known},
        validate,
        "reviews",
    )


Forward = Callable[[tf.Tensor], tf.Tensor]
Step = Callable[..., tuple[tf.Tensor, tf.Tensor, tf.Tensor]]


def compile_forward(model: keras.Model) -> Forward:
    """Compile a model's prediction, dropout off, once for every shape of batch."""
    compiled: Forward = tf.function(
        lambda token_ids: model(token_ids, training=False),
        autograph=False,
        input_signature=[tf.TensorSpec([None, None], tf.int32)],
    )
    return compiled


def predict_logits(forward: Forward, sequences: Ragged, padding: Padding) -> NDArray[np.float32]:
    """Return the logits of each sequence, in the order given.

    Args:
        forward: maps ``int32[batch, time]`` to ``float32[batch]``, or ``float32[batch, K]``.
        sequences: one or more.
        padding: how a batch becomes a rectangle.

    Returns:
        ``float32[n]``, or ``float32[n, K]``.
    """
    lengths = np.minimum(sequences.lengths, padding.length)
    size = max(1, min(PREDICTION_BATCH, _PREDICTION_TOKENS // padding.length))
    batches = sorted_batches(lengths, size)
    answers = np.concatenate(
        [
            forward(tf.constant(padding.pad(sequences, rows))).numpy()
            for rows in track(batches, "judging texts", "batches")
        ]
    )
    logits = np.empty_like(answers)
    logits[np.concatenate(batches)] = answers
    return logits


def compile_step(
    model: keras.Model,
    optimizer: Optimizer,
    clip_norm: float | None,
    adversarial_norm: float = 0.0,
    *,
    weighted: bool = False,
) -> Step:
    """Compile one step of the training, once for every shape of batch.

    Args:
        model: maps ``int32[batch, time]`` to ``float32[batch]``, or ``float32[batch, K]``.
        optimizer: over the model's variables, in their order.
        clip_norm: longest gradient over all weights; None clips nothing.
        adversarial_norm: length of the adversarial step over a review's vectors; 0 for none.
        weighted: rows have weights.

    Returns:
        A function of ``int32[batch, time]`` token ids, targets of the shape of the model's logits
        and, if weighted, ``float32[batch]`` weights to the mean loss, the number of right answers
        where a target is a label, and the gradient's norm before clipping.
    """
    variables = tensorflow_variables(model)
    to_vectors, to_logits = split_at_vectors(model)

    def step(
        token_ids: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        def loss_of(vectors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            logits = to_logits([vectors, lengths], training=True)
            return cross_entropy(targets, logits, weights), logits

        with tf.GradientTape() as tape:
            vectors, lengths = to_vectors(token_ids, training=True)
            with tf.GradientTape() as slope:
                slope.watch(vectors)
                loss, logits = loss_of(vectors)
            learnt = loss
            if adversarial_norm:
                with tape.stop_recording():
                    # One length over all words of a review, as in the paper.
                    steepest = tf.math.l2_normalize(slope.gradient(loss, vectors), [1, 2], 1e-30)
                learnt += loss_of(vectors + adversarial_norm * steepest)[0]
        correct = count_correct(targets, logits)
        gradients, loss, correct = optimizer.team.average(
            tf.shape(targets)[0], tape.gradient(learnt, variables), loss, correct
        )
        return loss, correct, optimizer.step(gradients, clip_norm)

    rows = [tf.TensorSpec([None], tf.float32)] if weighted else []
    compiled: Step = tf.function(
        step,
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec(model.output.shape, tf.float32),
            *rows,
        ],
    )
    return compiled
