"""The learning rate over a training."""

from rnnpipe.config.training import Training


def learning_rate(params: Training, passed: float) -> float:
    """Return the step size at one moment of a training.

    Args:
        params: the step size at the start, and how it goes on.
        passed: share of all steps that are done, from 0 up to, but not including, 1.
    """
    return params.learning_rate * (1.0 if params.schedule == "constant" else 1 - passed)
