"""The folder in which a sentiment model is registered."""

from dataclasses import asdict

from rnnpipe.files import read_json
from rnnpipe.params import SentimentParams
from rnnpipe.places import places_of
from rnnpipe.registry import Lineage, assemble, classifier_card, write_predictions
from rnnpipe.sentiment.files import LABEL_NAMES, NETWORK, PREDICTIONS, REPORTS, REVIEWS, SEQUENCES
from rnnpipe.sequences import Padding


def assemble_model(params: SentimentParams, lineage: Lineage) -> str:
    """Write ``models/sentiment`` and return its SHA-256."""
    predictions = PREDICTIONS / "validation.parquet"
    card = classifier_card(
        LABEL_NAMES,
        params.train.sequence_length,
        read_json(REPORTS / "metrics.json"),
        lineage,
    )
    return assemble(
        places_of("sentiment").model,
        files={
            "network.keras": NETWORK / "network.keras",
            "network.onnx": NETWORK / "network.onnx",
            "vocabulary.json": SEQUENCES / "vocabulary.json",
            "metrics.json": REPORTS / "metrics.json",
        },
        params={"problem": "sentiment", "label_names": list(LABEL_NAMES)}
        | params.model_dump(mode="json", include={"sequences", "train"})
        | {"padding": asdict(Padding.of(params.train))},
        card=card,
        scores=lambda target: write_predictions(target, predictions, REVIEWS),
    )
