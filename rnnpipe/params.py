"""Every tunable of the pipeline: typed, bounded, frozen; the only reader of ``params.yaml``.

One section a stage, named after it. A key nobody knows, a value of the wrong type, or one
out of range ends in a :class:`~rnnpipe.errors.ParameterError` that names the key.
"""

import difflib
import itertools
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo

from rnnpipe.errors import ParameterError
from rnnpipe.files import atomic_file
from rnnpipe.places import problem_named

logger = logging.getLogger(__name__)

PARAMS_FILE = Path("params.yaml")
_WARNED: set[str] = set()  # old names that this process has spoken of


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _knob(default: Any, meaning: str, impact: str, **bounds: Any) -> Any:
    """A parameter with its default, its meaning and its impact, as ``rnnpipe params`` prints them."""
    return Field(default, description=meaning, json_schema_extra={"impact": impact}, **bounds)


# YAML writes 1e-3 and 1 where a float is meant; strict mode would refuse the integer.
Real = Annotated[float, Field(strict=False, allow_inf_nan=False)]


class Download(_Section):
    """Where the reviews come from."""

    source: str = _knob(
        "data/imdb.json",
        "a source's card (data/imdb.json), or a CSV or parquet file of your own, by path or URL",
        "decides which reviews everything after it sees",
        min_length=1,
    )


class Prepare(_Section):
    """How a table of your own is read; an archive in the IMDB layout needs none of it."""

    text_column: str = _knob("text", "column that holds the text", "own tables only", min_length=1)
    label_column: str = _knob(
        "label",
        "column that holds the label; empty cells are unlabelled",
        "own tables only",
        min_length=1,
    )
    split_column: str | None = _knob(
        None,
        "column with train, test or unlabelled; null: one row in five becomes test, by a fixed hash",
        "own tables only; a split of your own keeps results comparable",
    )
    group_column: str | None = _knob(
        None,
        "column that ties rows together (film, author, product); without a split column a group never spans two splits",
        "own tables only; without it near-copies may leak from train into validation and test",
    )
    labels: dict[str, Literal["neg", "pos"]] = _knob(
        {"neg": "neg", "negative": "neg", "0": "neg", "pos": "pos", "positive": "pos", "1": "pos"},
        "which label value means neg and which pos",
        "own tables only",
        min_length=2,
    )

    @field_validator("labels", mode="before")
    @classmethod
    def _labels_are_text(cls, labels: Any) -> Any:
        """YAML reads 1 and true as no text; a label in a file is always text."""
        if not isinstance(labels, dict):
            return labels
        return {
            str(key).lower() if isinstance(key, bool) else str(key): name
            for key, name in labels.items()
        }


class Validate(_Section):
    """What the reviews must fulfil before anything is learnt from them."""

    min_labelled: int = _knob(
        500,
        "fewest labelled reviews in train, and a tenth of it in test",
        "stops a run on a file that was cut short",
        ge=20,
    )
    min_class_share: Real = _knob(
        0.2,
        "smallest share of either class in train and test",
        "stops a run on a file sorted by label and cut",
        ge=0.0,
        le=0.5,
    )
    max_duplicate_share: Real = _knob(
        0.1,
        "largest share of labelled reviews that repeat another",
        "stops a run on a file that was joined twice",
        ge=0.0,
        le=1.0,
    )
    max_characters: int = _knob(
        1000000,
        "longest review in characters",
        "stops a run on a file with lost line breaks",
        ge=100,
    )


class Sequences(_Section):
    """How text becomes token ids."""

    vocabulary_size: int = _knob(
        30000,
        "number of token ids, padding and unknown included; the most frequent words get one",
        "larger: fewer unknown words, more memory, rarer words learnt worse",
        ge=10,
        le=1_000_000,
    )
    min_count: int = _knob(
        2, "fewest occurrences for a word to get an id", "larger: drops typing errors", ge=1
    )
    use_unlabelled: bool = _knob(
        True,
        "count words of the unlabelled reviews too",
        "true: a better estimate of what is frequent",
    )


