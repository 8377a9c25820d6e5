"""Times a training step of one framework, a round at a time, for ``bench.py``.

A worker process: it prints the names of its cases as one JSON line, then, for each name it reads,
the seconds of one round. A process of its own for each framework, so that no two pools of
threads share a process; the caller interleaves the rounds.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

CELLS = ("lstm", "gru", "simple_rnn")
BATCH, TIME, WIDTH = 64, 400, 128
VOCABULARY = 30_000
DATA = Path(os.environ.get("RNNPIPE_BENCH_DATA", "data"))
BATCHES = 8  # of real reviews, in one round

Round = Callable[[], None]


def fixed_inputs() -> np.ndarray:
    """Give ``float32[64, 400, 128]`` of unit variance."""
    return np.random.default_rng(1).normal(size=(BATCH, TIME, WIDTH)).astype(np.float32)


def real_batches(fixed: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Give batches of real training reviews, padded to 400 or only to the longest of each."""
    path = Path(os.environ["RNNPIPE_BENCH_BATCHES"])
    with np.load(path) as saved:
        kind = "fixed" if fixed else "bucketed"
        return [(saved[f"{kind}_{i}"], saved[f"{kind}_labels_{i}"]) for i in range(BATCHES)]


def draw_real_batches(path: Path) -> None:
    """Keep the batches that all frameworks train on: the same reviews, padded in two ways."""
    from rnnpipe.params import Train
    from rnnpipe.sequences import Padding, draw_batches, load_split

    train = load_split(DATA / "sequences", "train")
    params = Train()
    lengths = np.minimum(train.sequences.lengths, TIME)
    arrays = {}
    for kind, bucket in (("bucketed", True), ("fixed", False)):
        padding = Padding(TIME, fixed=not bucket)
        batches = draw_batches(lengths, BATCH, bucket=bucket, seed=params.seed, epoch=0)
        # Every nth: long and short ones as they come.
        for i, rows in enumerate(batches[:: len(batches) // BATCHES][:BATCHES]):
            arrays[f"{kind}_{i}"] = padding.pad(train.sequences, rows)
            arrays[f"{kind}_labels_{i}"] = train.labels[rows].astype(np.float32)
    with path.open("wb") as file:
        np.savez(file, **arrays)


def rnnpipe_cases() -> Iterator[tuple[str, Round]]:
    """Ours: the layer as the networks use it, and the very step of the training."""
    from rnnpipe import training
    from rnnpipe.backend import tf
    from rnnpipe.models import build_classifier
    from rnnpipe.optimizers import Optimizer
    from rnnpipe.params import Train
    from rnnpipe.recurrent import Recurrent

    inputs = tf.constant(fixed_inputs())
    lengths = tf.fill([BATCH], TIME)
    for precision in ("mixed_bfloat16", "float32"):
        for cell in CELLS:
            layer = Recurrent(cell, WIDTH, False, precision)
            layer.build(inputs.shape, lengths.shape)
            weights = [variable.value for variable in layer.trainable_variables]

            def step(layer=layer, weights=weights):
                with tf.GradientTape() as tape:
                    tape.watch(inputs)
                    loss = tf.reduce_mean(layer(inputs, lengths, training=True) ** 2)
                *gradients, slope = tape.gradient(loss, [*weights, inputs])
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight.assign_sub(1e-3 * gradient)
                return tf.reduce_sum(slope)

            yield f"{cell} {precision}", _called(tf.function(step))
    if "RNNPIPE_BENCH_BATCHES" in os.environ:
        batches = [(tf.constant(a), tf.constant(b)) for a, b in real_batches(fixed=False)]
        for cell in CELLS:
            params = Train(cell=cell)
            model = build_classifier(params, VOCABULARY, None)
            optimizer = Optimizer(params.optimizer, training.tensorflow_variables(model))
            optimizer.learning_rate.assign(1e-3)
            step = training.compile_step(model, optimizer, params.gradient_clip_norm)
            yield (
                f"{cell} reviews",
                lambda step=step: [step(*batch)[0].numpy() for batch in batches],
            )


def keras_cases() -> Iterator[tuple[str, Round]]:
    """Stock Keras: its layers, its optimizer, its training step; padded to 400."""
    from rnnpipe.backend import keras, tf

    layers = {
        "lstm": keras.layers.LSTM,
        "gru": keras.layers.GRU,
        "simple_rnn": keras.layers.SimpleRNN,
    }
    inputs = tf.constant(fixed_inputs())
    for cell in CELLS:
        layer = layers[cell](WIDTH, return_sequences=True)
        layer.build(inputs.shape)
        weights = [variable.value for variable in layer.trainable_variables]

        def step(layer=layer, weights=weights):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                loss = tf.reduce_mean(layer(inputs, training=True) ** 2)
            *gradients, slope = tape.gradient(loss, [*weights, inputs])
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.assign_sub(1e-3 * gradient)
            return tf.reduce_sum(slope)

        yield f"{cell} float32", _called(tf.function(step))
    if "RNNPIPE_BENCH_BATCHES" in os.environ:
        batches = real_batches(fixed=True)
        for cell in CELLS:
            token_ids = keras.Input((TIME,), dtype="int32")
            states = keras.layers.Embedding(VOCABULARY, WIDTH)(token_ids)
            states = layers[cell](WIDTH, return_sequences=True)(keras.layers.Dropout(0.5)(states))
            pooled = [
                keras.layers.GlobalMaxPooling1D()(states),
                keras.layers.GlobalAveragePooling1D()(states),
            ]
            pooled = keras.layers.Dropout(0.2)(keras.layers.Concatenate()(pooled))
            model = keras.Model(token_ids, keras.layers.Dense(1)(pooled))
            model.compile(
                keras.optimizers.Adam(1e-3, global_clipnorm=1.0),
                keras.losses.BinaryCrossentropy(from_logits=True),
            )
            yield (
                f"{cell} reviews",
                lambda model=model: [model.train_on_batch(*batch) for batch in batches],
            )


def torch_cases() -> Iterator[tuple[str, Round]]:
    """PyTorch: ``nn.LSTM`` and its like, Adam, padded to 400."""
    import torch

    layers = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "simple_rnn": torch.nn.RNN}
    inputs = torch.from_numpy(fixed_inputs()).requires_grad_()
    for cell in CELLS:
        layer = layers[cell](WIDTH, WIDTH, batch_first=True)

        def step(layer=layer):
            layer.zero_grad()
            inputs.grad = None
            (layer(inputs)[0] ** 2).mean().backward()
            with torch.no_grad():
                for weight in layer.parameters():
                    weight -= 1e-3 * weight.grad

        yield f"{cell} float32", step
    if "RNNPIPE_BENCH_BATCHES" in os.environ:
        batches = [
            (torch.from_numpy(a).long(), torch.from_numpy(b)) for a, b in real_batches(fixed=True)
        ]
        for cell in CELLS:
            embedding = torch.nn.Embedding(VOCABULARY, WIDTH)
            layer = layers[cell](WIDTH, WIDTH, batch_first=True)
            head = torch.nn.Linear(2 * WIDTH, 1)
            weights = [*embedding.parameters(), *layer.parameters(), *head.parameters()]
            optimizer = torch.optim.Adam(weights, 1e-3)

            def train(embedding=embedding, layer=layer, head=head, w=weights, o=optimizer):
                dropout = torch.nn.functional.dropout
                for token_ids, labels in batches:
                    o.zero_grad()
                    states, _ = layer(dropout(embedding(token_ids), 0.5))
                    pooled = torch.cat([states.amax(1), states.mean(1)], 1)
                    logits = head(dropout(pooled, 0.2)).squeeze(1)
                    torch.nn.functional.binary_cross_entropy_with_logits(logits, labels).backward()
                    torch.nn.utils.clip_grad_norm_(w, 1.0)
                    o.step()

            yield f"{cell} reviews", train


def peak_cases() -> Iterator[tuple[str, Round]]:
    """The machine's own limit: one large product of matrices, ``2 * 2048 ** 3`` operations."""
    from rnnpipe.backend import tf

    for name, dtype in (("float32", tf.float32), ("bfloat16", tf.bfloat16)):
        factor = tf.cast(np.random.default_rng(1).normal(size=(2048, 2048)), dtype)
        yield f"product {name}", _called(tf.function(lambda a=factor: tf.matmul(a, a)[0, 0]))


def _called(function: Callable[[], object]) -> Round:
    return lambda: function().numpy()


CASES = {
    "rnnpipe": rnnpipe_cases,
    "keras": keras_cases,
    "torch": torch_cases,
    "peak": peak_cases,
}


def main() -> None:
    """Serve rounds until the standard input ends."""
    cases = dict(CASES[sys.argv[1]]())
    for run in cases.values():  # compile, and touch all memory
        run()
        run()
    print(json.dumps(sorted(cases)), flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        cases[line.strip()]()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
