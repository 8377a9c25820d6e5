"""Optimizers that update only the rows of an embedding that a batch touched.

The formulas are Keras's. Where a gradient arrives as rows (``tf.IndexedSlices``), the rows of one
word are summed, and value and moments of that row alone move: what a batch does not touch, it
does not cost. For Adam and RMSprop this is the lazy form of the update (TensorFlow Addons'
LazyAdam): the moments of an untouched row wait instead of decaying.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnnpipe.networks.backend import tf
from rnnpipe.networks.distributed.process_group import ONE_PROCESS, ProcessGroup

Gradient = Any  # a tf.Tensor, or tf.IndexedSlices
_EPSILON = 1e-7

# (value, gradient, slots, learning rate, number of the step from 1) -> (value, slots)
Update = Callable[[Any, Any, list[Any], Any, Any], tuple[Any, list[Any]]]


def _sgd(value: Any, gradient: Any, slots: list[Any], rate: Any, step: Any) -> tuple[Any, Any]:
    return value - rate * gradient, []


def _rmsprop(value: Any, gradient: Any, slots: list[Any], rate: Any, step: Any) -> tuple[Any, Any]:
    (square,) = slots
    square = square + (1 - 0.9) * (gradient * gradient - square)
    return value - rate * gradient * tf.math.rsqrt(square + _EPSILON), [square]


def _adam(value: Any, gradient: Any, slots: list[Any], rate: Any, step: Any) -> tuple[Any, Any]:
    mean, square = slots
    mean = mean + (1 - 0.9) * (gradient - mean)
    square = square + (1 - 0.999) * (gradient * gradient - square)
    unbiased = tf.sqrt(1 - tf.pow(0.999, step)) / (1 - tf.pow(0.9, step))
    return value - rate * unbiased * mean / (tf.sqrt(square) + _EPSILON), [mean, square]


@dataclass(frozen=True)
class _Method:
    update: Update
    slots: int


_METHODS: Mapping[str, _Method] = {
    "adam": _Method(_adam, 2),
    "rmsprop": _Method(_rmsprop, 1),
    "sgd": _Method(_sgd, 0),
}


class Optimizer:
    """State and step of one method over a fixed list of variables.

    Attributes:
        learning_rate: ``float32[]``, assigned before each step.
        variables: all state, for a checkpoint.
        team: with whom the steps are taken; whoever takes a gradient has it averaged there.
    """

    def __init__(
        self, method: str, variables: Sequence[Any], team: ProcessGroup = ONE_PROCESS
    ) -> None:
        """Create the state for ``variables``, ``tf.Variable`` each."""
        self.team = team
        self._method = _METHODS[method]
        self._targets = list(variables)
        self._slots = [
            [tf.Variable(tf.zeros_like(variable)) for _ in range(self._method.slots)]
            for variable in self._targets
        ]
        self.learning_rate = tf.Variable(0.0)
        self._steps = tf.Variable(0.0)

    @property
    def variables(self) -> list[Any]:
        """Return every variable of the state."""
        return [self._steps, *(slot for slots in self._slots for slot in slots)]

    def step(self, gradients: Sequence[Gradient], clip_norm: float | None) -> Any:
        """Move the variables against their gradients.

        Args:
            gradients: one a variable, in the order of the variables.
            clip_norm: norm over all gradients above which they are scaled down to it.

        Returns:
            ``float32[]``, the norm before clipping.
        """
        gradients = [sum_rows(gradient) for gradient in gradients]
        values = [_values(gradient) for gradient in gradients]
        norm = tf.linalg.global_norm(values)
        if clip_norm is not None:
            values, _ = tf.clip_by_global_norm(values, clip_norm, use_norm=norm)
        self._steps.assign_add(1.0)
        for variable, slots, gradient, value in zip(
            self._targets, self._slots, gradients, values, strict=True
        ):
            rows = gradient.indices if isinstance(gradient, tf.IndexedSlices) else None
            moved, moved_slots = self._method.update(
                _read(variable, rows),
                value,
                [_read(slot, rows) for slot in slots],
                self.learning_rate,
                self._steps,
            )
            for target, new in zip([variable, *slots], [moved, *moved_slots], strict=True):
                _write(target, rows, new)
        return norm


def sum_rows(gradient: Gradient) -> Gradient:
    """Sum the rows of each index: a norm, or a step, of the parts is none of the whole."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    indices, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(indices))
    return tf.IndexedSlices(values, indices, gradient.dense_shape)


def _values(gradient: Gradient) -> Any:
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


def _read(variable: Any, rows: Any) -> Any:
    return variable.read_value() if rows is None else tf.gather(variable, rows)


def _write(variable: Any, rows: Any, value: Any) -> None:
    if rows is None:
        variable.assign(value)
    else:
        variable.scatter_update(tf.IndexedSlices(value, rows))