class WordVectors(_Section):
    """Word vectors from co-occurrence, learnt without labels."""

    size: int = _knob(
        128, "width of a vector", "larger: finer meanings, slower training", ge=2, le=1024
    )
    window: int = _knob(
        5,
        "how many words to the right and left count as context",
        "small: syntax (good, great); large: topic (good, film)",
        ge=1,
        le=20,
    )
    seed: int = _knob(1, "seed of the decomposition", "other bytes, same quality", ge=0, lt=2**31)


class Pretrained(_Section):
    """A language model that the network starts from."""

    model: str | None = _knob(
        None,
        "version of a language model (v0.1.0), or its folder, whose vectors and recurrent weights"
        " the network starts from; null: none",
        "fewer labels are needed; the model must have been trained on the same sequences, with the"
        " same cell, hidden_size and embedding_size",
        min_length=1,
    )
    sha256: str | None = _knob(
        None,
        "SHA-256 of that model's start.npz; a folder, which may change, needs it, a version does not",
        "pins what the training starts from",
        pattern="^[0-9a-f]{64}$",
    )


class Baseline(_Section):
    """The linear model that every figure of ours is shown beside."""

    max_ngram: int = _knob(
        2, "longest run of words that is one feature", "2: word pairs", ge=1, le=3
    )
    min_documents: int = _knob(
        3, "fewest reviews that hold a feature", "larger: fewer features", ge=1
    )
    inverse_regularization: Real = _knob(
        30.0, "C of the logistic regression", "larger: follows the training data closer", gt=0.0
    )


class Training(_Section):
    """How any network is trained."""

    batch_size: int = _knob(
        64,
        "reviews trained on in parallel; typically 32 or 64",
        "larger: faster and stabler steps, fewer of them, more memory",
        ge=1,
        le=65_536,
    )
    epochs: int = _knob(
        2,
        "most passes over the training reviews",
        "more: longer; some thousand reviews need ten, a hundred thousand need two",
        ge=1,
        le=1000,
    )
    patience: int = _knob(
        2,
        "epochs without a better validation loss before training stops",
        "larger: waits longer for a late improvement",
        ge=1,
    )
    optimizer: Literal["adam", "rmsprop", "sgd"] = _knob(
        "adam",
        "how gradients become steps",
        "adam and rmsprop scale each weight's step; sgd does not",
    )
    learning_rate: Real = _knob(
        0.002,
        "step size at the start; typically 0.001",
        "higher: faster and less stable; lower: slower and stabler",
        gt=0.0,
        le=10.0,
    )
    schedule: Literal["constant", "linear"] = _knob(
        "linear",
        "learning rate over training: constant, or falling to zero over all epochs",
        "linear: ends in a better minimum",
    )
    gradient_clip_norm: Real | None = _knob(
        1.0,
        "longest gradient over all weights; a longer one is scaled down; null: never",
        "stops exploding gradients",
        gt=0.0,
    )
    fraction: Real = _knob(
        1.0,
        "share of the training reviews used",
        "for quick tries and learning curves",
        gt=0.0,
        le=1.0,
    )
    seed: int = _knob(
        1, "seed of weights, order and dropout", "another seed shows the noise", ge=0, lt=2**31
    )
    workers: int = _knob(
        1,
        "processes that train together, each on its share of every batch"
        " (docs/parallel-training.md)",
        "more: shorter steps where each has a machine of its own; the same losses, but for rounding"
        " and the masks of dropout",
        ge=1,
        le=1024,
    )


