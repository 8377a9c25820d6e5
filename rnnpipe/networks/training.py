"""Training: batches in, best weights out; which network it trains, it does not know.

Everything random derives from (seed, epoch, step), and every epoch ends in a checkpoint, so a
training that is killed and started again ends in the very bytes of an undisturbed one.
"""

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.config.training import Training
from rnnpipe.errors import TrainingError
from rnnpipe.networks.backend import keras, tf
from rnnpipe.networks.checkpoint import Checkpoint, DamagedError, read_arrays
from rnnpipe.networks.distributed.process_group import ONE_PROCESS, ProcessGroup
from rnnpipe.networks.optimizers import Optimizer
from rnnpipe.networks.schedule import learning_rate, most_epochs, patience

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training data gave.

    Attributes:
        epoch: counted from 1.
        loss: mean training loss, dropout on, over all that is learnt from.
        validation_loss: mean loss on validation, dropout off.
        gradient_norm: mean norm of the gradient over all weights, before clipping.
        learning_rate: step size of the last step.
        figures: whatever else the problem tells: ``accuracy``, ``validation_accuracy``, ...
    """

    epoch: int
    loss: float
    validation_loss: float
    gradient_norm: float
    learning_rate: float
    figures: Mapping[str, float]

    @property
    def row(self) -> dict[str, float]:
        """All figures by name, as reports and the flow read them."""
        values = {key: value for key, value in asdict(self).items() if key != "figures"}
        return values | dict(self.figures)


@dataclass(frozen=True)
class History:
    """All epochs, which of them gave the weights that were kept, and how many there could be."""

    epochs: tuple[Epoch, ...]
    best_epoch: int
    most_epochs: int

    @property
    def report(self) -> dict[str, Any]:
        """All epochs as rows, the best one's number, and the most there could be."""
        return {
            "epochs": [epoch.row for epoch in self.epochs],
            "best_epoch": self.best_epoch,
            "most_epochs": self.most_epochs,
        }


@dataclass(frozen=True)
class StepResult:
    """What one step gave.

    Attributes:
        loss: mean over all that the step learnt from.
        size: of how much that was: reviews, words, windows.
        norm: of the gradient over all weights, before clipping.
        correct: of what is counted beside, such as right answers.
    """

    loss: float
    size: float
    norm: float
    correct: float = 0.0


@dataclass(frozen=True)
class TrainingTask:
    """What is trained, as far as the training has to know it.

    Attributes:
        network: whose weights are learnt; freshly built.
        batches: of an epoch, counted from 0; the same epoch gives the same batches.
        start: given the optimizer, the function that takes one step on a batch.
        describe: further metrics of an epoch, from its mean loss and the sum of correct.
        validate: returns metrics on validation, dropout off, ``loss`` among them: its least decides which
            weights are kept.
        unit: what a batch holds, in the plural: reviews, words, windows.
    """

    network: keras.Model
    batches: Callable[[int], Sequence[Any]]
    start: Callable[[Optimizer], Callable[[Any], StepResult]]
    describe: Callable[[float, float], Mapping[str, float]]
    validate: Callable[[], Mapping[str, float]]
    unit: str = "rows"

    def most_epochs(self, params: Training) -> int:
        """Return after how many epochs it ends at the latest, which may follow from the data."""
        return most_epochs(params, 0 if params.epochs else len(self.batches(0)))


def draw_fraction(rows: NDArray[np.int64], params: Training) -> NDArray[np.int64]:
    """Take ``params.fraction`` of the rows, in their order, the same for the same seed."""
    kept = math.ceil(params.fraction * len(rows))
    return np.sort(np.random.default_rng(params.seed).permutation(rows)[:kept])


def make_deterministic() -> None:
    """Have TensorFlow give the same bytes for the same input on one machine."""
    tf.config.experimental.enable_op_determinism()


