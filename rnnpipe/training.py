"""Training: batches in, best weights out; which network it trains, it does not know.

Everything random derives from (seed, epoch, step), and every epoch ends in a checkpoint, so a
training that is killed and started again ends in the very bytes of an undisturbed one.
"""

import hashlib
import json
import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from rnnpipe.backend import keras, tf
from rnnpipe.errors import TrainingError
from rnnpipe.files import atomic_file
from rnnpipe.models import split_at_vectors
from rnnpipe.optimizers import Optimizer
from rnnpipe.params import Train
from rnnpipe.sequences import Padding, Split, draw_batches, sorted_batches
from rnnpipe.tokens import Ragged

PREDICTION_BATCH = 256
_PREDICTION_TOKENS = 1 << 17  # in a batch, so that very long sequences come in smaller ones

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training data gave.

    Attributes:
        epoch: counted from 1.
        loss: mean training loss, dropout on, over all that is learnt from.
        accuracy: share of right answers in training, dropout on, where the answer is known: of
            what a teacher only thinks, nothing is right or wrong.
        validation_loss: mean loss on validation, dropout off.
        validation_accuracy: share of right answers on validation.
        gradient_norm: mean norm of the gradient over all weights, before clipping.
        learning_rate: step size of the last step.
    """

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    gradient_norm: float
    learning_rate: float


@dataclass(frozen=True)
class History:
    """All epochs, and which of them gave the weights that were kept."""

    epochs: tuple[Epoch, ...]
    best_epoch: int


@dataclass(frozen=True)
class Lesson:
    """What to learn from.

    Attributes:
        sequences: token ids, ragged; they may stay on disk.
        rows: ``int64[n]``, which of the sequences belong to the lesson.
        targets: ``float32[n]``, the probability of label 1 for each of ``rows``: 0 and 1 where it
            is known, something between where a teacher only thinks so.
    """

    sequences: Ragged
    rows: NDArray[np.int64]
    targets: NDArray[np.float32]


def draw_fraction(rows: NDArray[np.int64], params: Train) -> NDArray[np.int64]:
    """Take ``params.fraction`` of the rows, in their order, the same for the same seed."""
    kept = math.ceil(params.fraction * len(rows))
    return np.sort(np.random.default_rng(params.seed).permutation(rows)[:kept])


def make_deterministic() -> None:
    """Have TensorFlow give the same bytes for the same input on one machine."""
    tf.config.experimental.enable_op_determinism()


def fit(
    model: keras.Model,
    lesson: Lesson,
    validation: Split,
    params: Train,
    checkpoint: Path,
    on_epoch: Callable[[Epoch], None],
) -> History:
    """Train a model from token ids to one logit and leave its best weights in it.

    Args:
        model: maps ``int32[batch, time]`` to ``float32[batch]``; freshly built.
        lesson: what to learn from.
        validation: what decides which epoch was best (least loss), and when to stop.
        params: batches, optimizer, length and end of the training.
        checkpoint: file that keeps the state after each epoch; where it exists, training goes
            on from it. It belongs to the caller to remove it when the result is safe.
        on_epoch: called after each epoch, on resuming also for the epochs that are done.

    Raises:
        TrainingError: there is nothing to learn from, or the loss is no number.
    """
    for name, size in (("train", len(lesson.rows)), ("validation", len(validation))):
        if not size:
            raise TrainingError(
                f"{name} holds no labelled review, expected some: see reports/sequences.json"
            )
    padding = Padding.of(params)
    known = max(1, int(np.isin(lesson.targets, (0, 1)).sum()))
    optimizer = Optimizer(params.optimizer, tensorflow_variables(model))
    step = compile_step(model, optimizer, params.gradient_clip_norm, params.adversarial_norm)
    state = _State(model, optimizer, checkpoint)
    forward = compile_forward(model)
    state.load()
    for done in state.epochs:
        on_epoch(done)

    while not _finished(state.epochs, params):
        epoch = len(state.epochs)
        _seed_dropout(model, params.seed, epoch)
        losses, right, norms = 0.0, 0, 0.0
        batches = draw_batches(
            np.minimum(lesson.sequences.lengths[lesson.rows], params.sequence_length),
            params.batch_size,
            bucket=params.bucket,
            seed=params.seed,
            epoch=epoch,
        )
        bar = tqdm(batches, desc=f"epoch {epoch + 1}", unit="batch", disable=None, leave=False)
        for number, batch in enumerate(bar):
            passed = (epoch + number / len(batches)) / params.epochs
            optimizer.learning_rate.assign(_learning_rate(params, passed))
            loss, hits, norm = (
                float(value)
                for value in step(
                    tf.constant(padding.pad(lesson.sequences, lesson.rows[batch])),
                    tf.constant(lesson.targets[batch]),
                )
            )
            _require_finite(loss, f"epoch {epoch + 1}, step {number + 1}", params)
            losses += loss * len(batch)
            right += int(hits)
            norms += norm
            bar.set_postfix(loss=f"{losses / max(1, (number + 1) * params.batch_size):.3f}")
        logits = predict_logits(forward, validation.sequences, padding)
        validation_loss = _mean_loss(logits, validation.labels)
        # The last step of an epoch may break the weights after its own loss was taken.
        _require_finite(validation_loss, f"epoch {epoch + 1}, on validation", params)
        result = Epoch(
            epoch + 1,
            losses / len(lesson.rows),
            right / known,
            validation_loss,
            float(np.mean((logits > 0) == (validation.labels == 1))),
            norms / len(batches),
            float(optimizer.learning_rate),
        )
        state.save(result)
        on_epoch(result)
    state.restore_best()
    return History(tuple(state.epochs), _best(state.epochs).epoch)


Forward = Callable[[tf.Tensor], tf.Tensor]
Step = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]


def compile_forward(model: keras.Model) -> Forward:
    """Compile a model's prediction, dropout off, once for every shape of batch."""
    compiled: Forward = tf.function(
        lambda token_ids: model(token_ids, training=False),
        input_signature=[tf.TensorSpec([None, None], tf.int32)],
    )
    return compiled