class Recurrence(_Section):
    """The recurrent layers of any network."""

    cell: Literal["simple_rnn", "lstm", "gru"] = _knob(
        "lstm",
        "recurrent cell",
        "simple_rnn forgets (vanishing gradients); lstm and gru keep a gated memory",
    )
    hidden_size: int = _knob(
        64,
        "units in a recurrent layer, a direction; typically 128 to 512, in both directions half",
        "larger: more complex patterns, more cost, more overfitting",
        ge=1,
        le=4096,
    )
    precision: Literal["float32", "mixed_bfloat16"] = _knob(
        "mixed_bfloat16",
        "of the factors in the recurrent layers' products while training; sums and states are"
        " float32 always, and so is all judging",
        "mixed_bfloat16: up to twice as fast where the processor has it, else float32",
    )
    num_layers: int = _knob(
        1,
        "stacked recurrent layers",
        "more: deeper dependencies in time, more regularisation needed",
        ge=1,
        le=8,
    )
    dropout_rate: Real = _knob(
        0.2,
        "fraction of units dropped in training, after each recurrent layer and before the head;"
        " typically 0.2 to 0.5",
        "prevents overfitting",
        ge=0.0,
        lt=1.0,
    )


class Embedding(_Section):
    """How words become vectors in any network that reads text."""

    embedding: Literal["word_vectors", "uniform"] = _knob(
        "word_vectors",
        "start of the embedding: vectors from co-occurrence, or random",
        "word_vectors: knows at once that good is like great",
    )
    embedding_size: int = _knob(
        128, "width of a word's vector", "larger: finer meanings, slower", ge=1, le=1024
    )
    word_dropout_rate: Real = _knob(
        0.2,
        "fraction of words that training reads as nothing, each with its pair (word dropout, Iyyer"
        " et al. 2015)",
        "the strongest brake on learning reviews by heart",
        ge=0.0,
        lt=1.0,
    )
    embedding_dropout_rate: Real = _knob(
        0.4,
        "fraction of the values of a word's vector dropped in training",
        "a brake on overfitting beside word_dropout_rate",
        ge=0.0,
        lt=1.0,
    )


class Train(Training, Embedding, Recurrence):
    """The network and its training."""

    bidirectional: bool = _knob(
        True, "read from both ends", "true: every step knows what follows; twice the cost"
    )
    pooling: Literal["last", "max", "mean", "max_mean"] = _knob(
        "max_mean",
        "how the hidden states of all steps become one vector",
        "last asks the cell to remember a whole review; max and mean look at every step",
    )
    shortcut: bool = _knob(
        True,
        "hand the mean of the vectors of all words and pairs to the head, past the recurrence",
        "true: what single words say need not be carried through time",
    )
    bigram_size: int = _knob(
        16,
        "width of a vector for each pair of neighbouring words, beside the word's own; 0: none",
        "16: tells 'not bad' from 'bad' before the recurrence does; on IMDB worth a point",
        ge=0,
        le=1024,
    )
    bigram_buckets: int = _knob(
        524288,
        "rows that all pairs share by a hash",
        "larger: fewer pairs share a row, a larger model file",
        ge=2,
        le=2**31 - 1,
    )
    sequence_length: int = _knob(
        400,
        "most words of a review that are read",
        "longer: more context and cost, and harder on the gradient",
        ge=1,
        le=100_000,
    )
    padding_side: Literal["right", "left"] = _knob(
        "right",
        "where short reviews are filled up",
        "right is the standing convention; the notebook: left",
    )
    truncation_side: Literal["right", "left"] = _knob(
        "left",
        "which end of a long review is cut off",
        "left keeps the end, where the verdict stands",
    )
    mask: bool = _knob(
        True,
        "skip the padding in recurrence and pooling",
        "false: the padding is read like words (the notebook), and the padded width matters",
    )
    bucket: bool = _knob(
        True,
        "form batches of like length, padded to their longest; false: random batches, each padded"
        " to sequence_length",
        "true: far less padding to compute (it needs mask); false is the notebook's way",
    )
    distillation: bool = _knob(
        True,
        "learn from the unlabelled reviews too, with the baseline's probability as their label"
        " (knowledge distillation, Hinton et al. 2015)",
        "true: on IMDB worth more than a point; of no effect where every review has a label",
    )
    adversarial_norm: Real = _knob(
        0.0,
        "length of the step, over all of a review's word vectors, against which each answer must"
        " hold too (adversarial training, Miyato et al. 2017); 0: none",
        "training takes twice as long and wants many epochs; one at 5 left IMDB far behind",
        ge=0.0,
    )


