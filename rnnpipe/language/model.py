"""The folder in which a language model is registered."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rnnpipe.files import atomic_file, read_json
from rnnpipe.language.files import LOSSES, NETWORK, REPORTS, REVIEWS, SEQUENCES
from rnnpipe.params import LanguageModelParams
from rnnpipe.places import places_of
from rnnpipe.registry import Lineage, assemble, card, text_hashes
from rnnpipe.sequences import open_sequences


def assemble_model(params: LanguageModelParams, lineage: Lineage) -> str:
    """Write ``models/language_model`` and return its SHA-256."""
    return assemble(
        places_of("language_model").model,
        files={
            "network.keras": NETWORK / "network.keras",
            "network.onnx": NETWORK / "network.onnx",
            "start.npz": NETWORK / "start.npz",
            "vocabulary.json": SEQUENCES / "vocabulary.json",
            "metrics.json": REPORTS / "metrics.json",
        },
        params={"problem": "language_model", "train": params.train.model_dump(mode="json")},
        card=card(
            "language_model",
            "A recurrent neural network that reads a text word by word and tells what comes next.",
            f"n-grams of up to {params.baseline.order} words, modified Kneser-Ney smoothing",
            ("perplexity", "bits_per_character", "unknown_share", "words"),
            read_json(REPORTS / "metrics.json"),
            lineage,
            use="Starting another network from it, judging how usual a text is, and playing.",
            limits=(
                "It knows the words in `vocabulary.json`; every other word is one and the same to"
                " it, and counts as one word in its perplexity.",
                "Words are in lower case, without punctuation. A perplexity compares only with one"
                " for the same words.",
                "It tells what people write, not what is true; what it generates may hurt.",
            ),
            loading='    rnnpipe generate --model PATH "The film"\n\n'
            "`network.onnx` computes it: `token_ids`, `int32[batch, time]`, and `state` to"
            " `logits`, `float32[batch, vocabulary_size]`, and `state_after`.",
        ),
        scores=_write_scores,
    )


def _write_scores(target: Path) -> None:
    """Write the loss a word of each validation text, with the hash of its text."""
    losses = pq.read_table(LOSSES / "validation.parquet")
    index, _ = open_sequences(SEQUENCES)
    ids = pa.array(index["id"].iloc[losses["row"].to_numpy()].tolist(), pa.string())
    table = pa.table(
        {
            "id": ids,
            "truth_sha256": text_hashes(ids, REVIEWS),
            "loss": pc.divide(losses["nats"], losses["words"]).combine_chunks(),
        }
    )
    with atomic_file(target) as partial:
        pq.write_table(table.sort_by("id"), partial, compression="zstd")
