"""A recurrent language model: its network, one step of its training, and its perplexity.

The network is the lower half of :func:`rnnpipe.models.build_classifier`, word vectors and
recurrent layers, which therefore can start from it. Read in both directions it is two language
models that share nothing but the word vectors, as in ELMo (Peters et al. 2018): the forward one
predicts the next word, the backward one, over the reversed text, the word before. What is
predicted is scored by the vectors of the words that are read (tied, Press & Wolf 2017).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.backend import keras, tf
from rnnpipe.fingerprints import vocabulary_fingerprint
from rnnpipe.models import NgramEmbedding
from rnnpipe.optimizers import Optimizer
from rnnpipe.params import LanguageTrain
from rnnpipe.perplexity import Judgement
from rnnpipe.progress import track
from rnnpipe.recurrent import Recurrent
from rnnpipe.sequences import sorted_batches
from rnnpipe.team import ALONE, Alone
from rnnpipe.text_windows import BOUNDARY_ID, count_predictions, cut_windows
from rnnpipe.tokens import Ragged, Vocabulary

_JUDGED_BATCH = 64
_JUDGED_WINDOW = 64
_JUDGED_WORDS = 512  # of the vocabulary at once: a block of scores stays in the cache
_COUNTED_TEXTS = 4096  # at once
_PARTS = 8  # that a window's scores are made in
_NO_SCORE = -1e30  # below every score; no infinity, which would make differences no number
_FLATTENING = 0.75  # of the words' frequencies (Mikolov et al. 2013): rare words are drawn too


@keras.saving.register_keras_serializable("rnnpipe")
class LanguageModel(keras.Model):  # type: ignore[misc]
    """Token ids and states to the vectors of what is predicted, and the states after them.

    A state is ``float32[directions, layers, batch, width]``, as wide as ``hidden_size``, of an
    LSTM twice that (hidden state and carry).
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int,
        cell: str,
        hidden_size: int,
        num_layers: int,
        bidirectional: bool,
        precision: str,
        word_dropout_rate: float,
        embedding_dropout_rate: float,
        dropout_rate: float,
        vocabulary: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings: dict[str, Any] = {
            "vocabulary_size": vocabulary_size,
            "embedding_size": embedding_size,
            "cell": cell,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "bidirectional": bidirectional,
            "precision": precision,
            "word_dropout_rate": word_dropout_rate,
            "embedding_dropout_rate": embedding_dropout_rate,
            "dropout_rate": dropout_rate,
            "vocabulary": vocabulary,
        }
        self.embedding = NgramEmbedding(vocabulary_size, embedding_size, 0, 2, name="embedding")
        self.word_dropout = keras.layers.Dropout(
            word_dropout_rate, noise_shape=(None, None, 1), name="word_dropout"
        )
        self.embedding_dropout = keras.layers.Dropout(
            embedding_dropout_rate, name="embedding_dropout"
        )
        names = ("forward", "backward") if bidirectional else ("forward",)
        self.stacks = [
            [
                Recurrent(cell, hidden_size, False, precision, name=f"{name}_{number}")
                for number in range(1, num_layers + 1)
            ]
            for name in names
        ]
        self.dropouts = [
            keras.layers.Dropout(dropout_rate, name=f"dropout_{name}_{number}")
            for name in names
            for number in range(1, num_layers + 1)
        ]
        # Each direction has its own: their hidden states have nothing in common.
        self.projections = [
            keras.layers.Dense(
                embedding_size,
                # Small: at first the bias, which knows how frequent a word is, decides.
                kernel_initializer=keras.initializers.VarianceScaling(0.01),
                name=f"projection_{name}",
            )
            for name in names
        ]
        self.bias = self.add_weight(shape=(vocabulary_size,), initializer="zeros", name="bias")
        self.embedding.build((None, None))
        for stack, projection in zip(self.stacks, self.projections, strict=True):
            width = embedding_size
            for layer in stack:
                layer.build((None, None, width), (None,))
                width = hidden_size
            projection.build((None, None, hidden_size))
        for layer in (self.word_dropout, self.embedding_dropout, *self.dropouts):
            layer.built = True
        self.built = True

    @property
    def directions(self) -> int:
        """1 where it reads forward alone, 2 where it reads backward too."""
        return len(self.stacks)

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids."""
        return int(self.settings["vocabulary_size"])

    @property
    def vocabulary(self) -> str:
        """Fingerprint of the words that the ids stand for."""
        return str(self.settings["vocabulary"])

    @property
    def words(self) -> Any:
        """``float32[vocabulary_size, embedding_size]``, the variable read and predicted by."""
        return self.embedding.words.embeddings.value

    def zero_state(self, batch: Any) -> Any:
        """Give the state before the first word, for a batch of texts."""
        cells = 2 if self.settings["cell"] == "lstm" else 1
        width = cells * int(self.settings["hidden_size"])
        return tf.zeros((self.directions, int(self.settings["num_layers"]), batch, width))

    def call(
        self, token_ids: Any, lengths: Any, state: Any, training: bool | None = None
    ) -> tuple[Any, Any]:
        """Read a window.

        Args:
            token_ids: ``int32[directions, batch, time]``; backward means reversed texts.
            lengths: ``int32[batch]``, steps of each text in the window.
            state: before the window.
            training: whether there is dropout.

        Returns:
            ``float32[directions, batch, time, embedding_size]``, what is predicted at each step,
            and the state after the window.
        """
        predicted, states = [], []
        dropouts = iter(self.dropouts)
        for direction, (stack, projection) in enumerate(
            zip(self.stacks, self.projections, strict=True)
        ):
            values = self.embedding(token_ids[direction])
            for dropout in (self.word_dropout, self.embedding_dropout):
                values = dropout(values, training=training)
            finals = []
            for number, layer in enumerate(stack):
                values, (final,) = layer.scan(
                    values, lengths, [state[direction, number]], training=training
                )
                values = next(dropouts)(values, training=training)
                finals.append(final)
            predicted.append(projection(values))
            states.append(tf.stack(finals))
        return tf.stack(predicted), tf.stack(states)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        return {**super().get_config(), **self.settings}


def build_language_model(
    params: LanguageTrain,
    vocabulary: Vocabulary,
    word_vectors: NDArray[np.float32] | None,
    counts: NDArray[np.int64] | None = None,
) -> LanguageModel:
    """Build a language model with its first weights.

    Args:
        params: the network's shape; its seed decides the first weights.
        vocabulary: what the ids stand for; the model keeps its fingerprint.
        word_vectors: ``float32[vocabulary_size, >= embedding_size]`` to start the embedding
            from; None starts it at random.
        counts: ``int64[vocabulary_size]``, how often each id must be predicted in the training
            texts; the model starts out knowing it. None starts from uniform.
    """
    keras.utils.set_random_seed(params.seed)
    model = LanguageModel(
        len(vocabulary),
        params.embedding_size,
        params.cell,
        params.hidden_size,
        params.num_layers,
        params.bidirectional,
        params.precision,
        params.word_dropout_rate,
        params.embedding_dropout_rate,
        params.dropout_rate,
        vocabulary_fingerprint(vocabulary),
        name="language_model",
    )
    if word_vectors is not None:
        model.embedding.words.embeddings.assign(word_vectors[:, : params.embedding_size])
    if counts is not None:
        model.bias.assign(np.log(_smoothed(counts)).astype(np.float32))
    return model


def count_words(
    sequences: Ragged, rows: NDArray[np.int64], vocabulary_size: int
) -> NDArray[np.int64]:
    """Count how often each id must be predicted, ``int64[vocabulary_size]``: words and ends."""
    counts = np.zeros(vocabulary_size, np.int64)
    for start in range(0, len(rows), _COUNTED_TEXTS):
        texts = sequences.take(rows[start : start + _COUNTED_TEXTS])
        counts += np.bincount(texts.values, minlength=vocabulary_size)
    counts[BOUNDARY_ID] += len(rows)
    return counts


def _smoothed(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    shares = (counts + 1.0) / (counts.sum() + len(counts))
    return np.asarray(shares, np.float64)


@dataclass(frozen=True)
class Candidates:
    """Words that a training step tells the right ones from.

    Attributes:
        words: ``int32[number]``, distinct.
        log_shares: ``float32[number]``, the logarithm of the probability of each to be among them.
    """

    words: NDArray[np.int32]
    log_shares: NDArray[np.float32]


def draw_candidates(
    counts: NDArray[np.int64], number: int, random: np.random.Generator
) -> Candidates:
    """Draw distinct words, frequent ones more often.

    Each word's clock rings after an exponential time, the sooner the more frequent it is; the
    first ``number`` are taken. Given the time of the first that is not, each was taken by a
    probability of its own, by which a sum over all words is estimated without bias (bottom-k
    sampling, Cohen & Kaplan 2007).

    Args:
        counts: ``int64[vocabulary_size]``, how often each is predicted.
        number: how many; 0, or no fewer than there are words: all, with certainty.
        random: decides which.
    """
    size = len(counts)
    if not 0 < number < size:
        return Candidates(np.arange(size, dtype=np.int32), np.zeros(size, np.float32))
    rates = _smoothed(counts) ** _FLATTENING
    clocks = random.standard_exponential(size) / rates
    taken = np.argpartition(clocks, number)
    drawn, end = taken[:number], clocks[taken[number]]
    shares = -np.expm1(-rates[drawn] * end)
    return Candidates(drawn.astype(np.int32), np.log(shares).astype(np.float32))


# (inputs, targets, lengths, candidates' words, their log shares, state before)
# -> (summed loss a direction, gradient's norm, state after)
Step = Callable[..., tuple[Any, Any, Any]]


def compile_step(model: LanguageModel, optimizer: Optimizer, clip_norm: float | None) -> Step:
    """Compile one step of the training: over one window, once for every shape of window.

    Args:
        model: what is trained.
        optimizer: over the model's trainable variables, in their order.
        clip_norm: longest gradient over all weights; None clips nothing.

    Returns:
        A function of a window's ``inputs``, ``targets`` and ``lengths``, of candidates' ``words``
        and ``log_shares``, and of the state before the window. It gives ``float32[directions]``
        summed losses in nats, the gradient's norm before clipping, and the state after the
        window, through which no gradient flows into the next.
    """
    variables = [variable.value for variable in model.trainable_variables]

    def step(
        inputs: Any, targets: Any, lengths: Any, words: Any, log_shares: Any, state: Any
    ) -> tuple[Any, Any, Any]:
        with tf.GradientTape() as tape:
            predicted, after = model(inputs, lengths, state, training=True)
            real = tf.sequence_mask(lengths, tf.shape(inputs)[2])
            real = tf.repeat(real[None], model.directions, axis=0)
            total, losses = sampled_losses(
                tf.boolean_mask(predicted, real),
                tf.boolean_mask(targets, real),
                model.words,
                model.bias.value,
                words,
                log_shares,
            )
            loss = total / tf.cast(tf.size(losses), tf.float32)
        nats = tf.reduce_sum(tf.reshape(losses, [model.directions, -1]), axis=1)
        gradients, _, nats = optimizer.team.average(
            tf.size(losses), tape.gradient(loss, variables), loss, nats
        )
        return nats, optimizer.step(gradients, clip_norm), after

    compiled: Step = tf.function(
        step,
        autograph=False,
        input_signature=[
            tf.TensorSpec([model.directions, None, None], tf.int32),
            tf.TensorSpec([model.directions, None, None], tf.int32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None], tf.float32),
            tf.TensorSpec([*model.zero_state(1).shape[:2], None, None], tf.float32),
        ],
    )
    return compiled


@dataclass(frozen=True)
class Learnt:
    """What learning from one batch of texts gave.

    Attributes:
        nats: ``float64[directions]``, summed losses, dropout on, estimated from the candidates.
        predictions: how many words and ends a direction predicted.
        gradient_norm: mean over the windows, before clipping.
    """

    nats: NDArray[np.float64]
    predictions: int
    gradient_norm: float


def learn_batch(
    step: Step,
    model: LanguageModel,
    sequences: Ragged,
    rows: NDArray[np.int64],
    counts: NDArray[np.int64],
    params: LanguageTrain,
    random: np.random.Generator,
    team: Alone = ALONE,
) -> Learnt:
    """Walk a batch of texts window by window, one step each, the state carried on.

    Args:
        step: compiled by :func:`compile_step` for ``model``.
        model: what is trained.
        sequences: token ids, ragged; they may stay on disk.
        rows: ``int64[batch]``, the texts of the batch, best of like length.
        counts: ``int64[vocabulary_size]``, how often each id must be predicted.
        params: width of a window, number of candidates.
        random: draws the candidates; seeded by epoch and batch, it makes a training repeatable.
        team: with whom the batch is shared. Each keeps the state of its own texts; the windows
            are those of the whole batch, so that all take as many steps, some with no text left.
    """
    nats, norms = np.zeros(model.directions), []
    mine = team.share(np.arange(len(rows)))
    state = model.zero_state(len(mine))
    for window in cut_windows(sequences, rows, params.bptt_length, model.directions):
        drawn = draw_candidates(counts, params.sampled_words, random)
        losses, norm, state = step(
            window.inputs[:, mine],
            window.targets[:, mine],
            window.lengths[mine],
            drawn.words,
            drawn.log_shares,
            state,
        )
        nats += losses.numpy()
        norms.append(float(norm))
    return Learnt(nats, count_predictions(sequences, rows), float(np.mean(norms)))


def sampled_losses(
    predicted: Any, targets: Any, table: Any, bias: Any, words: Any, log_shares: Any
) -> tuple[Any, Any]:
    """Compare each right word with some others, which stand for all.

    A drawn word counts by the inverse of its probability to be drawn (Jean et al. 2015), so the
    sum over all words is estimated without bias; the right word stands for itself, drawn or not.
    Over all words with certainty this is the softmax's loss itself.

    Args:
        predicted: ``float32[n, size]``.
        targets: ``int32[n]``, the right words.
        table: ``float32[vocabulary_size, size]``, a variable.
        bias: ``float32[vocabulary_size]``, a variable.
        words: ``int32[number]``, distinct.
        log_shares: ``float32[number]``.

    Returns:
        The summed loss in nats, which alone can be differentiated, and each prediction's,
        ``float32[n]``.
    """
    number = tf.size(words)
    places = tf.tensor_scatter_nd_update(
        tf.fill([tf.shape(table)[0]], -1), words[:, None], tf.range(number)
    )
    rights = tf.reduce_sum(predicted * tf.gather(table, targets), axis=1)
    rights += tf.gather(bias, targets)
    total, losses = _cross_entropy(
        predicted,
        rights,
        tf.gather(table, words),
        tf.gather(bias, words) - log_shares,
        tf.gather(places, targets),
    )
    return total, losses


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _cross_entropy(predicted: Any, rights: Any, vectors: Any, offsets: Any, places: Any) -> Any:
    """Sum the losses of the right words against candidates.

    Most of a step's time goes into the matrix of scores. It is made part by part, and each part
    is gone through, down to its share of the gradients, while it stands in the cache; that is
    why the sum is all that can be differentiated.

    Args:
        predicted: ``float32[n, size]``.
        rights: ``float32[n]``, scores of the right words.
        vectors: ``float32[number, size]`` of the candidates.
        offsets: ``float32[number]``, added to their scores.
        places: ``int32[n]``, which candidate is the right word: it is left out; -1 for none.
    """
    losses, d_predicted, d_rights, d_candidates = [], [], [], []
    size = -(-tf.shape(predicted)[0] // _PARTS)
    for number in range(_PARTS):
        part = slice(number * size, (number + 1) * size)
        here, right = predicted[part], rights[part]
        scores = tf.matmul(here, vectors, transpose_b=True) + offsets
        drawn = tf.where(places[part] >= 0)[:, 0]
        same = tf.stack([drawn, tf.cast(tf.gather(places[part], drawn), tf.int64)], axis=1)
        scores = tf.tensor_scatter_nd_update(scores, same, tf.fill(tf.shape(drawn), _NO_SCORE))
        highest = tf.maximum(tf.reduce_max(scores, axis=1), right)
        weights = tf.exp(scores - highest[:, None])
        right_weights = tf.exp(right - highest)
        totals = tf.reduce_sum(weights, axis=1) + right_weights
        losses.append(tf.math.log(totals) + highest - right)
        shares = 1 / totals[:, None]
        d_predicted.append(shares * tf.matmul(weights, vectors))
        d_rights.append(right_weights / totals - 1)
        # With the small matrix turned, not the large one: twice as fast. The last row is what
        # the offsets get.
        scaled = tf.concat([shares * here, shares], axis=1)
        d_candidates.append(tf.matmul(scaled, weights, transpose_a=True))
    of_candidates = tf.add_n(d_candidates)
    gradients = (
        tf.concat(d_predicted, axis=0),
        tf.concat(d_rights, axis=0),
        tf.transpose(of_candidates[:-1]),
        of_candidates[-1],
    )
    every = tf.concat(losses, axis=0)

    def gradient(upstream: Any, _: Any) -> Any:
        return *(upstream * part for part in gradients), None

    return (tf.reduce_sum(every), every), gradient


def judge(
    model: LanguageModel,
    sequences: Ragged,
    rows: NDArray[np.int64],
    directions: int | None = None,
) -> tuple[Judgement, ...]:
    """Judge each direction on whole texts, by the softmax over the whole vocabulary.

    The figures depend on neither batches nor windows, apart from rounding.

    Args:
        model: any language model.
        sequences: token ids, ragged; they may stay on disk.
        rows: ``int64[n]``, which of them.
        directions: 1 judges the forward direction alone; None all there are.
    """
    predictions = count_predictions(sequences, rows)
    nats = judge_texts(model, sequences, rows, directions)
    return tuple(Judgement(float(total), predictions) for total in nats.sum(axis=1))


def judge_texts(
    model: LanguageModel,
    sequences: Ragged,
    rows: NDArray[np.int64],
    directions: int | None = None,
) -> NDArray[np.float64]:
    """Give each text's summed loss in nats, ``float64[directions, n]``; see :func:`judge`."""
    directions = directions or model.directions
    run = compile_judging(model, directions)
    nats = np.zeros((directions, len(rows)))
    batches = sorted_batches(sequences.lengths[rows], _JUDGED_BATCH)
    for batch in track(batches, "judging texts", "batches"):
        state = model.zero_state(len(batch))
        for window in cut_windows(sequences, rows[batch], _JUDGED_WINDOW, model.directions):
            losses, state = run(window.inputs, window.targets, window.lengths, state)
            nats[:, batch] += losses.numpy()
    return nats


