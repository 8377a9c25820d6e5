"""The classifier: token ids in; one logit out, or of more than two classes one for each."""

import numpy as np
from numpy.typing import NDArray

from rnnpipe.networks.backend import keras
from rnnpipe.networks.layers import NgramEmbedding, Pooling, RightAligned
from rnnpipe.networks.recurrent import StackConfig
from rnnpipe.problems.classification.params import Train


def build_classifier(
    params: Train,
    vocabulary_size: int,
    word_vectors: NDArray[np.float32] | None,
    classes: int = 2,
) -> keras.Model:
    """Build a network from token ids to logits.

    Args:
        params: the network's shape; its seed decides the first weights.
        vocabulary_size: number of token ids.
        word_vectors: ``float32[vocabulary_size, >= embedding_size]`` to start the embedding
            from; None starts it at random.
        classes: how many are told apart, 2 at the least.

    Returns:
        A model from ``int32[batch, time]``: of two classes to ``float32[batch]``, the log-odds of
        label 1; of more to ``float32[batch, classes]``, of which softmax makes probabilities.
    """
    keras.utils.set_random_seed(params.seed)
    embedding = NgramEmbedding(
        vocabulary_size,
        params.embedding_size,
        params.bigram_size,
        params.bigram_buckets,
        name="embedding",
    )
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    aligned, lengths = RightAligned(params.mask, params.padding_side, name="aligned")(token_ids)
    vectors = embedding(aligned)
    for name, rate, shape in (
        ("word_dropout", params.word_dropout_rate, (None, None, 1)),
        ("embedding_dropout", params.embedding_dropout_rate, None),
    ):
        vectors = keras.layers.Dropout(rate, noise_shape=shape, name=name)(vectors)
    stack = StackConfig.of(params)
    states = vectors
    for number in range(1, stack.num_layers + 1):
        if number > 1:
            states = stack.dropout(f"dropout_{number}")(states)
        states = stack.layer(f"recurrent_{number}", params.bidirectional)(states, lengths)
    pooling = Pooling(params.pooling, params.bidirectional, params.shortcut, name="pooling")
    pooled = pooling(states, vectors, lengths)
    pooled = stack.dropout("head_dropout")(pooled)
    logits = keras.layers.Dense(1 if classes == 2 else classes, name="head")(pooled)
    if classes == 2:
        logits = keras.layers.Reshape((), name="logit")(logits)
    model = keras.Model(token_ids, logits, name="classifier")
    if word_vectors is not None:
        embedding.words.embeddings.assign(word_vectors[:, : params.embedding_size])
    return model


def split_at_vectors(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Divide a classifier where token ids have become vectors; the weights stay shared.

    Returns:
        A model from ``int32[batch, time]`` to ``float32[batch, time, width]`` and lengths
        ``int32[batch]``, and one from these two to the logits.
    """
    _, lengths = model.get_layer("aligned").output
    vectors = model.get_layer("embedding").output
    return keras.Model(model.input, [vectors, lengths]), keras.Model(
        [vectors, lengths], model.output
    )
