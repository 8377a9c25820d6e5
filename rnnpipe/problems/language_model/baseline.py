"""The n-grams that the language model is shown beside, on the same words."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnnpipe.metrics.perplexity import LogLoss
from rnnpipe.problems.language_model.files import BASELINE, NGRAMS, SEQUENCES, open_texts
from rnnpipe.problems.language_model.params import LanguageModelParams
from rnnpipe.storage.files import atomic_file
from rnnpipe.text.ngram_file import save_ngrams
from rnnpipe.text.ngrams import learn_ngrams, prune_ngrams
from rnnpipe.text.vocabulary import Vocabulary
from rnnpipe.text.windows import count_predictions


def learn_and_judge(params: LanguageModelParams) -> Mapping[str, Any]:
    """Count on train; keep what each text of validation and test costs, and part of the counts.

    The words of test are read here, as by sentiment's baseline: all the counts, far larger than
    what they cost to learn, are not kept. Nothing is chosen by them, and no figure of test is told.
    What the network is mixed with is a smaller model, without the longest runs met but once.
    """
    sequences, rows = open_texts()
    size = len(Vocabulary.load(SEQUENCES / "vocabulary.json"))
    model = learn_ngrams(sequences, rows["train"], size, params.baseline.order)
    judged = np.concatenate([rows["validation"], rows["test"]])
    nats = model.judge_texts(sequences, judged)
    with atomic_file(BASELINE) as partial:
        pq.write_table(pa.table({"row": judged, "nats": nats}), partial, compression="zstd")
    save_ngrams(prune_ngrams(model), NGRAMS)
    held_out = rows["validation"]
    found = LogLoss(float(nats[: len(held_out)].sum()), count_predictions(sequences, held_out))
    return {
        "order": params.baseline.order,
        "train": len(rows["train"]),
        "validation_perplexity": round(found.perplexity, 4),
    }