def compile_judging(model: LanguageModel, directions: int) -> Callable[..., tuple[Any, Any]]:
    """Compile each text's exact summed loss over a window, dropout off.

    It takes a window's ``inputs``, ``targets`` and ``lengths`` and the state before, and gives
    ``float64[directions, batch]`` and the state after.
    """

    def run(inputs: Any, targets: Any, lengths: Any, state: Any) -> tuple[Any, Any]:
        predicted, after = model(inputs, lengths, state, training=False)
        real = tf.sequence_mask(lengths, tf.shape(inputs)[2])
        texts = tf.where(real)[:, 0]
        sums = [
            tf.math.unsorted_segment_sum(
                tf.cast(
                    exact_losses(
                        tf.boolean_mask(predicted[direction], real),
                        tf.boolean_mask(targets[direction], real),
                        model.words,
                        model.bias.value,
                    ),
                    tf.float64,
                ),
                texts,
                tf.shape(lengths)[0],
            )
            for direction in range(directions)
        ]
        return tf.stack(sums), after

    compiled: Callable[..., tuple[Any, Any]] = tf.function(
        run,
        autograph=False,
        input_signature=[
            tf.TensorSpec([model.directions, None, None], tf.int32),
            tf.TensorSpec([model.directions, None, None], tf.int32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([*model.zero_state(1).shape[:2], None, None], tf.float32),
        ],
    )
    return compiled


def exact_losses(predicted: Any, targets: Any, table: Any, bias: Any) -> Any:
    """Give each prediction's loss in nats, ``float32[n]``, by the softmax over all words.

    The words come in blocks, so that memory does not grow with the vocabulary.

    Args:
        predicted: ``float32[n, size]``.
        targets: ``int32[n]``, the right words.
        table: ``float32[vocabulary_size, size]``.
        bias: ``float32[vocabulary_size]``.
    """
    starts = range(0, table.shape[0], _JUDGED_WORDS)
    rights = tf.reduce_sum(predicted * tf.gather(table, targets), axis=1)
    rights += tf.gather(bias, targets)

    def scores(start: int) -> Any:
        block = slice(start, start + _JUDGED_WORDS)
        return tf.matmul(predicted, table[block], transpose_b=True) + bias[block]

    # Frequent words come first, so the highest score of the first block is near the highest of
    # all: every exponent is taken against it, and the scores need not be searched first. Bias and
    # subtraction ride in the product: a block of scores is gone through but twice.
    high = tf.maximum(tf.reduce_max(scores(0), axis=1), rights)
    rows = tf.concat([predicted, tf.ones_like(high)[:, None], -high[:, None]], axis=1)
    columns = tf.concat(
        [table, tf.convert_to_tensor(bias)[:, None], tf.ones([table.shape[0], 1])], axis=1
    )
    total = tf.zeros_like(high)
    for start in starts:
        block = columns[start : start + _JUDGED_WORDS]
        total += tf.reduce_sum(tf.exp(tf.matmul(rows, block, transpose_b=True)), axis=1)

    def slowly() -> Any:
        """Where a score lies so far above the first block's that its exponent is no number."""
        highest, found = high, tf.zeros_like(high)
        for start in starts:
            block = scores(start)
            higher = tf.maximum(highest, tf.reduce_max(block, axis=1))
            here = tf.reduce_sum(tf.exp(block - higher[:, None]), axis=1)
            found = found * tf.exp(highest - higher) + here
            highest = higher
        return tf.math.log(found) + highest

    fine = tf.reduce_all(tf.math.is_finite(total))
    return tf.cond(fine, lambda: tf.math.log(total) + high, slowly) - rights