def fit(
    task: TrainingTask,
    params: Training,
    checkpoint: Path,
    on_epoch: Callable[[Epoch], None],
    team: ProcessGroup = ONE_PROCESS,
    on_step: Callable[[int, int, int, float, float], None] | None = None,
) -> History:
    """Train a network and leave its best weights in it.

    Args:
        task: network, batches, step and validation.
        params: optimizer, length and end of the training.
        checkpoint: file that keeps the state after each epoch; where it is there and whole, training
            goes on from it. It belongs to the caller to remove it when the result is safe.
        on_epoch: called after each epoch, on resuming also for the epochs that are done.
        team: with whom the network is trained. The chief alone reads and writes the checkpoint
            and judges: what decides must be the same everywhere.
        on_step: called after each step with epoch and step, both counted from 1, the number of
            steps of the epoch, the step's loss and its size.

    Raises:
        TrainingError: the loss is no number, or another of the team was lost.
    """
    optimizer = Optimizer(params.optimizer, tensorflow_variables(task.network), team)
    state = _State(task.network, optimizer, checkpoint, team)
    with team.report_loss(state.kept):
        return _fit(task, params, optimizer, state, on_epoch, on_step)


def _fit(
    task: TrainingTask,
    params: Training,
    optimizer: Optimizer,
    state: "_State",
    on_epoch: Callable[[Epoch], None],
    on_step: Callable[[int, int, int, float, float], None] | None,
) -> History:
    team = optimizer.team
    step = task.start(optimizer)
    state.load()
    for done in state.epochs:
        on_epoch(done)

    most = task.most_epochs(params)
    waits = patience(params, most)
    while not _finished(state.epochs, most, waits):
        epoch = len(state.epochs)
        _seed_dropout(task.network, params.seed, epoch, team.rank)
        losses, size, correct, norms = 0.0, 0.0, 0.0, 0.0
        batches = task.batches(epoch)
        for number, batch in enumerate(batches):
            passed = (epoch + number / len(batches)) / most
            optimizer.learning_rate.assign(learning_rate(params, passed))
            result = step(batch)
            _require_finite(result.loss, f"epoch {epoch + 1}, step {number + 1}", params)
            losses += result.loss * result.size
            size += result.size
            correct += result.correct
            norms += result.norm
            if on_step:
                on_step(epoch + 1, number + 1, len(batches), result.loss, result.size)
        validation = team.broadcast(lambda: dict(task.validate()))
        validation_loss = validation.pop("loss")
        # The last step of an epoch may break the weights after its own loss was taken.
        _require_finite(validation_loss, f"epoch {epoch + 1}, on validation", params)
        loss = losses / size
        judged = {f"validation_{name}": value for name, value in validation.items()}
        ended = Epoch(
            epoch + 1,
            loss,
            validation_loss,
            norms / len(batches),
            float(optimizer.learning_rate),
            {**task.describe(loss, correct), **judged},
        )
        state.save(ended)
        on_epoch(ended)
    state.restore_best()
    return History(tuple(state.epochs), _best(state.epochs).epoch, most)


def training_key(params: Training, *contents: str) -> str:
    """Name a training by all that decides its outcome: parameters and hashes of its inputs."""
    text = json.dumps([params.model_dump(), *contents], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def tensorflow_variables(model: keras.Model) -> list[tf.Variable]:
    """Return the variables behind a model's trainable weights."""
    return [variable.value for variable in model.trainable_variables]


def _seed_dropout(model: keras.Model, seed: int, epoch: int, rank: int = 0) -> None:
    """Set every dropout's random state from (seed, epoch); within it counts the steps itself.

    Each process has masks of its own: the same ones would hit its share of a batch alike.
    """
    generators = [
        generator
        for layer in model._flatten_layers()
        if (generator := getattr(layer, "seed_generator", None)) is not None
    ]
    for number, generator in enumerate(generators):
        entropy = [seed, epoch, number, *([rank] if rank else [])]
        random = np.random.SeedSequence(entropy).generate_state(2)
        generator.state.assign((random >> 1).astype(generator.state.dtype))


def _require_finite(loss: float, where: str, params: Training) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss became {loss} in {where}, at learning rate {params.learning_rate:g}:"
            " lower train.learning_rate, or set train.gradient_clip_norm (1.0 is a good start)"
        )


