"""Its network."""

import numpy as np
from rnnpipe.problems.slope.files import error, points
from rnnpipe.problems.slope.params import SlopeParams

from rnnpipe.networks.backend import keras, tf
from rnnpipe.networks.training import StepResult, TrainingTask, tensorflow_variables


def learn(params: SlopeParams) -> TrainingTask:
    keras.utils.set_random_seed(params.train.seed)
    value = keras.Input((1,))
    network = keras.Model(value, keras.layers.Dense(1, use_bias=False)(value))
    x, y = points("train")

    def start(optimizer):
        def take(rows):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((network(x[rows])[:, 0] - y[rows]) ** 2)
            norm = optimizer.step(tape.gradient(loss, tensorflow_variables(network)), None)
            return StepResult(float(loss), len(rows), float(norm))

        return take

    return TrainingTask(
        network,
        lambda epoch: np.array_split(np.random.default_rng(epoch).permutation(len(x)), 8),
        start,
        lambda loss, correct: {},
        lambda: {"loss": error(network(points("validation")[0]).numpy()[:, 0], "validation")},
    )
