"""The language model, its texts, and its training batch by batch."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rnnpipe.networks.optimizers import Optimizer
from rnnpipe.networks.training import StepResult, TrainingTask, draw_fraction
from rnnpipe.problems.language_model.files import SEQUENCES, WORD_VECTORS, open_texts
from rnnpipe.problems.language_model.judging import judge
from rnnpipe.problems.language_model.network import LanguageModel, build_language_model
from rnnpipe.problems.language_model.params import LanguageModelParams
from rnnpipe.problems.language_model.sampling import count_words
from rnnpipe.problems.language_model.training import compile_step, learn_batch
from rnnpipe.text.batching import draw_batches
from rnnpipe.text.vocabulary import Vocabulary


def learn(params: LanguageModelParams) -> TrainingTask:
    """A fresh language model with its texts, and validation to judge it by.

    Its loss is in nats a word, of the forward direction on validation, of all directions in
    training: there the softmax over some words estimates that over all. Its weights are the last
    epoch's or an earlier one's, no average of them: where the learning rate falls to zero, there
    is nothing left to average out.
    """
    train = params.train
    sequences, rows = open_texts()
    texts = draw_fraction(rows["train"], train)
    vocabulary = Vocabulary.load(SEQUENCES / "vocabulary.json")
    counts = count_words(sequences, texts, len(vocabulary))
    vectors = np.load(WORD_VECTORS) if train.embedding == "word_vectors" else None
    model: LanguageModel = build_language_model(train, vocabulary, vectors, counts)

    def batches(epoch: int) -> list[tuple[int, int, NDArray[np.int64]]]:
        drawn = draw_batches(
            sequences.lengths[texts], train.batch_size, bucket=True, seed=train.seed, epoch=epoch
        )
        return [(epoch, number, texts[batch]) for number, batch in enumerate(drawn)]

    def start(optimizer: Optimizer) -> Callable[[tuple[int, int, NDArray[np.int64]]], StepResult]:
        step = compile_step(model, optimizer, train.gradient_clip_norm)

        def take(batch: tuple[int, int, NDArray[np.int64]]) -> StepResult:
            epoch, number, chosen = batch
            random = np.random.default_rng([train.seed, epoch, number])
            learnt = learn_batch(
                step, model, sequences, chosen, counts, train, random, optimizer.team
            )
            loss = float(np.mean(learnt.total_nll)) / learnt.predictions
            return StepResult(loss, learnt.predictions, learnt.gradient_norm)

        return take

    def judged() -> dict[str, float]:
        forward = judge(model, sequences, rows["validation"], directions=1)[0]
        loss = forward.total_nll / forward.predictions
        return {"loss": loss, "perplexity": _perplexity(loss)}

    return TrainingTask(
        model,
        batches,
        start,
        lambda loss, correct: {"perplexity": _perplexity(loss)},
        judged,
        "words",
    )


def _perplexity(loss: float) -> float:
    """Return e to a loss in nats; infinity, not an error, where it went astray."""
    return math.exp(loss) if loss < 700 else math.inf
