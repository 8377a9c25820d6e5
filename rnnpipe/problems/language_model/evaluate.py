"""Perplexity and what goes with it; this alone opens the test split."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rnnpipe.metrics.perplexity import LogLoss
from rnnpipe.networks.saving import load_network
from rnnpipe.problems.language_model.files import (
    BASELINE,
    LOSSES,
    NETWORK,
    REPORTS,
    REVIEWS,
    SEQUENCES,
    open_texts,
)
from rnnpipe.problems.language_model.judging import judge_texts
from rnnpipe.problems.language_model.network import LanguageModel
from rnnpipe.problems.language_model.params import LanguageEvaluate, LanguageModelParams
from rnnpipe.reporting.plots import draw_training
from rnnpipe.storage.files import atomic_directory, read_json
from rnnpipe.text.sequences import open_sequences
from rnnpipe.text.tokens import UNKNOWN_ID, Ragged, count_characters, split_words_in_chunks


def evaluate(params: LanguageModelParams) -> Mapping[str, Any]:
    """Judge the network and the n-grams on the same words, draw, and lay figures out."""
    sequences, rows = open_texts()
    network: LanguageModel = load_network(NETWORK / "network.keras")
    theirs = pq.read_table(BASELINE).to_pandas().set_index("row")["nats"]
    figures: dict[str, dict[str, Any]] = {}
    losses = {}
    for split in ("validation", "test"):
        chosen = rows[split]
        # What is reported of test is the forward direction; the other costs as much again.
        directions = 1 if split == "test" else None
        nats = judge_texts(network, sequences, chosen, directions)
        words = sequences.lengths[chosen] + 1  # and the end of each
        characters = _characters(chosen)
        named = {"ours": nats[0], "theirs": theirs.loc[chosen].to_numpy()}
        if len(nats) > 1:
            named["backward"] = nats[1]
        found = {
            name: _figures(values, words, characters, params.evaluate)
            for name, values in named.items()
        }
        figures[split] = found["ours"] | {
            "unknown_share": _unknown_share(sequences, chosen),
            "words": int(words.sum()),
            "n": len(chosen),
            "baseline": found["theirs"],
        }
        if "backward" in found:
            figures[split]["backward_perplexity"] = found["backward"]["perplexity"]
        losses[split] = pd.DataFrame({"row": chosen, "words": words, "nats": nats[0]})
    history = read_json(NETWORK / "history.json")
    with atomic_directory(REPORTS / "plots") as folder:
        draw_training(
            pd.DataFrame(history["epochs"]), history["best_epoch"], folder / "training.png"
        )
    with atomic_directory(LOSSES) as folder:
        for split, table in losses.items():
            written = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata()
            pq.write_table(written, folder / f"{split}.parquet", compression="zstd")
    validation, test = figures["validation"], figures["test"]
    baseline = test.pop("baseline") | {"validation": validation.pop("baseline")}
    return test | {"validation": validation, "baseline": baseline}


def _figures(
    nats: NDArray[np.float64],
    words: NDArray[np.int64],
    characters: int,
    params: LanguageEvaluate,
) -> dict[str, float]:
    """Perplexity with its percentile bootstrap interval over texts, and bits a character."""
    judged = LogLoss(float(nats.sum()), int(words.sum()))
    random = np.random.default_rng(params.seed)
    drawn = np.empty(params.bootstrap_samples)
    for sample in range(len(drawn)):
        chosen = random.integers(0, len(nats), len(nats))
        drawn[sample] = np.exp(nats[chosen].sum() / words[chosen].sum())
    tail = (1 - params.confidence) / 2
    return {
        "perplexity": round(judged.perplexity, 4),
        "perplexity_low": round(float(np.quantile(drawn, tail)), 4),
        "perplexity_high": round(float(np.quantile(drawn, 1 - tail)), 4),
        "bits_per_character": round(judged.bits_a_character(characters), 6),
    }


def _unknown_share(sequences: Ragged, rows: NDArray[np.int64]) -> float:
    unknown = sum(int((sequences[row] == UNKNOWN_ID).sum()) for row in rows.tolist())
    return round(unknown / int(sequences.lengths[rows].sum()), 6)


def _characters(rows: NDArray[np.int64]) -> int:
    """Count the characters of texts, the unknown words' too: they were to be predicted."""
    index, _ = open_sequences(SEQUENCES)
    wanted = pa.array(index["id"].iloc[rows].tolist(), pa.string())
    table = pq.read_table(REVIEWS, columns=["text"], filters=pa.compute.field("id").isin(wanted))
    return sum(count_characters(words) for words in split_words_in_chunks(table["text"].chunks))
