"""The parameters of language modelling, a section a stage."""

from typing import Literal

from pydantic import Field

from rnnpipe.config.load import Params
from rnnpipe.config.section import Real, Section, knob
from rnnpipe.config.training import Embedding, Recurrence, Training


class LanguageTrain(Training, Embedding, Recurrence):
    """The language model and its training."""

    hidden_size: int = knob(
        512,
        "units in a recurrent layer, a direction",
        "larger: lower perplexity, more cost; a classifier that starts from it must have the same",
        ge=1,
        le=4096,
    )
    bidirectional: bool = knob(
        False,
        "learn a second model of the reversed text, with the same word vectors (ELMo, Peters et al."
        " 2018); the perplexity is the forward one's",
        "true: a bidirectional classifier can start from it; twice the cost",
    )
    embedding_size: int = knob(
        192,
        "width of a word's vector, by which it is read and predicted; where the word vectors are"
        " narrower, the further values start at random",
        "larger: lower perplexity, more cost: every candidate is scored by as many values",
        ge=1,
        le=1024,
    )
    word_dropout_rate: Real = knob(
        0.0,
        "fraction of words that training reads as nothing (word dropout, Iyyer et al. 2015)",
        "a brake on learning by heart; of little use where the text is seen few times",
        ge=0.0,
        lt=1.0,
    )
    embedding_dropout_rate: Real = knob(
        0.0,
        "fraction of the values of a word's vector dropped in training",
        "a brake on overfitting beside word_dropout_rate",
        ge=0.0,
        lt=1.0,
    )
    dropout_rate: Real = knob(
        0.0,
        "fraction of units dropped in training, after each recurrent layer",
        "prevents overfitting; a small network that sees the text a few times needs none",
        ge=0.0,
        lt=1.0,
    )
    bptt_length: int = knob(
        64,
        "most steps that a gradient flows back (truncated backpropagation through time); the state"
        " is carried on from window to window",
        "longer: longer dependencies, more memory, fewer steps of the optimizer",
        ge=1,
        le=100_000,
    )
    sampled_words: int = knob(
        2048,
        "words that a training step tells the right one from, drawn anew each step, frequent ones"
        " more often (sampled softmax, Jean et al. 2015); 0: the whole vocabulary. Judging always"
        " uses the whole",
        "more: a steadier gradient; cost grows with it",
        ge=0,
        le=1_000_000,
    )
    epochs: int = knob(
        2,
        "most passes over the training reviews",
        "more: longer, lower perplexity until it learns by heart",
        ge=1,
        le=1000,
    )
    learning_rate: Real = knob(
        0.0035,
        "step size at the start",
        "higher: faster and less stable; lower: slower and stabler",
        gt=0.0,
        le=10.0,
    )


class Ngrams(Section):
    """The n-gram model that a language model's perplexity is shown beside."""

    order: int = knob(
        4,
        "longest run of words that is counted: the word and what stands before it",
        "larger: lower perplexity with much text, more memory",
        ge=1,
        le=6,
    )


class LanguageEvaluate(Section):
    """How the figures of a language model are taken."""

    confidence: Real = knob(
        0.95, "coverage of the intervals", "0.95: wide; 0.68: narrow", gt=0.0, lt=1.0
    )
    bootstrap_samples: int = knob(
        1000, "resamples of the reviews", "more: steadier bounds", ge=100, le=100_000
    )
    seed: int = knob(1, "seed of the bootstrap", "other resamples", ge=0, lt=2**31)


class LanguageRegister(Section):
    """What a language model must show to be registered."""

    max_validation_perplexity: Real = knob(
        300.0, "largest perplexity on validation", "the gate every model passes", gt=1.0
    )
    require_better_than_baseline: bool = knob(
        True,
        "refuse a model that is not better than the n-grams on validation",
        "false: the baseline is only shown",
    )


class LanguageModelParams(Params):
    """The parameters of the language-model pipeline; the root pipeline makes its sequences."""

    problem: Literal["language_model"] = knob(
        "language_model", "what is learnt", "chooses data, network and metrics"
    )
    baseline: Ngrams = Ngrams()
    train: LanguageTrain = LanguageTrain()
    evaluate: LanguageEvaluate = LanguageEvaluate()
    register_: LanguageRegister = Field(LanguageRegister(), alias="register")


PARAMS = LanguageModelParams  # by this name the parameter file's reader finds them
