"""The parameters of classification, a section a stage."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from rnnpipe.config.load import Params
from rnnpipe.config.section import Real, Section, Source, knob
from rnnpipe.config.table import CsvKeys
from rnnpipe.config.text import Sequences
from rnnpipe.config.training import Embedding, Recurrence, Training
from rnnpipe.errors import quoted

LONGEST_NAME = 200  # of a class, in characters: more is no label but a text


class Download(Section):
    """Where the reviews come from."""

    source: Source = knob(
        "data/imdb.json",
        "a source's card (data/imdb.json), a table of your own by path or URL, or a folder of tables or"
        " of texts by class",
        "decides which reviews everything after it sees",
        min_length=1,
    )


class Prepare(CsvKeys):
    """How a table of your own is read; an archive in the IMDB layout needs none of it."""

    text_column: str = knob("text", "column that holds the text", "own tables only", min_length=1)
    label_column: str = knob(
        "label",
        "column that holds the label; empty cells are unlabelled",
        "own tables only",
        min_length=1,
    )
    split_column: str | None = knob(
        None,
        "column with train, test or unlabelled; null: one row in five becomes test, by a fixed hash",
        "own tables only; a split of your own keeps results comparable",
    )
    group_column: str | None = knob(
        None,
        "column that ties rows together (film, author, product); without a split column a group never spans two splits",
        "own tables only; without it near-copies may leak from train into validation and test",
    )
    labels: dict[str, str | None] | None = knob(
        None,
        "which label value belongs to which class, in any words ({good: pos, bad: neg}); a value"
        " mapped to null leaves its rows out; null: each label found is a class",
        "own tables only; the order of the classes is the one in which they are first named",
    )

    @model_validator(mode="after")
    def _each_column_has_one_role(self) -> "Prepare":
        roles: dict[str, str] = {}
        for role in ("text_column", "label_column", "split_column", "group_column"):
            name = getattr(self, role)
            if name is not None and (other := roles.setdefault(name, role)) != role:
                raise ValueError(
                    f"prepare.{other} and prepare.{role} are both {quoted(name)}, expected a column for"
                    " each: name another"
                )
        return self

    @field_validator("labels", mode="before")
    @classmethod
    def _labels_are_text(cls, labels: Any) -> Any:
        """YAML reads 1 and true as no text; a label in a file is always text."""
        if not isinstance(labels, dict):
            return labels
        return {
            str(key).lower() if isinstance(key, bool) else str(key): _as_text(name)
            for key, name in labels.items()
        }

    @field_validator("labels")
    @classmethod
    def _labels_name_classes(cls, labels: dict[str, str | None] | None) -> Any:
        if labels is None:
            return labels
        names = {name for name in labels.values() if name is not None}
        if not labels or len(names) == 1:
            raise ValueError(
                f"prepare.labels names {quoted(names.pop()) + ' alone' if names else 'nothing'},"
                " expected two classes or more, or null for the labels as they stand in the table"
            )
        for name in names:
            if not 0 < len(name) <= LONGEST_NAME:
                raise ValueError(
                    f"prepare.labels names a class {quoted(name)}, expected 1 to {LONGEST_NAME}"
                    " characters: give it a short name"
                )
        return labels


def _as_text(name: Any) -> Any:
    """The name of a class that YAML reads as a number or a truth, as text."""
    if isinstance(name, bool):
        return str(name).lower()
    if isinstance(name, float) and name.is_integer():
        return str(int(name))
    return str(name).strip() if isinstance(name, int | float | str) else name


class Validate(Section):
    """What the reviews must fulfil before anything is learnt from them."""

    min_labelled: int = knob(
        20,
        "fewest labelled reviews in train, and a tenth of it in test",
        "stops a run on a file that was cut short",
        ge=2,
    )
    min_class_share: Real = knob(
        0.2,
        "smallest share of any class in train and test, counted against an even share: of two"
        " classes 0.2 means a tenth of the reviews, of five a twenty-fifth",
        "stops a run on a file sorted by label and cut; lower it for classes that are rare",
        ge=0.0,
        le=1.0,
    )
    max_duplicate_share: Real = knob(
        0.1,
        "largest share of labelled reviews that repeat another",
        "stops a run on a file that was joined twice",
        ge=0.0,
        le=1.0,
    )
    max_characters: int = knob(
        1000000,
        "longest review in characters",
        "stops a run on a file with lost line breaks",
        ge=100,
    )


class WordVectors(Section):
    """Word vectors from co-occurrence, learnt without labels."""

    size: int = knob(
        128, "width of a vector", "larger: finer meanings, slower training", ge=2, le=1024
    )
    window: int = knob(
        5,
        "how many words to the right and left count as context",
        "small: syntax (good, great); large: topic (good, film)",
        ge=1,
        le=20,
    )
    seed: int = knob(1, "seed of the decomposition", "other bytes, same quality", ge=0, lt=2**31)


class Pretrained(Section):
    """A language model that the network starts from."""

    model: str | None = knob(
        None,
        "version of a language model (v0.1.0), or its folder, whose vectors and recurrent weights"
        " the network starts from; null: none",
        "fewer labels are needed; the model must have been trained on the same sequences, with the"
        " same cell, hidden_size and embedding_size",
        min_length=1,
    )
    sha256: str | None = knob(
        None,
        "SHA-256 of that model's start.npz; a folder, which may change, needs it, a version does not",
        "pins what the training starts from",
        pattern="^[0-9a-f]{64}$",
    )


class Baseline(Section):
    """The linear model that every figure of ours is shown beside."""

    max_ngram: int = knob(
        2, "longest run of words that is one feature", "2: word pairs", ge=1, le=3
    )
    min_documents: int = knob(
        3, "fewest reviews that hold a feature", "larger: fewer features", ge=1
    )
    inverse_regularization: Real = knob(
        30.0, "C of the logistic regression", "larger: follows the training data closer", gt=0.0
    )


class Train(Training, Embedding, Recurrence):
    """The network and its training."""

    bidirectional: bool = knob(
        True, "read from both ends", "true: every step knows what follows; twice the cost"
    )
    pooling: Literal["last", "max", "mean", "max_mean"] = knob(
        "max_mean",
        "how the hidden states of all steps become one vector",
        "last asks the cell to remember a whole review; max and mean look at every step",
    )
    shortcut: bool = knob(
        True,
        "hand the mean of the vectors of all words and pairs to the head, past the recurrence",
        "true: what single words say need not be carried through time",
    )
    bigram_size: int = knob(
        16,
        "width of a vector for each pair of neighbouring words, beside the word's own; 0: none",
        "16: tells 'not bad' from 'bad' before the recurrence does; on IMDB worth a point",
        ge=0,
        le=1024,
    )
    bigram_buckets: int = knob(
        524288,
        "rows that all pairs share by a hash",
        "larger: fewer pairs share a row, a larger model file",
        ge=2,
        le=2**31 - 1,
    )
    sequence_length: int = knob(
        400,
        "most words of a review that are read",
        "longer: more context and cost, and harder on the gradient",
        ge=1,
        le=100_000,
    )
    padding_side: Literal["right", "left"] = knob(
        "right",
        "where short reviews are filled up",
        "right is the standing convention; the notebook: left",
    )
    truncation_side: Literal["right", "left"] = knob(
        "left",
        "which end of a long review is cut off",
        "left keeps the end, where the verdict stands",
    )
    mask: bool = knob(
        True,
        "skip the padding in recurrence and pooling",
        "false: the padding is read like words (the notebook), and the padded width matters",
    )
    bucket: bool = knob(
        True,
        "form batches of like length, padded to their longest; false: random batches, each padded"
        " to sequence_length",
        "true: far less padding to compute (it needs mask); false is the notebook's way",
    )
    distillation: bool = knob(
        True,
        "learn from the unlabelled reviews too, with the baseline's probability as their label"
        " (knowledge distillation, Hinton et al. 2015)",
        "true: on IMDB worth more than a point; of no effect where every review has a label",
    )
    adversarial_norm: Real = knob(
        0.0,
        "length of the step, over all of a review's word vectors, against which each answer must"
        " hold too (adversarial training, Miyato et al. 2017); 0: none",
        "training takes twice as long and wants many epochs; one at 5 left IMDB far behind",
        ge=0.0,
    )
    class_weight: Literal["none", "balanced"] = knob(
        "none",
        "what counts alike in the loss: none: every text; balanced: every class, however few texts"
        " it has",
        "balanced: rare classes are found more often, at the price of false alarms, and"
        " probabilities are those of classes that are evenly frequent",
    )


class Evaluate(Section):
    """How the figures are taken."""

    bootstrap_samples: int = knob(
        1000, "resamples behind each interval", "more: steadier bounds", ge=100, le=100_000
    )
    confidence: Real = knob(
        0.95, "coverage of the intervals", "0.95: wide; 0.68: narrow", gt=0.0, lt=1.0
    )
    mistakes: int = knob(
        50, "most confident mistakes kept with their text", "never in git, logs or reports", ge=0
    )
    seed: int = knob(1, "seed of the bootstrap", "other resamples", ge=0, lt=2**31)


class Register(Section):
    """What a model must show to be registered."""

    min_validation_accuracy: Real | None = knob(
        None,
        "least validation accuracy; null: a quarter of the way from always naming the largest class"
        " to naming every one rightly",
        "the gate every model passes",
        ge=0.0,
        le=1.0,
    )
    require_better_than_baseline: bool = knob(
        True,
        "refuse a model that is behind the linear baseline on validation by more than chance explains",
        "false: the baseline is only shown",
    )


class ClassificationParams(Params):
    """The parameters of the sentiment pipeline."""

    problem: Literal["classification"] = knob(
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


PARAMS = ClassificationParams  # by this name the parameter file's reader finds them
