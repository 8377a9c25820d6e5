"""The folder in which a sentiment model is registered."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rnnpipe.errors import printable
from rnnpipe.problems.classification.classes import classes_of
from rnnpipe.problems.classification.files import (
    NETWORK,
    PREDICTIONS,
    REPORTS,
    REVIEWS,
    SEQUENCES,
)
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.registry.card import card
from rnnpipe.registry.decision import Lineage
from rnnpipe.registry.folder import assemble, write_predictions
from rnnpipe.storage.files import read_json
from rnnpipe.storage.paths import paths_of
from rnnpipe.text.batching import Padding

_FIGURES = (
    *("accuracy", "precision", "recall", "f1", "auc_roc", "loss"),
    *("precision_weighted", "recall_weighted", "f1_weighted"),
    *("mean_absolute_error", "quadratic_kappa"),
)
_MOST_NAMED = 20


def assemble_model(params: ClassificationParams, lineage: Lineage) -> str:
    """Write ``models/sentiment`` and return its SHA-256."""
    predictions = PREDICTIONS / "validation.parquet"
    classes = classes_of(SEQUENCES / "index.parquet")
    metrics = read_json(REPORTS / "metrics.json")
    two = len(classes) == 2
    return assemble(
        paths_of("classification").model,
        files={
            "network.keras": NETWORK / "network.keras",
            "network.onnx": NETWORK / "network.onnx",
            "vocabulary.json": SEQUENCES / "vocabulary.json",
            "metrics.json": REPORTS / "metrics.json",
        },
        params={"problem": "classification", "label_names": list(classes)}
        | params.model_dump(mode="json", include={"sequences", "train"})
        | {"padding": asdict(Padding.of(params.train))},
        card=card(
            "sentiment",
            _summary(classes),
            "a linear model on runs of words",
            [name for name in _FIGURES if name in metrics],
            metrics,
            lineage,
            use="Labelling texts of the kind, language and length it was trained on, many at a"
            " time, where one wrong label does little harm.",
            limits=(
                "It knows the words in `vocabulary.json`; every other word is one and the same to"
                " it.",
                f"It reads at most {params.train.sequence_length} words of a text.",
                *_of_sentences(metrics),
                "It has only ever seen two labels: a neutral text gets one of them as well."
                if two
                else f"It has only ever seen these {len(classes)} labels: a text that fits none of"
                " them gets one as well.",
                "Irony, and texts about another subject than those of the training data, mislead"
                " it.",
            ),
            loading='    rnnpipe predict --model PATH "text"\n\n'
            'or, in Python, `rnnpipe.load_model(PATH).predict(["text"])`, where PATH is this'
            " folder. Both use `network.onnx`, which any ONNX runtime computes: `token_ids`,"
            " `int32[batch, time]`, to "
            + (
                "`logit`, `float32[batch]`."
                if two
                else f"`logits`, `float32[batch, {len(classes)}]`, in the order of `label_names` in"
                " `params.json`; a softmax makes them probabilities."
            ),
        ),
        scores=lambda target: write_predictions(target, predictions, REVIEWS),
    )


def _of_sentences(metrics: Mapping[str, Any]) -> Iterator[str]:
    """A sentence on single sentences, where they were judged."""
    validation = metrics["validation"]
    if sentences := validation.get("sentences"):
        yield (
            "The fewer words, the less they tell: asked about single sentences of validation it names"
            f" the label of the whole text in {100 * sentences['accuracy']:.1f} % (expected"
            f" calibration error {sentences['ece']:.3f}, of whole texts {validation['ece']:.3f})."
        )


def _summary(classes: Sequence[str]) -> str:
    """What the model is, in a sentence with the names of its labels, or the first of many."""
    begin = "A recurrent neural network that reads a text and answers with one of"
    named = [_as_code(name) for name in classes[:_MOST_NAMED]]
    if len(classes) == 2:
        first, second = named
        return f"{begin} two labels, {first} or {second}, and the probability of {second}."
    more = len(classes) - len(named)
    others = [f"{more} more (`params.json` names all)"] if more else []
    told = ", ".join([*named, *others])
    return (
        f"{begin} {len(classes)} labels and the probability of each: {told}. Precision, recall and"
        " F1 are means over the labels, AUC over each against the rest."
    )


def _as_code(name: str) -> str:
    """A name that somebody else chose as code in Markdown, between more backticks than it has.

    >>> _as_code("pos"), _as_code("a`b")
    ('`pos`', '`` a`b ``')
    """
    shown = printable(name)
    longest = max(map(len, re.findall("`+", shown)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{space}{shown}{space}{fence}"
