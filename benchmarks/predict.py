"""How long a prediction takes: ``python -m benchmarks.predict`` prints medians as JSON.

From the project's folder. All but the help needs a registered model and ``data/reviews.parquet``
(``dvc pull``, or ``make repro``); without them it is left out, and a line says so.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from rnnpipe.errors import RegistryError
from rnnpipe.problems.classification.predict import Model, load_model

REVIEWS = Path("data/reviews.parquet")
SENTENCE = "I expected little, but it won me over completely."
PROCESSES = 7  # runs of a whole process
PASSES = 3  # over all test reviews
SINGLE = 500  # reviews judged one by one


def measure() -> dict[str, float]:
    """Time the command line, and the registered model on the test reviews.

    Returns:
        ``help_s`` and ``cold_s``, whole processes that print the help or judge one sentence;
        ``reviews`` judged at once by a loaded model in ``many_s``, that is ``reviews_per_s``;
        ``single_p50_ms`` and ``single_p95_ms`` of one review at a time, texts to labels.
        ``help_s`` alone where there is no model, or no review.
    """
    figures = {"help_s": round(_process("--help"), 3)}
    try:
        model = load_model()
    except RegistryError as error:
        print(f"no predictions timed: {error}")
        return figures
    if not REVIEWS.exists():
        print(f"no predictions timed: {REVIEWS} is not here; dvc pull or make repro brings it")
        return figures
    return figures | _time_model(model)


def _time_model(model: Model) -> dict[str, float]:
    table = pq.read_table(REVIEWS, columns=["text"], filters=[("split", "==", "test")])
    texts = table["text"].to_pylist()
    model.predict(texts[:SINGLE])  # the first predictions also allocate memory
    many = statistics.median(_seconds(lambda: model.predict(texts)) for _ in range(PASSES))
    spread = np.linspace(0, len(texts) - 1, SINGLE).astype(int)
    single = [1000 * _seconds(lambda: model.predict([texts[row]])) for row in spread]  # noqa: B023
    return {
        "cold_s": round(_process("predict", SENTENCE), 3),
        "reviews": len(texts),
        "many_s": round(many, 2),
        "reviews_per_s": round(len(texts) / many),
        "single_p50_ms": round(float(np.quantile(single, 0.5)), 2),
        "single_p95_ms": round(float(np.quantile(single, 0.95)), 2),
    }


def _process(*arguments: str) -> float:
    command = [sys.executable, "-m", "rnnpipe", *arguments]
    return statistics.median(
        _seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
        for _ in range(PROCESSES)
    )


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
