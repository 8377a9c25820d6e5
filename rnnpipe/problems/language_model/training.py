"""One step of a language model's training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.networks.backend import tf
from rnnpipe.networks.distributed.process_group import ONE_PROCESS, ProcessGroup
from rnnpipe.networks.optimizers import Optimizer
from rnnpipe.problems.language_model.network import LanguageModel
from rnnpipe.problems.language_model.params import LanguageTrain
from rnnpipe.problems.language_model.sampling import draw_candidates, sampled_losses
from rnnpipe.text.tokens import Ragged
from rnnpipe.text.windows import count_predictions, cut_windows

# (inputs, targets, lengths, candidates' words, their log shares, state before)
# -> (summed loss a direction, gradient's norm, state after)
Step = Callable[..., tuple[Any, Any, Any]]


def compile_step(model: LanguageModel, optimizer: Optimizer, clip_norm: float | None) -> Step:
    """Compile one step of the training: over one window, once for every shape of window.

    Args:
        model: what is trained.
        optimizer: over the model's trainable variables, in their order.
        clip_norm: longest gradient over all weights; None clips nothing.

    Returns:
        A function of a window's ``inputs``, ``targets`` and ``lengths``, of candidates' ``words``
        and ``log_shares``, and of the state before the window. It gives ``float32[directions]``
        summed losses in nats, the gradient's norm before clipping, and the state after the
        window, through which no gradient flows into the next.
    """
    variables = [variable.value for variable in model.trainable_variables]

    def step(
        inputs: Any, targets: Any, lengths: Any, words: Any, log_shares: Any, state: Any
    ) -> tuple[Any, Any, Any]:
        with tf.GradientTape() as tape:
            predicted, after = model(inputs, lengths, state, training=True)
            real = tf.sequence_mask(lengths, tf.shape(inputs)[2])
            real = tf.repeat(real[None], model.directions, axis=0)
            total, losses = sampled_losses(
                tf.boolean_mask(predicted, real),
                tf.boolean_mask(targets, real),
                model.words,
                model.bias.value,
                words,
                log_shares,
            )
            loss = total / tf.cast(tf.size(losses), tf.float32)
        nats = tf.reduce_sum(tf.reshape(losses, [model.directions, -1]), axis=1)
        gradients, _, nats = optimizer.team.average(
            tf.size(losses), tape.gradient(loss, variables), loss, nats
        )
        return nats, optimizer.step(gradients, clip_norm), after

    compiled: Step = tf.function(
        step,
        autograph=False,
        input_signature=[
            tf.TensorSpec([model.directions, None, None], tf.int32),
            tf.TensorSpec([model.directions, None, None], tf.int32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None], tf.float32),
            tf.TensorSpec([*model.zero_state(1).shape[:2], None, None], tf.float32),
        ],
    )
    return compiled


@dataclass(frozen=True)
class Learnt:
    """What learning from one batch of texts gave.

    Attributes:
        total_nll: ``float64[directions]``, summed losses, dropout on, estimated from the candidates.
        predictions: how many words and ends a direction predicted.
        gradient_norm: mean over the windows, before clipping.
    """

    total_nll: NDArray[np.float64]
    predictions: int
    gradient_norm: float


def learn_batch(
    step: Step,
    model: LanguageModel,
    sequences: Ragged,
    rows: NDArray[np.int64],
    counts: NDArray[np.int64],
    params: LanguageTrain,
    random: np.random.Generator,
    team: ProcessGroup = ONE_PROCESS,
) -> Learnt:
    """Walk a batch of texts window by window, one step each, the state carried on.

    Args:
        step: compiled by :func:`compile_step` for ``model``.
        model: what is trained.
        sequences: token ids, ragged; they may stay on disk.
        rows: ``int64[batch]``, the texts of the batch, best of like length.
        counts: ``int64[vocabulary_size]``, how often each id must be predicted.
        params: width of a window, number of candidates.
        random: draws the candidates; seeded by epoch and batch, it makes a training repeatable.
        team: with whom the batch is shared. Each keeps the state of its own texts; the windows
            are those of the whole batch, so that all take as many steps, some with no text left.
    """
    nats, norms = np.zeros(model.directions), []
    mine = team.share(np.arange(len(rows)))
    state = model.zero_state(len(mine))
    for window in cut_windows(sequences, rows, params.bptt_length, model.directions):
        drawn = draw_candidates(counts, params.sampled_words, random)
        losses, norm, state = step(
            window.inputs[:, mine],
            window.targets[:, mine],
            window.lengths[mine],
            drawn.words,
            drawn.log_shares,
            state,
        )
        nats += losses.numpy()
        norms.append(float(norm))
    return Learnt(nats, count_predictions(sequences, rows), float(np.mean(norms)))
