"""The folder in which a sentiment model is registered."""

from dataclasses import asdict

from rnnpipe.problems.classification.files import (
    LABEL_NAMES,
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


def assemble_model(params: ClassificationParams, lineage: Lineage) -> str:
    """Write ``models/sentiment`` and return its SHA-256."""
    predictions = PREDICTIONS / "validation.parquet"
    return assemble(
        paths_of("classification").model,
        files={
            "network.keras": NETWORK / "network.keras",
            "network.onnx": NETWORK / "network.onnx",
            "vocabulary.json": SEQUENCES / "vocabulary.json",
            "metrics.json": REPORTS / "metrics.json",
        },
        params={"problem": "classification", "label_names": list(LABEL_NAMES)}
        | params.model_dump(mode="json", include={"sequences", "train"})
        | {"padding": asdict(Padding.of(params.train))},
        card=card(
            "sentiment",
            "A recurrent neural network that reads a text and answers with one of two labels,"
            f" `{LABEL_NAMES[0]}` or `{LABEL_NAMES[1]}`, and the probability of `{LABEL_NAMES[1]}`.",
            "a linear model on runs of words",
            ("accuracy", "precision", "recall", "f1", "auc_roc", "loss"),
            read_json(REPORTS / "metrics.json"),
            lineage,
            use="Labelling texts of the kind, language and length it was trained on, many at a"
            " time, where one wrong label does little harm.",
            limits=(
                "It knows the words in `vocabulary.json`; every other word is one and the same to"
                " it.",
                f"It reads at most {params.train.sequence_length} words of a text.",
                "It has only ever seen two labels: a neutral text gets one of them as well.",
                "Irony, and texts about another subject than those of the training data, mislead"
                " it.",
            ),
            loading='    rnnpipe predict --model PATH "text"\n\n'
            'or, in Python, `rnnpipe.load_model(PATH).predict(["text"])`, where PATH is this'
            " folder. Both use `network.onnx`, which any ONNX runtime computes: `token_ids`,"
            " `int32[batch, time]`, to `logit`, `float32[batch]`.",
        ),
        scores=lambda target: write_predictions(target, predictions, REVIEWS),
    )