class Evaluate(_Section):
    """How the figures are taken."""

    bootstrap_samples: int = _knob(
        1000, "resamples behind each interval", "more: steadier bounds", ge=100, le=100_000
    )
    confidence: Real = _knob(
        0.95, "coverage of the intervals", "0.95: wide; 0.68: narrow", gt=0.0, lt=1.0
    )
    mistakes: int = _knob(
        50, "most confident mistakes kept with their text", "never in git, logs or reports", ge=0
    )
    seed: int = _knob(1, "seed of the bootstrap", "other resamples", ge=0, lt=2**31)


class Register(_Section):
    """What a model must show to be registered."""

    min_validation_accuracy: Real = _knob(
        0.85, "least validation accuracy", "the gate every model passes", ge=0.0, le=1.0
    )
    require_better_than_baseline: bool = _knob(
        True,
        "refuse a model that is not better than the linear baseline on validation",
        "false: the baseline is only shown",
    )


class SeriesPrepare(_Section):
    """How a table of a time and numbers is read."""

    time_column: str = _knob(
        "date",
        "column that holds the time; all others must hold numbers",
        "ETTh1: date",
        min_length=1,
    )


class SeriesValidate(_Section):
    """What a series must fulfil before anything is learnt from it."""

    max_deviations: Real = _knob(
        20.0,
        "farthest that a value may lie from its column's mean, in standard deviations",
        "stops a run on a sensor's error value, such as -9999",
        gt=0.0,
    )
    ranges: dict[str, list[Real]] = _knob(
        {},
        "least and largest allowed value of a column, by its name: {OT: [-50, 100]}",
        "stops a run on what cannot be in nature",
    )

    @field_validator("ranges")
    @classmethod
    def _ranges_are_pairs(cls, ranges: dict[str, list[float]]) -> dict[str, list[float]]:
        for name, bounds in ranges.items():
            if len(bounds) != 2 or bounds[0] > bounds[1]:
                raise ValueError(
                    f"validate.ranges.{name} is {bounds}, expected [least, largest] in this order"
                )
        return ranges


class Windows(_Section):
    """How a series is divided in time and cut into windows of a past and a future."""

    train: int | float = _knob(
        8640,
        "steps to learn from, the first ones: a share of the series below 1, else their number",
        "the scaling is taken from them alone; ETTh1: 12 months of 30 days",
        gt=0,
    )
    validation: int | float = _knob(
        2880, "steps after them to choose by, as share or number", "ETTh1: 4 months", gt=0
    )
    test: int | float = _knob(
        2880, "steps after those to judge by, as share or number", "ETTh1: 4 months", gt=0
    )
    look_back: int = _knob(
        720,
        "steps that a forecast is made from",
        "longer: sees more seasons, slower; figures compare only at the same look-back",
        ge=1,
        le=100_000,
    )
    horizons: list[int] = _knob(
        [96, 192, 336, 720],
        "steps ahead that are judged, rising; the network gives as many as the last one says",
        "each is judged on all windows whose targets, so many, lie in the split",
        min_length=1,
    )
    season: int = _knob(
        24, "steps after which the seasonal naive forecast repeats", "hourly data: 24 or 168", ge=1
    )

    @field_validator("horizons")
    @classmethod
    def _horizons_rise(cls, horizons: list[int]) -> list[int]:
        if horizons[0] < 1 or any(a >= b for a, b in itertools.pairwise(horizons)):
            raise ValueError(f"horizons is {horizons}, expected rising numbers from 1 on")
        return horizons

    @model_validator(mode="after")
    def _parts_fit(self) -> "Windows":
        shares = [part for part in (self.train, self.validation, self.test) if part < 1]
        if sum(shares) > 1 + 1e-9:
            raise ValueError(f"the shares train, validation and test are {shares}: more than 1")
        if any(
            not math.isfinite(part) or (part >= 1 and part != int(part))
            for part in (self.train, self.validation, self.test)
        ):
            raise ValueError("train, validation and test: a number of steps is whole")
        if self.season > self.look_back:
            raise ValueError(
                f"season is {self.season}, but look_back only {self.look_back}: raise the second"
            )
        return self


