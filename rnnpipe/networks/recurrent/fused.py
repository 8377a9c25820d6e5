"""A fused recurrent layer over whole sequences: compiled on first use, called, differentiated.

The C compiler of the machine builds ``fused.c`` for the machine's own processor, once, into the
user's cache. Where there is no compiler, or a GPU, :func:`available` says so and
:mod:`rnnpipe.networks.recurrent.layer` calls Keras's own layers.
"""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from rnnpipe.networks.backend import tf

_SOURCES = ("fused.c", "products.h", "sequence.h")
_FLAGS = ("-O3", "-march=native", "-std=gnu11", "-fPIC", "-shared", "-pthread")
_LIBRARIES = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")
_STATES = {"simple_rnn": 1, "lstm": 2, "gru": 1}

_log = logging.getLogger(__name__)


def available() -> bool:
    """Tell whether the operation runs here; RNNPIPE_FUSED=0 in the environment forbids it."""
    return _operations() is not None


def bfloat16_available() -> bool:
    """Tell whether this processor multiplies bfloat16; where not, all products are float32."""
    return available() and bool(ctypes.CDLL(str(_compiled())).rnnpipe_has_bfloat16())


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
    """Name the files that the operation is compiled from; the first includes the others."""
    return [Path(__file__).parent / name for name in _SOURCES]


@functools.cache
def _operations() -> Any:
    """Return the operations, compiled now where they are not in the cache; None where impossible."""
    if os.environ.get("RNNPIPE_FUSED") == "0":
        return None
    if tf.config.list_physical_devices("GPU"):
        return None  # there cuDNN's kernels behind Keras's layers are better
    try:
        return tf.load_op_library(str(_compiled()))
    except (OSError, subprocess.CalledProcessError, tf.errors.OpError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        _log.warning(
            "the fused recurrent layer is not available, Keras's own layers do the work, several"
            " times slower; a C compiler (gcc or clang on Linux) is needed: %s",
            reason.strip()[-500:],
        )
        return None


def _compiled() -> Path:
    """Return the library for this processor, this TensorFlow and these sources.

    Raises:
        OSError: there is no compiler, or the cache cannot be written.
        subprocess.CalledProcessError: the compiler refused.
    """
    compiler = shlex.split(os.environ.get("CC", "cc"))
    version = subprocess.run(
        [*compiler, "--version"], capture_output=True, text=True, check=True
    ).stdout
    package = Path(tf.sysconfig.get_include()).parent
    key = hashlib.sha256(b"".join(source.read_bytes() for source in sources()))
    for part in (*_FLAGS, version, tf.__version__, str(package), _processor()):
        key.update(part.encode() + b"\0")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rnnpipe"
    library = cache / f"fused-{key.hexdigest()[:32]}.so"
    if library.exists():
        return library
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    # In a folder of its own: several runs may compile at once.
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        partial = Path(folder) / library.name
        command = [*compiler, *_FLAGS, f"-I{package / 'include'}", str(sources()[0])]
        command += ["-o", str(partial), *(str(package / name) for name in _LIBRARIES)]
        subprocess.run(command, capture_output=True, text=True, check=True)
        partial.replace(library)
    return library


def _processor() -> str:
    """Name what ``-march=native`` depends on: a cache may be shared by unlike machines."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or platform.machine()
    lines = cpuinfo.read_text().split("\n\n")[0].splitlines()
    return "\n".join(line for line in lines if line.startswith(("model", "flags", "Features")))
