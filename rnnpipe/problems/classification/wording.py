"""How the reports of classification speak."""

from collections.abc import Mapping
from typing import Any

from rnnpipe.metrics.classification import IMBALANCED
from rnnpipe.reporting.story import mapping
from rnnpipe.reporting.wording import Wording


def _first_picture(metrics: Mapping[str, Any]) -> str | None:
    """Where one class is far larger, accuracy and ROC flatter; precision and recall do not."""
    share = mapping(mapping(metrics.get("validation")).get("largest_class")).get("share")
    skewed = isinstance(share, float) and share > IMBALANCED
    return "precision_recall" if skewed else None


WORDING = Wording(
    counted="reviews",
    baseline="linear baseline",
    described="logistic regression on runs of words",
    metrics={
        "accuracy": ("Accuracy", True),
        "precision": ("Precision", True),
        "recall": ("Recall", True),
        "f1": ("F1", True),
        "auc_roc": ("AUC", True),
        "loss": ("Log loss", False),
        "calibration_error": ("Calibration error", False),
        "ece": ("Calibration error", False),
        "precision_weighted": ("Precision, weighted", True),
        "recall_weighted": ("Recall, weighted", True),
        "f1_weighted": ("F1, weighted", True),
        "mean_absolute_error": ("Mean absolute error", False),
        "quadratic_kappa": ("Quadratic kappa", True),
    },
    gates={
        "validation_accuracy": "Accuracy on validation",
        "chance_against_largest_class": "Chance that always naming the largest class does as well",
        "every_class_called": "Names every class at least once",
        "suite_reviews": "Expectations on the reviews",
        "suite_sequences": "Expectations on the sequences",
    },
    advice={
        "validation_accuracy": "As long as the loss on validation still falls at the end of"
        " training, train longer (train.epochs); else give it more texts, unlabelled ones too, or a"
        " language model to start from (pretrained.model); data/predictions/mistakes.csv says what"
        " it gets wrong.",
        "chance_against_largest_class": "On so few texts the network is no better than who always"
        " names the largest class: give it more texts of the smaller classes, and see whether the"
        " labels can be told from the texts at all (the linear baseline says so, too).",
        "every_class_called": "Have rare classes count as much as frequent ones"
        " (train.class_weight: balanced), give more texts of the class that is never named, or"
        " merge it with another (prepare.labels).",
        "suite_reviews": "Mend the rows that reports/validation.json names.",
        "suite_sequences": "Mend what reports/validation_sequences.json names.",
    },
    warnings={
        "has_words": "Nothing can be learnt from such a review.",
        "no_replacement_characters": "The file was decoded wrongly before it came here; the words"
        " around such a place are lost.",
        "no_control_characters": "Most of them are Windows punctuation that was decoded as Latin-1;"
        " they part words as a space does.",
        "no_duplicates_across_splits": "The sequences stage drops these from train, so that no test"
        " review was seen in training.",
        "no_film_in_train_and_test": "The test split comes with the source and is kept as it is; a"
        " model that knows a film by name may do a little better on these.",
        "few_unknown_words_in_train": "The vocabulary is small for these texts: raise"
        " sequences.vocabulary_size.",
        "few_unknown_words_in_validation": "Validation uses other words than train: its figures"
        " will be lower.",
        "few_unknown_words_in_test": "Test uses other words than train: its figures will be lower.",
    },
    captions={
        "confusion": (
            "Confusion matrix",
            "Rows are the truth; the shares of a row make 100 %. Of more than twenty classes: those"
            " that are taken for one another most often.",
        ),
        "roc": (
            "ROC",
            "The further into the upper left corner, the better; of more than two classes each is"
            " told from the rest.",
        ),
        "precision_recall": (
            "Precision and recall",
            "What either costs when the other is raised. Where one class is far larger than the"
            " others, this says more than accuracy and ROC do.",
        ),
        "calibration": ("Calibration", "On the dotted line a probability means what it says."),
        "accuracy_by_length": (
            "Accuracy by length",
            "Whether long reviews are harder than short.",
        ),
        "gradient_flow": (
            "Gradient flow",
            "How much each hidden state moves the loss. A line that falls to the left: the words"
            " far from the end teach the network nothing.",
        ),
    },
    lineage={
        "reviews": "Table of reviews",
        "word_vectors": "Word vectors",
        "pretrained": "Language model to start from",
        "sequences": "Sequences and vocabulary",
    },
    dropped={
        "dropped_train_in_test": "from train: the same text stands in test",
        "dropped_train_contradicting": "from train: one text with two labels",
        "dropped_train_repeated": "from train: the text stands there already",
        "dropped_train_read_alike": "from train: with unknown words left out, it stands in"
        " validation or test",
        "dropped_unlabelled_in_test": "from unlabelled: the same text stands in test",
        "dropped_unlabelled_in_validation": "from unlabelled: its text or film is in validation",
        "dropped_unlabelled_in_train": "from unlabelled: the same text stands in train",
        "dropped_unlabelled_repeated": "from unlabelled: the text stands there already",
    },
    first_picture=_first_picture,
)
