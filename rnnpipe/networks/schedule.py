"""How long a training goes on, and the learning rate over it."""

import math

from rnnpipe.config.training import Training

# By which a training of unstated length goes on: IMDB's 70,000 texts make two epochs of it, and
# generated texts by the hundred are learnt in forty.
_STEPS = 2_000
_FEWEST_EPOCHS, _MOST_EPOCHS = 2, 40


def most_epochs(params: Training, steps: int) -> int:
    """Return after how many epochs a training ends at the latest.

    Args:
        params: where it is stated, or left to the size of the data.
        steps: in an epoch.
    """
    if params.epochs is not None:
        return params.epochs
    return min(max(_FEWEST_EPOCHS, math.ceil(_STEPS / max(1, steps))), _MOST_EPOCHS)


def patience(params: Training, epochs: int) -> int:
    """Return how many epochs in a row may bring no better validation loss.

    Args:
        params: where it is stated, or left to the length of the training.
        epochs: after which the training ends at the latest.
    """
    return params.patience if params.patience is not None else max(2, math.ceil(epochs / 4))


def learning_rate(params: Training, passed: float) -> float:
    """Return the step size at one moment of a training.

    Args:
        params: the step size at the start, and how it goes on.
        passed: share of all steps that are done, from 0 up to, but not including, 1.
    """
    return params.learning_rate * (1.0 if params.schedule == "constant" else 1 - passed)
