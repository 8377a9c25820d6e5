"""Recurrent networks as Keras models: cells, stacks, pooling, heads, and their files.

Whatever side the input is padded on, the network works on right-padded sequences and their
lengths. No step needs a mask then: a forward pass never sees what lies behind a sequence's
end, and a backward pass runs forward over the sequence reversed within its length.
"""

from collections.abc import Sequence
from typing import Any

from rnnpipe.networks.backend import keras, tf
from rnnpipe.text.tokens import PADDING_ID

BIGRAM_MULTIPLIER = 1_000_003  # a prime: neighbours of one word spread over all buckets


@keras.saving.register_keras_serializable("rnnpipe")
class RightAligned(keras.layers.Layer):  # type: ignore[misc]
    """Token ids and the length of each sequence, padding moved to the right.

    With ``mask`` false the padding counts as words: nothing moves, every length is the width.
    """

    def __init__(self, mask: bool, padding_side: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask = mask
        self.padding_side = padding_side

    def call(self, token_ids: Any) -> tuple[Any, Any]:
        """Map ``int32[batch, time]`` to ``int32[batch, time]`` and ``int32[batch]``."""
        if not self.mask:
            return token_ids, tf.fill(tf.shape(token_ids)[:1], tf.shape(token_ids)[1])
        lengths = tf.reduce_sum(tf.cast(tf.not_equal(token_ids, PADDING_ID), tf.int32), axis=1)
        if self.padding_side == "left":
            token_ids = tf.reverse_sequence(tf.reverse(token_ids, [1]), lengths, seq_axis=1)
        return token_ids, lengths

    def compute_output_spec(self, token_ids: Any) -> Any:
        """Return shapes and dtypes of ids and lengths."""
        return keras.KerasTensor(token_ids.shape, "int32"), keras.KerasTensor(
            token_ids.shape[:1], "int32"
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "mask": self.mask, "padding_side": self.padding_side}


@keras.saving.register_keras_serializable("rnnpipe")
class NgramEmbedding(keras.layers.Layer):  # type: ignore[misc]
    """A vector for each word and, beside it, one for the pair that it forms with the word before.

    Pairs (bigrams) are too many for a row each: a hash puts them into ``bigram_buckets`` rows
    (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning"). With
    ``bigram_size`` 0 there are only words. The first word's pair is with the padding.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int,
        bigram_size: int,
        bigram_buckets: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.embedding_size = embedding_size
        self.bigram_size = bigram_size
        self.bigram_buckets = bigram_buckets
        self.words = keras.layers.Embedding(vocabulary_size, embedding_size, name="words")
        # Zeros: a pair that was never trained on says nothing.
        self.bigrams = (
            keras.layers.Embedding(
                bigram_buckets, bigram_size, embeddings_initializer="zeros", name="bigrams"
            )
            if bigram_size
            else None
        )

    def build(self, token_ids_shape: Any) -> None:
        """Create the weights."""
        for layer in (self.words, self.bigrams):
            if layer is not None:
                layer.build(token_ids_shape)

    def call(self, token_ids: Any) -> Any:
        """Map ``int32[batch, time]`` to ``float32[batch, time, embedding_size + bigram_size]``."""
        vectors = self.words(token_ids)
        if self.bigrams is None:
            return vectors
        ids = tf.cast(token_ids, tf.int64)
        before = tf.pad(ids[:, :-1], [[0, 0], [1, 0]], constant_values=PADDING_ID)
        buckets = (before * BIGRAM_MULTIPLIER + ids) % self.bigram_buckets
        return tf.concat([vectors, self.bigrams(buckets)], axis=-1)

    def compute_output_shape(self, token_ids_shape: Any) -> Any:
        """Return the shape of the vectors."""
        return (*token_ids_shape, self.embedding_size + self.bigram_size)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_size": self.embedding_size,
            "bigram_size": self.bigram_size,
            "bigram_buckets": self.bigram_buckets,
        }


@keras.saving.register_keras_serializable("rnnpipe")
class Pooling(keras.layers.Layer):  # type: ignore[misc]
    """The hidden states of all steps as one vector; with ``shortcut`` the inputs' mean beside it.

    What single words and pairs say reaches the head by the shortcut, as in a linear model, so that
    the recurrence is free for what they do not say (Cheng et al. 2016, "Wide & Deep Learning").
    """

    def __init__(self, how: str, bidirectional: bool, shortcut: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.how = how
        self.bidirectional = bidirectional
        self.shortcut = shortcut

    def call(self, states: Any, vectors: Any, lengths: Any) -> Any:
        """Map ``float32[batch, time, width]`` to ``float32[batch, width]``, max_mean to twice that.

        Args:
            states: hidden states, right-padded.
            vectors: ``float32[batch, time, any]``, what the recurrence was given.
            lengths: ``int32[batch]``; a sequence of length 0 counts as one step.
        """
        lengths = tf.maximum(lengths, 1)
        real = tf.sequence_mask(lengths, tf.shape(states)[1])[:, :, None]
        pooled = self._pooled(states, lengths, real)
        if self.shortcut:
            pooled.append(_mean(vectors, lengths, real))
        return tf.concat(pooled, axis=-1)

    def _pooled(self, states: Any, lengths: Any, real: Any) -> list[Any]:
        if self.how == "last":
            # The last state of the backward direction is the one at the first word.
            last = tf.gather(states, lengths - 1, axis=1, batch_dims=1)
            if not self.bidirectional:
                return [last]
            half = states.shape[-1] // 2
            return [last[:, :half], states[:, 0, half:]]
        pooled = []
        if self.how in ("max", "max_mean"):
            pooled.append(tf.reduce_max(tf.where(real, states, states.dtype.min), axis=1))
        if self.how in ("mean", "max_mean"):
            pooled.append(_mean(states, lengths, real))
        return pooled

    def compute_output_shape(
        self, states_shape: Any, vectors_shape: Any, lengths_shape: Any
    ) -> Any:
        """Return the shape of the pooled vector."""
        width = states_shape[-1] * (2 if self.how == "max_mean" else 1)
        return states_shape[0], width + (vectors_shape[-1] if self.shortcut else 0)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "how": self.how,
            "bidirectional": self.bidirectional,
            "shortcut": self.shortcut,
        }


@keras.saving.register_keras_serializable("rnnpipe")
class Calibration(keras.layers.Layer):  # type: ignore[misc]
    """Logits that are as sure as they are right: times ``exp(level) * words ** slope``.

    Of two classes the slope is the first of ``slopes`` where the first class is called, else the
    second; of more it is the first. There are no weights: this is fitted when the others are learnt.
    The number of words is that of the token ids that are no padding, whether or not the padding is
    masked, between ``shortest`` and ``longest``.
    """

    def __init__(
        self, level: float, slopes: Sequence[float], shortest: int, longest: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.level = level
        self.slopes = tuple(slopes)
        self.shortest = shortest
        self.longest = longest

    def call(self, logits: Any, token_ids: Any) -> Any:
        """Map ``float32[batch]`` or ``float32[batch, K]``, and ``int32[batch, time]``, to logits."""
        words = tf.reduce_sum(tf.cast(tf.not_equal(token_ids, PADDING_ID), tf.float32), axis=1)
        lengths = tf.math.log(tf.clip_by_value(words, float(self.shortest), float(self.longest)))
        if len(logits.shape) == 1:
            slopes = tf.where(logits > 0, self.slopes[1], self.slopes[0])
            return logits * tf.exp(slopes * lengths + self.level)
        return logits * tf.exp(self.slopes[0] * lengths + self.level)[:, None]

    def compute_output_shape(self, logits_shape: Any, token_ids_shape: Any) -> Any:
        """Return the shape of the logits."""
        return logits_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "level": self.level,
            "slopes": list(self.slopes),
            "shortest": self.shortest,
            "longest": self.longest,
        }


def _mean(sequences: Any, lengths: Any, real: Any) -> Any:
    """Average ``float32[batch, time, width]`` over each sequence's own steps, which are real."""
    total = tf.reduce_sum(tf.where(real, sequences, 0.0), axis=1)
    return total / tf.cast(lengths, sequences.dtype)[:, None]