def predict_logits(
    forward: Forward, sequences: Ragged, padding: Padding, progress: bool = False
) -> NDArray[np.float32]:
    """Give the logit of each sequence, ``float32[n]``, in the order given."""
    logits = np.empty(len(sequences), np.float32)
    lengths = np.minimum(sequences.lengths, padding.length)
    size = max(1, min(PREDICTION_BATCH, _PREDICTION_TOKENS // padding.length))
    batches = sorted_batches(lengths, size)
    for rows in tqdm(batches, unit="batch", disable=None if progress else True, leave=False):
        logits[rows] = forward(tf.constant(padding.pad(sequences, rows))).numpy()
    return logits


def training_key(params: Train, *contents: str) -> str:
    """Name a training by all that decides its outcome: parameters and hashes of its inputs."""
    text = json.dumps([params.model_dump(), *contents], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def compile_step(
    model: keras.Model,
    optimizer: Optimizer,
    clip_norm: float | None,
    adversarial_norm: float = 0.0,
) -> Step:
    """Compile one step of the training, once for every shape of batch.

    Args:
        model: maps ``int32[batch, time]`` to ``float32[batch]``.
        optimizer: over the model's variables, in their order.
        clip_norm: longest gradient over all weights; None clips nothing.
        adversarial_norm: length of the adversarial step over a review's vectors; 0 for none.

    Returns:
        A function of ``int32[batch, time]`` token ids and ``float32[batch]`` targets to the mean
        loss, the number of right answers where a target is 0 or 1, and the gradient's norm before
        clipping.
    """
    variables = tensorflow_variables(model)
    to_vectors, to_logits = split_at_vectors(model)

    def step(token_ids: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        def loss_of(vectors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            logits = to_logits([vectors, lengths], training=True)
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)
            return tf.reduce_mean(losses), logits

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
        norm = optimizer.step(tape.gradient(learnt, variables), clip_norm)
        known = tf.logical_or(tf.equal(targets, 0.0), tf.equal(targets, 1.0))
        right = tf.logical_and(known, tf.equal(logits > 0, targets > 0.5))
        hits = tf.reduce_sum(tf.cast(right, tf.int32))
        return loss, hits, norm

    compiled: Step = tf.function(
        step,
        input_signature=[
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None], tf.float32),
        ],
    )
    return compiled


def tensorflow_variables(model: keras.Model) -> list[tf.Variable]:
    """Give the variables behind a model's trainable weights."""
    return [variable.value for variable in model.trainable_variables]


def _learning_rate(params: Train, passed: float) -> float:
    """Give the step size when a share of the training has passed."""
    return params.learning_rate * (1.0 if params.schedule == "constant" else 1 - passed)


def _seed_dropout(model: keras.Model, seed: int, epoch: int) -> None:
    """Set every dropout's random state from (seed, epoch); within it counts the steps itself."""
    generators = [
        generator
        for layer in model._flatten_layers()
        if (generator := getattr(layer, "seed_generator", None)) is not None
    ]
    for number, generator in enumerate(generators):
        random = np.random.SeedSequence([seed, epoch, number]).generate_state(2)
        generator.state.assign((random >> 1).astype(generator.state.dtype))


def _require_finite(loss: float, where: str, params: Train) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss became {loss} in {where}, at learning rate {params.learning_rate:g}:"
            " lower train.learning_rate, or set train.gradient_clip_norm (1.0 is a good start)"
        )


def _mean_loss(logits: NDArray[np.float32], labels: NDArray[np.int8]) -> float:
    signed = np.where(labels == 1, logits, -logits).astype(np.float64)
    return float(np.mean(np.logaddexp(0, -signed)))


def _best(epochs: list[Epoch]) -> Epoch:
    return min(epochs, key=lambda epoch: epoch.validation_loss)


def _finished(epochs: list[Epoch], params: Train) -> bool:
    if not epochs:
        return False
    waited = len(epochs) - _best(epochs).epoch
    return len(epochs) >= params.epochs or waited >= params.patience


class _State:
    """Weights, optimizer, best weights and history, in memory and in one file."""

    def __init__(self, model: keras.Model, optimizer: Optimizer, path: Path) -> None:
        self.path = path
        self.epochs: list[Epoch] = []
        self._variables = {
            "model": model.weights,
            "optimizer": optimizer.variables,
        }
        self._weights = model.weights
        self._best: list[NDArray[Any]] = []

    def load(self) -> None:
        if not self.path.exists():
            return
        with np.load(self.path, allow_pickle=False) as saved:
            self.epochs = [Epoch(**epoch) for epoch in json.loads(str(saved["epochs"]))]
            for kind, variables in self._variables.items():
                for number, variable in enumerate(variables):
                    variable.assign(saved[f"{kind}_{number}"])
            self._best = [saved[f"best_{number}"] for number in range(len(self._weights))]
        _log.info("going on after epoch %d of a training that was cut off", len(self.epochs))

    def save(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)
        if _best(self.epochs) is epoch:
            self._best = [np.array(variable) for variable in self._weights]
        arrays: dict[str, Any] = {
            f"{kind}_{number}": np.array(variable)
            for kind, variables in self._variables.items()
            for number, variable in enumerate(variables)
        }
        arrays |= {f"best_{number}": value for number, value in enumerate(self._best)}
        arrays["epochs"] = np.array(json.dumps([asdict(epoch) for epoch in self.epochs]))
        with atomic_file(self.path) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)

    def restore_best(self) -> None:
        for variable, value in zip(self._weights, self._best, strict=True):
            variable.assign(value)