class ForecastTrain(Training, Recurrence):
    """The forecasting network and its training."""

    decoder: Literal["segments", "direct"] = _knob(
        "segments",
        "segments: each column by itself, read and told in segments (after SegRNN, Lin et al."
        " 2023); direct: all columns step by step, the last state gives all steps ahead at once",
        "segments: far better at a long look-back, since the recurrence has few steps",
    )
    segment: int = _knob(
        48,
        "steps in a segment; used by segments only",
        "longer: fewer steps of recurrence, faster; hourly data: 24 or 48",
        ge=1,
        le=10_000,
    )
    cell: Literal["simple_rnn", "lstm", "gru"] = _knob(
        "gru", "kind of recurrent cell", "gru and lstm keep a long past; simple_rnn forgets it"
    )
    hidden_size: int = _knob(
        128,
        "units of each recurrent layer; even",
        "larger: more memory of the past, slower",
        ge=2,
        le=4096,
        multiple_of=2,
    )
    dropout_rate: Real = _knob(
        0.1,
        "share of the last states, and of those between layers, dropped in training",
        "higher: less learnt by heart",
        ge=0.0,
        lt=1.0,
    )
    precision: Literal["float32", "mixed_bfloat16"] = _knob(
        "float32",
        "of the factors in the recurrence's products while training; judging is float32 always",
        "mixed_bfloat16: faster where the processor multiplies it",
    )
    loss: Literal["mae", "mse", "huber"] = _knob(
        "mae",
        "what is made small: distances, their squares, or squares up to 1 and distances beyond",
        "mae: less drawn to outliers; the judges' MSE gains too",
    )
    batch_size: int = _knob(
        128,
        "windows trained on in parallel",
        "larger: faster and stabler steps, fewer of them",
        ge=1,
        le=65_536,
    )
    epochs: int = _knob(8, "most passes over the training windows", "more: longer", ge=1, le=1000)
    patience: int = _knob(
        8,
        "epochs without a better validation figure before training stops",
        "larger: waits longer for a late improvement",
        ge=1,
    )
    learning_rate: Real = _knob(
        0.001,
        "step size at the start",
        "higher: faster and less stable; lower: slower and stabler",
        gt=0.0,
        le=10.0,
    )
    fraction: Real = _knob(
        1.0, "share of the training windows used", "for quick tries", gt=0.0, le=1.0
    )


class ForecastRegister(_Section):
    """What a forecaster must show to be registered."""

    max_validation_mse: Real = _knob(
        1.0,
        "largest mean squared error on validation, scaled, at the shortest horizon",
        "1: as good as knowing each column's mean",
        gt=0.0,
    )
    require_better_than_baseline: bool = _knob(
        True,
        "refuse a model that is not better than the linear forecaster on validation",
        "false: the baseline is only shown",
    )


class ForecastEvaluate(_Section):
    """How the figures of forecasts are taken."""

    bootstrap_samples: int = _knob(
        1000, "resamples behind each interval", "more: steadier bounds", ge=100, le=100_000
    )
    confidence: Real = _knob(
        0.95, "coverage of the intervals", "0.95: wide; 0.68: narrow", gt=0.0, lt=1.0
    )
    seed: int = _knob(1, "seed of the bootstrap", "other resamples", ge=0, lt=2**31)
    examples: int = _knob(3, "windows whose forecasts are drawn", "one row each", ge=1, le=20)


