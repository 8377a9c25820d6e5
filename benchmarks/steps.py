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
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

CELLS = ("lstm", "gru", "simple_rnn")
KINDS = ("fixed", "bucketed")  # how real batches are padded
BATCH, TIME, WIDTH = 64, 400, 128
VOCABULARY = 30_000
SEQUENCES = Path("data/sequences")
BATCHES = 8  # of real reviews, in one round
BATCHES_VARIABLE = "RNNPIPE_BENCH_BATCHES"  # in the environment, the file of the real batches
PEAK_SIZE = 2048
PEAK_OPERATIONS = 2 * PEAK_SIZE**3
CORES = len(os.sched_getaffinity(0))

Round = Callable[[], None]


def fixed_inputs() -> np.ndarray:
    """Return ``float32[64, 400, 128]`` of unit variance."""
    return np.random.default_rng(1).normal(size=(BATCH, TIME, WIDTH)).astype(np.float32)


def real_batches(fixed: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return batches of real training reviews, padded to 400 or only to the longest of each."""
    with np.load(os.environ[BATCHES_VARIABLE]) as saved:
        kind = "fixed" if fixed else "bucketed"
        return [(saved[f"{kind}_{i}"], saved[f"{kind}_labels_{i}"]) for i in range(BATCHES)]


def draw_real_batches(path: Path) -> None:
    """Keep the batches that all frameworks train on: the same reviews, padded in two ways.

    ``bucketed`` are batches of labelled reviews as training draws them, as wide as the longest
    review of each; ``fixed`` are the same reviews, mixed anew and padded to 400.
    """
    from rnnpipe.problems.classification.params import Train
    from rnnpipe.text.batching import Padding, draw_batches
    from rnnpipe.text.sequences import load_split

    train = load_split(SEQUENCES, "train")
    params = Train()
    lengths = np.minimum(train.sequences.lengths, TIME)
    drawn = draw_batches(lengths, BATCH, bucket=True, seed=params.seed, epoch=0)
    bucketed = spread([rows for rows in drawn if len(rows) == BATCH], lengths)
    mixed = np.random.default_rng(1).permutation(np.concatenate(bucketed))
    kinds = {
        "bucketed": (bucketed, Padding(TIME)),
        "fixed": (np.split(mixed, BATCHES), Padding(TIME, fixed=True)),
    }
    arrays = {}
    for kind, (batches, padding) in kinds.items():
        for i, rows in enumerate(batches):
            arrays[f"{kind}_{i}"] = padding.pad(train.sequences, rows)
            arrays[f"{kind}_labels_{i}"] = train.labels[rows].astype(np.float32)
    with path.open("wb") as file:
        np.savez(file, **arrays)


def spread(batches: list[np.ndarray], lengths: np.ndarray) -> list[np.ndarray]:
    """Choose ``BATCHES`` of an epoch that stand for all of it: the middles of groups by width.

    Args:
        batches: rows of each batch.
        lengths: words of each row.
    """
    ordered = sorted(batches, key=lambda rows: int(lengths[rows].max()))
    return [ordered[len(ordered) * (2 * i + 1) // (2 * BATCHES)] for i in range(BATCHES)]


def rnnpipe_cases() -> Iterator[tuple[str, Round]]:
    """Ours: the layer as the networks use it, and the very step of the training.

    ``mixed_bfloat16`` has a case only where the processor multiplies bfloat16: elsewhere its
    products are float32.
    """
    from rnnpipe.networks import training
    from rnnpipe.networks.backend import tf
    from rnnpipe.networks.optimizers import Optimizer
    from rnnpipe.networks.recurrent import Recurrent
    from rnnpipe.networks.recurrent.fused import available, bfloat16_available
    from rnnpipe.problems.classification.network import build_classifier
    from rnnpipe.problems.classification.params import Train
    from rnnpipe.problems.classification.problem import training as classification

    if not available():
        raise SystemExit("the fused operation is not available here: there is nothing to time")
    training.make_deterministic()  # as the training does, whatever it costs
    inputs = tf.constant(fixed_inputs())
    lengths = tf.fill([BATCH], TIME)
    for precision in ("mixed_bfloat16", "float32") if bfloat16_available() else ("float32",):
        for cell in CELLS:
            layer = Recurrent(cell, WIDTH, False, precision)
            layer.build(inputs.shape, lengths.shape)
            weights = [variable.value for variable in layer.trainable_variables]

            call = partial(layer, lengths=lengths, training=True)
            yield f"{cell} {precision}", _layer_step(call, weights, inputs)
    if BATCHES_VARIABLE in os.environ:
        batches = [(tf.constant(a), tf.constant(b)) for a, b in real_batches(fixed=False)]
        for cell in CELLS:
            # The network that the peers are given below: one direction, words alone.
            params = Train(
                cell=cell,
                hidden_size=WIDTH,
                bidirectional=False,
                bigram_size=0,
                shortcut=False,
                word_dropout_rate=0.0,
                embedding_dropout_rate=0.5,
            )
            model = build_classifier(params, VOCABULARY, None)
            optimizer = Optimizer(params.optimizer, training.tensorflow_variables(model))
            optimizer.learning_rate.assign(1e-3)
            step = classification.compile_step(model, optimizer, params.gradient_clip_norm)
            yield (
                f"{cell} bucketed reviews",
                lambda step=step: [step(*batch)[0].numpy() for batch in batches],
            )


def keras_cases() -> Iterator[tuple[str, Round]]:
    """Stock Keras: its layers, its optimizer, its training step; padded to 400, and in our batches.

    Without a mask, which would slow it down; the gradient of the embedding is what Keras makes
    of it: its Adam moves every row of the table.
    """
    from rnnpipe.networks.backend import keras, tf

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

        call = partial(layer, training=True)
        yield f"{cell} float32", _layer_step(call, weights, inputs)
    if BATCHES_VARIABLE in os.environ:
        for kind, cell in product(KINDS, CELLS):
            batches = real_batches(fixed=kind == "fixed")
            token_ids = keras.Input((TIME if kind == "fixed" else None,), dtype="int32")
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
                f"{cell} {kind} reviews",
                lambda model=model, batches=batches: [
                    model.train_on_batch(*batch) for batch in batches
                ],
            )


def torch_cases() -> Iterator[tuple[str, Round]]:
    """PyTorch: ``nn.LSTM`` and its like, Adam in its fused form; padded to 400, and in our batches.

    Adam moves every row of the embedding's table, as in Keras: PyTorch clips no sparse gradients.
    """
    import torch

    torch.set_num_threads(CORES)
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
    if BATCHES_VARIABLE in os.environ:
        for kind, cell in product(KINDS, CELLS):
            batches = [
                (torch.from_numpy(a).long(), torch.from_numpy(b))
                for a, b in real_batches(fixed=kind == "fixed")
            ]
            embedding = torch.nn.Embedding(VOCABULARY, WIDTH)
            layer = layers[cell](WIDTH, WIDTH, batch_first=True)
            head = torch.nn.Linear(2 * WIDTH, 1)
            weights = [*embedding.parameters(), *layer.parameters(), *head.parameters()]
            optimizer = torch.optim.Adam(weights, 1e-3, fused=True)

            def train(
                b=batches, embedding=embedding, layer=layer, head=head, w=weights, o=optimizer
            ):
                dropout = torch.nn.functional.dropout
                for token_ids, labels in b:
                    o.zero_grad()
                    states, _ = layer(dropout(embedding(token_ids), 0.5))
                    pooled = torch.cat([states.amax(1), states.mean(1)], 1)
                    logits = head(dropout(pooled, 0.2)).squeeze(1)
                    torch.nn.functional.binary_cross_entropy_with_logits(logits, labels).backward()
                    torch.nn.utils.clip_grad_norm_(w, 1.0)
                    o.step()

            yield f"{cell} {kind} reviews", train


def peak_cases() -> Iterator[tuple[str, Round]]:
    """The machine's own limit: one large product of matrices, as TensorFlow computes it."""
    from rnnpipe.networks.backend import tf

    for name, dtype in (("float32", tf.float32), ("bfloat16", tf.bfloat16)):
        factor = tf.cast(np.random.default_rng(1).normal(size=(PEAK_SIZE, PEAK_SIZE)), dtype)
        yield f"product {name}", _called(tf.function(lambda a=factor: tf.matmul(a, a)[0, 0]))


def _layer_step(layer: Callable[[Any], Any], weights: list[Any], inputs: Any) -> Round:
    """One step of a TensorFlow layer alone: forward, every gradient, and plain descent."""
    from rnnpipe.networks.backend import tf

    def step():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            # Not by **, whose gradient takes powers: dearer here than the smaller layers.
            loss = tf.reduce_mean(tf.square(layer(inputs)))
        *gradients, slope = tape.gradient(loss, [*weights, inputs])
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.assign_sub(1e-3 * gradient)
        return tf.reduce_sum(slope)

    return _called(tf.function(step))


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
