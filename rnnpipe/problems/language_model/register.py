"""The folder in which a language model is registered."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rnnpipe.problems.language_model.files import (
    LOSSES,
    MIXTURE,
    NETWORK,
    NGRAMS,
    REPORTS,
    SEQUENCES,
)
from rnnpipe.problems.language_model.params import LanguageModelParams
from rnnpipe.registry.card import card
from rnnpipe.registry.decision import Lineage
from rnnpipe.registry.folder import assemble
from rnnpipe.storage.files import atomic_file, read_json
from rnnpipe.storage.paths import paths_of
from rnnpipe.text.fingerprint import vocabulary_fingerprint
from rnnpipe.text.sequences import open_sequences
from rnnpipe.text.vocabulary import Vocabulary


def assemble_model(params: LanguageModelParams, lineage: Lineage) -> str:
    """Write ``models/language_model`` and return its SHA-256."""
    metrics = read_json(REPORTS / "metrics.json")
    return assemble(
        paths_of("language_model").model,
        files={
            "network.keras": NETWORK / "network.keras",
            "network.onnx": NETWORK / "network.onnx",
            "start.npz": NETWORK / "start.npz",
            "ngrams.npz": NGRAMS,
            "mixture.json": MIXTURE,
            "vocabulary.json": SEQUENCES / "vocabulary.json",
            "metrics.json": REPORTS / "metrics.json",
        },
        params={"problem": "language_model", "train": params.train.model_dump(mode="json")},
        card=card(
            "language_model",
            "A recurrent neural network that reads a text word by word and tells what comes next,"
            f" alone and mixed: {_parts(metrics)}.",
            f"n-grams of up to {params.baseline.order} words, modified Kneser-Ney smoothing",
            ("perplexity", "perplexity_mixed", "bits_per_character", "unknown_share", "words"),
            metrics,
            lineage,
            use="Starting another network from it, judging how usual a text is, and playing.",
            limits=(
                "It knows the words in `vocabulary.json`; every other word is one and the same to"
                " it, and counts as one word in its perplexity.",
                "Words are in lower case, without punctuation. A perplexity compares only with one"
                " for the same words; bits a character leave out what the spelling of an unknown"
                " word would cost.",
                "It tells what people write, not what is true; what it generates may hurt.",
            ),
            loading='    rnnpipe generate --model PATH "The film"\n\n'
            "`network.onnx` computes it: `token_ids`, `int32[batch, time]`, and `state` to"
            " `logits`, `float32[batch, vocabulary_size]`, and `state_after`. `ngrams.npz` and"
            " `mixture.json` are what it is mixed with (`rnnpipe generate --mixed`).",
        ),
        scores=_write_scores,
    )


def _parts(metrics: Mapping[str, Any]) -> str:
    """Say what the parts of the mixture weigh in the mean."""
    weights = metrics["validation"]["mixture"]
    described = (
        ("network", "the network"),
        ("ngrams", "n-grams, without the longest runs that were met but once"),
        ("cache", "the text's own words so far"),
    )
    return ", ".join(f"{what} {weights[f'{name}_weight']:.1%}" for name, what in described)


def _write_scores(target: Path) -> None:
    """Write the loss a word of each film's validation reviews, which are alike in what they say.

    Two models meet in a film where both were to predict the very same ids of one vocabulary.
    """
    losses = pq.read_table(LOSSES / "validation.parquet").to_pandas()
    index, sequences = open_sequences(SEQUENCES)
    films = pq.read_table(SEQUENCES / "index.parquet", columns=["film"])["film"].to_pandas()
    vocabulary = vocabulary_fingerprint(Vocabulary.load(SEQUENCES / "vocabulary.json"))
    # A review without a film stands for itself.
    losses["film"] = films.iloc[losses["row"]].fillna(index["id"]).to_numpy()
    rows = []
    for film, part in losses.groupby("film", sort=True):
        truth = sha256(vocabulary.encode())
        for row in part["row"]:
            truth.update(sequences[row].tobytes() + b"\0")
        rows.append((str(film), truth.hexdigest(), float(part["nats"].sum() / part["words"].sum())))
    names = ("id", "truth_sha256", "loss")
    table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    with atomic_file(target) as partial:
        pq.write_table(table, partial, compression="zstd")