class LinearForecast(_Section):
    """The linear forecaster beside ours, at the same look-back."""

    ridges: list[Annotated[float, Field(strict=False, allow_inf_nan=False, ge=0.0)]] = _knob(
        [1e-06, 0.0001, 0.01, 0.1, 1.0],
        "penalties on the squared weights to choose from, on validation, for each horizon",
        "larger: smoother weights",
        min_length=1,
    )


class LanguageTrain(Training, Embedding, Recurrence):
    """The language model and its training."""

    hidden_size: int = _knob(
        128,
        "units in a recurrent layer, a direction",
        "larger: lower perplexity, more cost; a classifier that starts from it must have the same",
        ge=1,
        le=4096,
    )
    bidirectional: bool = _knob(
        True,
        "learn a second model of the reversed text, with the same word vectors (ELMo, Peters et al."
        " 2018); the perplexity is the forward one's",
        "true: a bidirectional classifier can start from it; twice the cost",
    )
    word_dropout_rate: Real = _knob(
        0.0,
        "fraction of words that training reads as nothing (word dropout, Iyyer et al. 2015)",
        "a brake on learning by heart; of little use where the text is seen few times",
        ge=0.0,
        lt=1.0,
    )
    embedding_dropout_rate: Real = _knob(
        0.0,
        "fraction of the values of a word's vector dropped in training",
        "a brake on overfitting beside word_dropout_rate",
        ge=0.0,
        lt=1.0,
    )
    dropout_rate: Real = _knob(
        0.0,
        "fraction of units dropped in training, after each recurrent layer",
        "prevents overfitting; a small network that sees the text a few times needs none",
        ge=0.0,
        lt=1.0,
    )
    bptt_length: int = _knob(
        64,
        "most steps that a gradient flows back (truncated backpropagation through time); the state"
        " is carried on from window to window",
        "longer: longer dependencies, more memory, fewer steps of the optimizer",
        ge=1,
        le=100_000,
    )
    sampled_words: int = _knob(
        1024,
        "words that a training step tells the right one from, drawn anew each step, frequent ones"
        " more often (sampled softmax, Jean et al. 2015); 0: the whole vocabulary. Judging always"
        " uses the whole",
        "more: a steadier gradient; cost grows with it",
        ge=0,
        le=1_000_000,
    )
    epochs: int = _knob(
        3,
        "most passes over the training reviews",
        "more: longer, lower perplexity until it learns by heart",
        ge=1,
        le=1000,
    )
    learning_rate: Real = _knob(
        0.003,
        "step size at the start",
        "higher: faster and less stable; lower: slower and stabler",
        gt=0.0,
        le=10.0,
    )


class Ngrams(_Section):
    """The n-gram model that a language model's perplexity is shown beside."""

    order: int = _knob(
        4,
        "longest run of words that is counted: the word and what stands before it",
        "larger: lower perplexity with much text, more memory",
        ge=1,
        le=6,
    )


class LanguageEvaluate(_Section):
    """How the figures of a language model are taken."""

    confidence: Real = _knob(
        0.95, "coverage of the intervals", "0.95: wide; 0.68: narrow", gt=0.0, lt=1.0
    )
    bootstrap_samples: int = _knob(
        1000, "resamples of the reviews", "more: steadier bounds", ge=100, le=100_000
    )
    seed: int = _knob(1, "seed of the bootstrap", "other resamples", ge=0, lt=2**31)


class LanguageRegister(_Section):
    """What a language model must show to be registered."""

    max_validation_perplexity: Real = _knob(
        300.0, "largest perplexity on validation", "the gate every model passes", gt=1.0
    )
    require_better_than_baseline: bool = _knob(
        True,
        "refuse a model that is not better than the n-grams on validation",
        "false: the baseline is only shown",
    )


class Params(_Section):
    """The parameters of some problem; the names of the sections are the names of the stages."""

    problem: str
    if TYPE_CHECKING:
        # Sections that stages of several problems read, each with the problem's own knobs.
        download: Any
        train: Any
        evaluate: Any
        register_: Any


