"""What every training reads, whatever it trains: sections that a problem's own derive from."""

from typing import Literal

from rnnpipe.config.section import Real, Section, knob


class Training(Section):
    """How any network is trained."""

    batch_size: int = knob(
        64,
        "reviews trained on in parallel; typically 32 or 64",
        "larger: faster and stabler steps, fewer of them, more memory",
        ge=1,
        le=65_536,
    )
    epochs: int | None = knob(
        None,
        "most passes over what is learnt from; null: as many as make 2,000 steps, 2 to 40",
        "more: longer; some hundred texts need forty, a hundred thousand need two",
        ge=1,
        le=1000,
    )
    patience: int | None = knob(
        None,
        "epochs without a better validation loss before training stops; null: a quarter of"
        " train.epochs, 2 at the least",
        "larger: waits longer for a late improvement",
        ge=1,
    )
    optimizer: Literal["adam", "rmsprop", "sgd"] = knob(
        "adam",
        "how gradients become steps",
        "adam and rmsprop scale each weight's step; sgd does not",
    )
    learning_rate: Real = knob(
        0.002,
        "step size at the start; typically 0.001",
        "higher: faster and less stable; lower: slower and stabler",
        gt=0.0,
        le=10.0,
    )
    schedule: Literal["constant", "linear"] = knob(
        "linear",
        "learning rate over training: constant, or falling to zero over all epochs",
        "linear: ends in a better minimum",
    )
    gradient_clip_norm: Real | None = knob(
        1.0,
        "longest gradient over all weights; a longer one is scaled down; null: never",
        "stops exploding gradients",
        gt=0.0,
    )
    fraction: Real = knob(
        1.0,
        "share of the training reviews used",
        "for quick tries and learning curves",
        gt=0.0,
        le=1.0,
    )
    seed: int = knob(
        1, "seed of weights, order and dropout", "another seed shows the noise", ge=0, lt=2**31
    )
    workers: int = knob(
        1,
        "processes that train together, each on its share of every batch"
        " (docs/parallel-training.md)",
        "more: shorter steps where each has a machine of its own; the same losses, but for rounding"
        " and the masks of dropout",
        ge=1,
        le=1024,
    )


class Recurrence(Section):
    """The recurrent layers of any network."""

    cell: Literal["simple_rnn", "lstm", "gru"] = knob(
        "lstm",
        "recurrent cell",
        "simple_rnn forgets (vanishing gradients); lstm and gru keep a gated memory",
    )
    hidden_size: int = knob(
        64,
        "units in a recurrent layer, a direction; typically 128 to 512, in both directions half",
        "larger: more complex patterns, more cost, more overfitting",
        ge=1,
        le=4096,
    )
    precision: Literal["float32", "mixed_bfloat16"] = knob(
        "mixed_bfloat16",
        "of the factors in the recurrent layers' products while training; sums and states are"
        " float32 always, and so is all judging",
        "mixed_bfloat16: up to twice as fast where the processor has it, else float32",
    )
    num_layers: int = knob(
        1,
        "stacked recurrent layers",
        "more: deeper dependencies in time, more regularisation needed",
        ge=1,
        le=8,
    )
    dropout_rate: Real = knob(
        0.2,
        "fraction of units dropped in training, after each recurrent layer and before the head;"
        " typically 0.2 to 0.5",
        "prevents overfitting",
        ge=0.0,
        lt=1.0,
    )


class Embedding(Section):
    """How words become vectors in any network that reads text."""

    embedding: Literal["word_vectors", "uniform"] = knob(
        "word_vectors",
        "start of the embedding: vectors from co-occurrence, or random",
        "word_vectors: knows at once that good is like great",
    )
    embedding_size: int = knob(
        128, "width of a word's vector", "larger: finer meanings, slower", ge=1, le=1024
    )
    word_dropout_rate: Real = knob(
        0.2,
        "fraction of words that training reads as nothing, each with its pair (word dropout, Iyyer"
        " et al. 2015)",
        "the strongest brake on learning reviews by heart",
        ge=0.0,
        lt=1.0,
    )
    embedding_dropout_rate: Real = knob(
        0.4,
        "fraction of the values of a word's vector dropped in training",
        "a brake on overfitting beside word_dropout_rate",
        ge=0.0,
        lt=1.0,
    )