def _best(epochs: list[Epoch]) -> Epoch:
    return min(epochs, key=lambda epoch: epoch.validation_loss)


def _finished(epochs: list[Epoch], most: int, patience: int) -> bool:
    if not epochs:
        return False
    waited = len(epochs) - _best(epochs).epoch
    return len(epochs) >= most or waited >= patience


class _State:
    """Weights, optimizer, best weights and history, in memory and in one file."""

    def __init__(
        self, model: keras.Model, optimizer: Optimizer, path: Path, team: ProcessGroup = ONE_PROCESS
    ) -> None:
        self._checkpoint = Checkpoint(path)
        self._team = team
        self.epochs: list[Epoch] = []
        self._kept_epochs = 0
        self._variables = {
            "model": model.weights,
            "optimizer": optimizer.variables,
        }
        self._weights = model.weights
        self._best: list[NDArray[Any]] = []

    def kept(self) -> str:
        """Say what is not lost whatever happens now."""
        if not self.epochs:
            return "no epoch had ended, so nothing is kept"
        if not self._kept_epochs:
            return "its checkpoint could not be written, so nothing is kept"
        return f"the checkpoint after epoch {self._kept_epochs} is kept at {self._checkpoint.path}"

    def load(self) -> None:
        arrays = [np.asarray(array) for array in self._arrays(self._weights).values()]
        most = sum(array.nbytes for array in arrays)
        # The chief judges what it reads; the others take over what it has taken over.
        content = self._team.bytes_from_chief(lambda: self._checkpoint.read(self._read, most))
        if content:
            if self._team.rank:
                self._read(content)
            self._kept_epochs = len(self.epochs)
            _log.info("going on after epoch %d of a training that was cut off", len(self.epochs))
        self._require_same()

    def _require_same(self) -> None:
        """Require that all of the team hold the same state."""
        if self._team.size == 1:
            return
        digest = hashlib.sha256()
        for variables in self._variables.values():
            for variable in variables:
                digest.update(np.ascontiguousarray(variable).data)
        self._team.require_same(digest.digest(), f"weights after {len(self.epochs)} epochs")

    def _arrays(self, best: Sequence[Any]) -> dict[str, Any]:
        """Return all that a checkpoint holds beside the epochs."""
        arrays = {
            f"{kind}_{number}": variable
            for kind, variables in self._variables.items()
            for number, variable in enumerate(variables)
        }
        return arrays | {f"best_{number}": value for number, value in enumerate(best)}

    def _read(self, content: bytes) -> None:
        """Take over a checkpoint, wholly or not at all.

        Raises:
            DamagedError: it does not fit this network, optimizer, or program.
        """
        expected = {name: np.asarray(array) for name, array in self._arrays(self._weights).items()}
        arrays, rows = read_arrays(content, expected)
        try:
            epochs = [Epoch(**row) for row in rows]
        except TypeError as error:
            raise DamagedError(f"its epochs are not those of this program ({error})") from None
        if not epochs or [epoch.epoch for epoch in epochs] != list(range(1, len(epochs) + 1)):
            raise DamagedError("its epochs are not counted from 1")
        for kind, variables in self._variables.items():
            for number, variable in enumerate(variables):
                variable.assign(arrays[f"{kind}_{number}"])
        self._best = [arrays[f"best_{number}"] for number in range(len(self._weights))]
        self.epochs = epochs

    def save(self, epoch: Epoch) -> None:
        self._require_same()
        self.epochs.append(epoch)
        if _best(self.epochs) is epoch:
            self._best = [np.array(variable) for variable in self._weights]
        if self._team.rank:
            self._kept_epochs = len(self.epochs)  # by the chief, as far as is known here
            return
        arrays = {name: np.array(array) for name, array in self._arrays(self._best).items()}
        if self._checkpoint.write(arrays, [asdict(epoch) for epoch in self.epochs]):
            self._kept_epochs = len(self.epochs)

    def restore_best(self) -> None:
        for variable, value in zip(self._weights, self._best, strict=True):
            variable.assign(value)