class ClassificationParams(Params):
    """The parameters of the sentiment pipeline."""

    problem: Literal["classification"] = _knob(
        "classification", "what is learnt", "chooses data, network and metrics"
    )
    download: Download = Download()
    prepare: Prepare = Prepare()
    validate_: Validate = Field(Validate(), alias="validate")
    sequences: Sequences = Sequences()
    word_vectors: WordVectors = WordVectors()
    pretrained: Pretrained = Pretrained()
    baseline: Baseline = Baseline()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    register_: Register = Field(Register(), alias="register")

    @model_validator(mode="after")
    def _vectors_fit(self) -> "ClassificationParams":
        if (
            self.train.embedding == "word_vectors"
            and self.train.embedding_size > self.word_vectors.size
        ):
            raise ValueError(
                f"train.embedding_size is {self.train.embedding_size}, but word_vectors.size is only"
                f" {self.word_vectors.size}: raise the second, lower the first,"
                " or set train.embedding to uniform"
            )
        return self


class SeriesDownload(_Section):
    """Where the series comes from."""

    source: str = _knob(
        "data/etth1.json",
        "a source's card (data/etth1.json), or a CSV or parquet file of your own, by path or URL",
        "decides which series everything after it sees",
        min_length=1,
    )


class ForecastingParams(Params):
    """The parameters of the forecasting pipeline."""

    problem: Literal["forecasting"] = _knob(
        "forecasting", "what is learnt", "chooses data, network and metrics"
    )
    download: SeriesDownload = SeriesDownload()
    prepare: SeriesPrepare = SeriesPrepare()
    validate_: SeriesValidate = Field(SeriesValidate(), alias="validate")
    windows: Windows = Windows()
    baseline: LinearForecast = LinearForecast()
    train: ForecastTrain = ForecastTrain()
    evaluate: ForecastEvaluate = ForecastEvaluate()
    register_: ForecastRegister = Field(ForecastRegister(), alias="register")

    @model_validator(mode="after")
    def _segment_fits(self) -> "ForecastingParams":
        if self.train.decoder == "segments" and self.train.segment > self.windows.look_back:
            raise ValueError(
                f"train.segment is {self.train.segment}, but windows.look_back only"
                f" {self.windows.look_back}: lower the first, raise the second,"
                " or set train.decoder to direct"
            )
        return self


class LanguageModelParams(Params):
    """The parameters of the language-model pipeline; the root pipeline makes its sequences."""

    problem: Literal["language_model"] = _knob(
        "language_model", "what is learnt", "chooses data, network and metrics"
    )
    baseline: Ngrams = Ngrams()
    train: LanguageTrain = LanguageTrain()
    evaluate: LanguageEvaluate = LanguageEvaluate()
    register_: LanguageRegister = Field(LanguageRegister(), alias="register")


