"""A fused recurrent layer over whole sequences: compiled on first use, called, differentiated.

The C compiler of the machine builds ``fused.c`` for the machine's own processor, once
(:mod:`rnnpipe.networks.recurrent.kernel`). Where there is no compiler, or a GPU, :func:`available` says so and
:mod:`rnnpipe.networks.recurrent.layer` calls Keras's own layers.
"""

import ctypes
import functools
import logging
import os
from pathlib import Path
from typing import Any

from rnnpipe.errors import RnnpipeError
from rnnpipe.networks.backend import tf
from rnnpipe.networks.recurrent import kernel

_STATES = {"simple_rnn": 1, "lstm": 2, "gru": 1}

_log = logging.getLogger(__name__)


def available() -> bool:
    """Tell whether the operation runs here; RNNPIPE_FUSED=0 in the environment forbids it."""
    return _operations() is not None


def bfloat16_available() -> bool:
    """Tell whether this processor multiplies bfloat16; where not, all products are float32."""
    return _loaded()[1]


def recurrent(
    cell: str,
    inputs: Any,
    lengths: Any,
    weights: tuple[Any, Any, Any],
    initial: Any = None,
    *,
    reverse: bool = False,
    precision: str = "float32",
) -> tuple[Any, Any]:
    """Run a cell over right-padded sequences.

    The equations are those of ``keras.layers.SimpleRNN``, ``LSTM`` and ``GRU`` with
    ``reset_after``, at their default activations.

    Args:
        cell: ``simple_rnn``, ``lstm`` or ``gru``.
        inputs: ``float32[batch, time, width]``.
        lengths: ``int32[batch]``, each of 0 to ``time``.
        weights: kernel, recurrent kernel and bias, in the shapes of the Keras layer.
        initial: ``float32[batch, hidden_size]`` before the first step; of an LSTM hidden state
            and carry side by side, twice as wide; None for zeros.
        reverse: begin at each sequence's end.
        precision: of the factors of products; sums, gates and states are float32 always.

    Returns:
        ``float32[batch, time, hidden_size]``, zero behind a sequence's end, and the state after
        the last step, shaped like ``initial``.

    Raises:
        tf.errors.InvalidArgumentError: a length or a shape is wrong.
    """
    operations = _operations()
    kernel, recurrent_kernel, bias = (tf.convert_to_tensor(weight) for weight in weights)
    hidden_size = recurrent_kernel.shape[0]
    if initial is None:
        initial = tf.zeros((tf.shape(inputs)[0], _STATES[cell] * hidden_size))
    settings = {
        "cell": cell,
        "reverse": reverse,
        "mixed_precision": precision == "mixed_bfloat16",
    }

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(*given: Any) -> Any:
        outputs, final, saved = operations.rnnpipe_recurrent(*given, **settings)
        outputs.set_shape([*inputs.shape[:2], hidden_size])
        final.set_shape(initial.shape)

        def gradient(d_outputs: Any, d_final: Any) -> list[Any]:
            made = operations.rnnpipe_recurrent_gradient(
                *given, outputs, final, saved, d_outputs, d_final, **settings
            )
            for tensor, like in zip(made, (given[0], *given[2:]), strict=True):
                tensor.set_shape(like.shape)
            return [made[0], None, *made[1:]]

        return (outputs, final), gradient

    flat = tf.reshape(bias, [-1])
    states, final = run(inputs, lengths, kernel, recurrent_kernel, flat, initial)
    return states, final


def sources() -> list[Path]:
    """Name the files that the operation is compiled from."""
    return kernel.sources()


def _operations() -> Any:
    return _loaded()[0]


@functools.cache
def _loaded() -> tuple[Any, bool]:
    """Return the operations, or None where there are none, and whether bfloat16 is multiplied."""
    if os.environ.get("RNNPIPE_FUSED") == "0":
        return None, False
    if tf.config.list_physical_devices("GPU"):
        return None, False  # there cuDNN's kernels behind Keras's layers are better
    try:
        try:
            return _load(anew=False)
        except tf.errors.OpError as error:
            _log.warning("the kept kernel cannot be loaded (%s); it is made anew", error.message)
            return _load(anew=True)
    except (OSError, RnnpipeError, tf.errors.OpError) as error:
        _log.warning(
            "the fused recurrent layer is not available, Keras's own layers do the work, several"
            " times slower; a C compiler (gcc or clang on Linux) is needed, CC names another than cc,"
            " and RNNPIPE_FUSED=0 ends this warning: %s",
            str(error).strip()[-500:],
        )
        return None, False


def _load(*, anew: bool) -> tuple[Any, bool]:
    with kernel.library(anew=anew) as path:
        operations = tf.load_op_library(path)
        return operations, bool(ctypes.CDLL(path).rnnpipe_has_bfloat16())
