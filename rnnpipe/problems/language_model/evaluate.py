"""Perplexity and what goes with it; this alone opens the test split."""

from collections.abc import Iterable, Iterator, Mapping
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
    MIXTURE,
    NETWORK,
    NGRAMS,
    REPORTS,
    REVIEWS,
    SEQUENCES,
    open_texts,
)
from rnnpipe.problems.language_model.judging import judge_predictions
from rnnpipe.problems.language_model.mixture import (
    Mixture,
    Predictions,
    fit_mixture,
    predict_by_parts,
)
from rnnpipe.problems.language_model.network import LanguageModel
from rnnpipe.problems.language_model.params import LanguageEvaluate, LanguageModelParams
from rnnpipe.problems.language_model.plots import draw_mixture
from rnnpipe.reporting.plots import draw_training
from rnnpipe.storage.files import atomic_directory, read_json
from rnnpipe.text.ngram_file import load_ngrams
from rnnpipe.text.ngrams import NgramModel
from rnnpipe.text.sequences import open_sequences
from rnnpipe.text.tokens import UNKNOWN_ID, Ragged, count_characters, split_words_in_chunks

# Places among the rows, the network's losses, and what all parts say of the same predictions.
_Judged = tuple[NDArray[np.int64], NDArray[np.float32], Predictions]


def evaluate(params: LanguageModelParams) -> Mapping[str, Any]:
    """Judge the network, the n-grams and both mixed on the same words, draw, and lay figures out.

    The weights of the mixture are found on validation; nothing else is chosen here.
    """
    sequences, rows = open_texts()
    network: LanguageModel = load_network(NETWORK / "network.keras")
    ngrams = load_ngrams(NGRAMS)
    held_out = list(_judge(network, ngrams, sequences, rows["validation"]))
    parts = [block for _, _, block in held_out]
    mixture = fit_mixture(parts, ngrams.contexts)
    mixture.save(MIXTURE)
    # What is reported of test is the forward direction; the other costs as much again.
    test = _judge(network, ngrams, sequences, rows["test"], directions=1)
    theirs = pq.read_table(BASELINE).to_pandas().set_index("row")["nats"]
    figures: dict[str, dict[str, Any]] = {}
    losses = {}
    for split, judged in (("validation", held_out), ("test", test)):
        chosen = rows[split]
        words = sequences.lengths[chosen] + 1  # and the end of each
        characters = _characters(chosen)
        nats = _nats(judged, mixture, words) | {"baseline": theirs.loc[chosen].to_numpy()}
        found = {
            name: _figures(values, words, characters, params.evaluate)
            for name, values in nats.items()
        }
        figures[split] = {
            **found["forward"],
            **{
                name.replace("perplexity", "perplexity_mixed"): value
                for name, value in found["mixed"].items()
                if name.startswith("perplexity")
            },
            "unknown_share": _unknown_share(sequences, chosen),
            "words": int(words.sum()),
            "n": len(chosen),
            "baseline": found["baseline"],
            "mixture": {"ngrams_perplexity": found["ngrams"]["perplexity"]},
        }
        if "backward" in found:
            figures[split]["backward_perplexity"] = found["backward"]["perplexity"]
        losses[split] = pd.DataFrame({"row": chosen, "words": words, "nats": nats["forward"]})
    history = read_json(NETWORK / "history.json")
    with atomic_directory(REPORTS / "plots") as folder:
        draw_training(
            pd.DataFrame(history["epochs"]), history["best_epoch"], folder / "training.png"
        )
        draw_mixture(mixture, folder / "mixture.png")
    with atomic_directory(LOSSES) as folder:
        for split, table in losses.items():
            written = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata()
            pq.write_table(written, folder / f"{split}.parquet", compression="zstd")
    validation, test_figures = figures["validation"], figures["test"]
    weights = mixture.mean_weights(parts).items()
    validation["mixture"] |= {f"{name}_weight": round(value, 4) for name, value in weights}
    baseline = test_figures.pop("baseline") | {"validation": validation.pop("baseline")}
    return test_figures | {"validation": validation, "baseline": baseline}


def _judge(
    network: LanguageModel,
    ngrams: NgramModel,
    sequences: Ragged,
    rows: NDArray[np.int64],
    directions: int | None = None,
) -> Iterator[_Judged]:
    """Ask all parts of the mixture, a batch of texts at a time."""
    for batch, losses in judge_predictions(network, sequences, rows, directions):
        yield batch, losses, predict_by_parts(losses[0], ngrams, sequences, rows[batch])


def _nats(
    judged: Iterable[_Judged], mixture: Mixture, words: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Sum each text's losses, ``float64[n]``: of the directions, the n-grams, and all mixed.

    Args:
        judged: of all texts.
        mixture: whose weights are taken.
        words: ``int64[n]``, how many predictions each text has.
    """
    nats: dict[str, NDArray[np.float64]] = {}
    for batch, losses, parts in judged:
        texts = np.repeat(np.arange(len(batch)), words[batch])
        found = dict(
            zip(("forward", "backward"), losses.sum(axis=2, dtype=np.float64), strict=False)
        )
        by_word = {"ngrams": -np.log(parts.ngrams.astype(np.float64)), "mixed": mixture.nats(parts)}
        found |= {name: np.bincount(texts, value) for name, value in by_word.items()}
        for name, value in found.items():
            nats.setdefault(name, np.zeros(len(words)))[batch] = value
    return nats


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