# What a parameter file names under `problem`, and who checks it.
PARAMS: Mapping[str, type[Params]] = {
    "classification": ClassificationParams,
    "language_model": LanguageModelParams,
    "forecasting": ForecastingParams,
}


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check a parameter file.

    Raises:
        ParameterError: the file is missing or no YAML mapping, or a value is not allowed.
    """
    return check_params(read_values(path), str(path))


def merge_params(
    base: Path, overrides: Mapping[str, Any], out: Path, name: str = "overrides"
) -> Params:
    """Write ``base`` with the values of ``overrides`` in their place, checked, to ``out``.

    Args:
        base: a parameter file.
        overrides: sections with what differs.
        out: the file to write.
        name: what an error calls the overrides.

    Raises:
        ParameterError: as :func:`load_params`, also for a key of the overrides.
    """
    values = read_values(base)
    for section, changes in overrides.items():
        if isinstance(changes, dict) and isinstance(values.get(section), dict):
            values[section] |= changes
        else:
            values[section] = changes
    params = check_params(values, name)
    with atomic_file(out) as partial:
        partial.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return params


def read_values(path: Path) -> dict[str, Any]:
    """Read a parameter file, whole or only of what differs, as it stands: unchecked.

    Raises:
        ParameterError: the file is missing or no YAML mapping.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParameterError(
            f"{path} is not here: run rnnpipe in the project's folder, where params.yaml lies"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ParameterError(f"{path}: found {type(values).__name__}, expected sections with keys")
    return values


def check_params(values: dict[str, Any], name: str = "parameters") -> Params:
    """Check a mapping of sections and return it typed.

    Raises:
        ParameterError: one line for each fault, with the nearest known name of an unknown key.
    """
    kind = _kind_of(values, name)
    old = values.get("problem")
    if isinstance(old, str) and (new := problem_named(old)) != old:
        if old not in _WARNED:
            _WARNED.add(old)
            logger.warning("%s: problem: %s is called %s now: write that", name, old, new)
        values = {**values, "problem": new}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = "\n".join(f"{name}: {_sentence(kind, fault)}" for fault in error.errors())
        raise ParameterError(faults) from None


def _kind_of(values: Mapping[str, Any], name: str) -> type[Params]:
    problem = values.get("problem", "classification")
    kind = PARAMS.get(problem_named(problem)) if isinstance(problem, str) else None
    if kind is None:
        known = ", ".join(PARAMS)
        raise ParameterError(f"{name}: problem is {problem!r}, expected one of: {known}")
    return kind


def _sentence(kind: type[Params], fault: Any) -> str:
    location = [str(part) for part in fault["loc"]]
    key = ".".join(location)
    match fault["type"]:
        case "extra_forbidden":
            known = _known_keys(kind, location[:-1])
            near = difflib.get_close_matches(location[-1], known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            return f"{key} is no parameter; {hint}"
        case "missing":
            return f"{key} is missing"
        case "value_error":
            return str(fault["ctx"]["error"])
        case _:
            return f"{key} is {fault['input']!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _known_keys(kind: type[Params], location: list[str]) -> list[str]:
    if not location:
        return [field.alias or name for name, field in kind.model_fields.items()]
    section = _sections(kind).get(location[0])
    return list(section.model_fields) if section else []


def _sections(kind: type[Params]) -> dict[str, type[_Section]]:
    return {
        field.alias or name: field.annotation
        for name, field in kind.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, _Section)
    }


@dataclass(frozen=True)
class Description:
    """What a person wants to know of a parameter."""

    name: str
    default: Any
    allowed: str
    meaning: str
    impact: str


def describe_params(kind: type[Params] = ClassificationParams) -> Iterator[Description]:
    """Describe every parameter of a problem, by its dotted name, in the order of the file."""
    yield _describe("problem", kind.model_fields["problem"])
    for section_name, section in _sections(kind).items():
        for key, field in section.model_fields.items():
            yield _describe(f"{section_name}.{key}", field)


def _describe(name: str, field: FieldInfo) -> Description:
    extra = field.json_schema_extra
    impact = str(extra["impact"]) if isinstance(extra, dict) else ""
    return Description(name, field.default, _allowed(field), field.description or "", impact)


def _allowed(field: FieldInfo) -> str:
    """What a parameter may be, as a person writes it: ``lstm | gru``, ``int >= 1, <= 4096``."""
    optional = get_origin(field.annotation) is UnionType
    kinds = map(_kind, get_args(field.annotation) if optional else [field.annotation])
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [
        f"{signs[name]} {getattr(bound, name):g}"
        for bound in field.metadata
        for name in signs
        if hasattr(bound, name)
    ]
    return ", ".join([" ".join([" | ".join(kinds), *bounds[:1]]), *bounds[1:]])


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " | ".join(map(str, get_args(annotation)))
    if get_origin(annotation) is dict:
        return "mapping"
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    return {type(None): "null", str: "text"}.get(annotation) or annotation.__name__
