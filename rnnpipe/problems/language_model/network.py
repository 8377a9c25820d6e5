"""A recurrent language model: its network, one step of its training, and its perplexity.

The network is the lower half of :func:`rnnpipe.problems.classification.network.build_classifier`, word vectors and
recurrent layers, which therefore can start from it. Read in both directions it is two language
models that share nothing but the word vectors, as in ELMo (Peters et al. 2018): the forward one
predicts the next word, the backward one, over the reversed text, the word before. What is
predicted is scored by the vectors of the words that are read (tied, Press & Wolf 2017).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpipe.networks.backend import keras, tf
from rnnpipe.networks.layers import NgramEmbedding
from rnnpipe.networks.recurrent import StackConfig
from rnnpipe.problems.language_model.params import LanguageTrain
from rnnpipe.problems.language_model.sampling import smoothed_frequencies
from rnnpipe.text.fingerprint import vocabulary_fingerprint
from rnnpipe.text.vocabulary import Vocabulary


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
        stack_config: StackConfig,
        bidirectional: bool,
        word_dropout_rate: float,
        embedding_dropout_rate: float,
        vocabulary: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings: dict[str, Any] = {
            "vocabulary_size": vocabulary_size,
            "embedding_size": embedding_size,
            **stack_config.get_config(),
            "bidirectional": bidirectional,
            "word_dropout_rate": word_dropout_rate,
            "embedding_dropout_rate": embedding_dropout_rate,
            "vocabulary": vocabulary,
        }
        self.stack_config = stack_config
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
                stack_config.layer(f"{name}_{number}")
                for number in range(1, stack_config.num_layers + 1)
            ]
            for name in names
        ]
        self.dropouts = [
            stack_config.dropout(f"dropout_{name}_{number}")
            for name in names
            for number in range(1, stack_config.num_layers + 1)
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
                width = stack_config.hidden_size
            projection.build((None, None, width))
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
        """Return the state before the first word, for a batch of texts."""
        return tf.zeros(
            (self.directions, self.stack_config.num_layers, batch, self.stack_config.state_size)
        )

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
        """Return the arguments of the constructor."""
        return {**super().get_config(), **self.settings}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LanguageModel":
        """Build it from what :meth:`get_config` gave."""
        stack_config, rest = StackConfig.pop_from(config)
        return cls(stack_config=stack_config, **rest)


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
        word_vectors: ``float32[vocabulary_size, any]`` to start the embedding from, by their
            first values; what they lack in width starts at random. None starts all at random.
        counts: ``int64[vocabulary_size]``, how often each id must be predicted in the training
            texts; the model starts out knowing it. None starts from uniform.
    """
    keras.utils.set_random_seed(params.seed)
    model = LanguageModel(
        len(vocabulary),
        params.embedding_size,
        StackConfig.of(params),
        params.bidirectional,
        params.word_dropout_rate,
        params.embedding_dropout_rate,
        vocabulary_fingerprint(vocabulary),
        name="language_model",
    )
    if word_vectors is not None:
        model.embedding.words.embeddings.assign(
            _of_width(word_vectors, params.embedding_size, params.seed)
        )
    if counts is not None:
        model.bias.assign(np.log(smoothed_frequencies(counts)).astype(np.float32))
    return model


def _of_width(vectors: NDArray[np.float32], width: int, seed: int) -> NDArray[np.float32]:
    """Cut vectors, or add values to each that are drawn at random.

    The columns of word vectors come by falling importance: what is added is spread as their last
    one, so that it tells words apart without drowning what is known of them.
    """
    known = vectors[:, :width]
    shape = (len(known), width - known.shape[1])
    added = np.random.default_rng(seed).normal(0, known[:, -1].std(), shape)
    return np.concatenate([known, added.astype(np.float32)], axis=1)
