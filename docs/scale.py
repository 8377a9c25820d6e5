"""The cost model of docs/scale.md: ``python -m docs.scale`` writes the page's tables anew.

Time and memory of a stage are lines through the smallest and the largest corpus of
reports/growth.json; the corpus between tells how far off they are. What new text brings, and
copies of a text do not, is counted by docs/scale_counts.py.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.tables import Tables, fill, markdown_table
from rnnpipe.config.load import load_params
from rnnpipe.problems.classification.archive import MAX_MEMBERS, MAX_OTHER_BYTES, MAX_UNPACKED_BYTES
from rnnpipe.storage.files import read_json

ROOT = Path(__file__).parents[1]
PAGE, COUNTS = ROOT / "docs/scale.md", read_json(ROOT / "docs/scale.json")
PARAMS: Any = load_params(ROOT / "params.yaml")
LOCK = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
SIZES = [10**power for power in range(5, 10)]
MB, GB, DAY = 2**20, 2**30, 24 * 3600
MACHINE = 16 * GB
PAIR_BYTES = 24  # 8 in a sparse matrix, and a sum holds three: its terms and itself
NETWORK, MESSAGE = 10e9 / 8, 1e-3  # bytes a second between machines, seconds a step; both assumed
IN_CACHE_AND_CLONES = 1 + 1 + 10  # work tree, DVC's cache, the clones that the flow keeps


@dataclass(frozen=True)
class Line:
    """``start + slope * n`` of n reviews; ``error``: at the middle corpus, as a share."""

    start: float
    slope: float
    error: float

    def at(self, n: float) -> float:
        """Return the value at n reviews."""
        return self.start + self.slope * n


def line(growth: Any, stage: str, what: str, unit: float = 1) -> Line:
    """Draw a line through a stage's seconds, or memory, at the first and the last corpus."""
    sizes = [row["reviews"] for row in growth["rows"]]
    values = [row["stages"][stage][what] * unit for row in growth["rows"]]
    slope = max(0.0, (values[-1] - values[0]) / (sizes[-1] - sizes[0]))
    found = Line(values[0] - slope * sizes[0], slope, 0.0)
    return Line(found.start, slope, found.at(sizes[1]) / values[1] - 1)


def power(counts: Mapping[str, int], n: float, most: float = math.inf) -> float:
    """Extend a power law through the first and the last of some counts by size."""
    (small, first), *_, (large, last) = ((int(size), count) for size, count in counts.items())
    exponent = math.log(last / first) / math.log(large / small)
    return min(most, last * (n / large) ** exponent)


def pairs(n: float) -> float:
    """How many pairs of words the stage word_vectors holds after n reviews of new text."""
    return power(COUNTS["distinct_pairs"], n, PARAMS.sequences.vocabulary_size**2)


def recurrent_weights(hidden_size: int) -> int:
    """Count the weights of the default's LSTM in both directions."""
    width = PARAMS.train.embedding_size + PARAMS.train.bigram_size
    return 2 * 4 * hidden_size * (width + hidden_size + 1)


def training(cells: Any, sequences: Any) -> tuple[Line, float]:
    """Seconds of training a review and epoch by recurrent weights; the GRU is the middle.

    Returns:
        The line, and the share of all reviews that is learnt from.
    """
    learnt = sequences["train"] + sequences["unlabelled"]
    rows = {row["name"]: row for row in cells["rows"]}
    simple, lstm, gru = (
        (rows[n]["recurrent_parameters"], rows[n]["train_seconds"] / learnt / PARAMS.train.epochs)
        for n in ("simple_rnn", "lstm", "gru")
    )
    slope = (lstm[1] - simple[1]) / (lstm[0] - simple[0])
    start = lstm[1] - slope * lstm[0]
    return Line(start, slope, (start + slope * gru[0]) / gru[1] - 1), learnt / COUNTS["reviews"]


def default_training(cells: Any, sequences: Any, hidden_size: int) -> float:
    """Seconds of the default training for each review of the corpus."""
    step, share = training(cells, sequences)
    return step.at(recurrent_weights(hidden_size)) * share * PARAMS.train.epochs


def bootstrap(sequences: Any) -> float:
    """Seconds for each review: test and validation, ours and the baseline's, and a part of test."""
    resampled = (3 * sequences["test"] + 2 * sequences["validation"]) / COUNTS["reviews"]
    return COUNTS["bootstrap_ns"] * 1e-9 * PARAMS.evaluate.bootstrap_samples * resampled


# --- The tables -------------------------------------------------------------------------------


def fits(growth: Any) -> str:
    """Lay out the lines of each stage, and how far off they are in the middle."""
    rows = []
    for stage in growth["rows"][0]["stages"]:
        seconds, memory = line(growth, stage, "seconds"), line(growth, stage, "memory_mb", MB)
        spent = f"{seconds.start:.1f} s + {seconds.slope * 1e6:.0f} µs · n"
        held = f"{memory.start / MB:,.0f} MB + {memory.slope:.0f} B · n"
        rows.append([f"`{stage}`", spent, f"{seconds.error:+.0%}", held, f"{memory.error:+.0%}"])
    return markdown_table(["stage", "time", "middle", "memory", "middle"], rows)


def times(growth: Any, cells: Any, sequences: Any) -> str:
    """Lay out the time of each stage by the size of the corpus."""
    stages = {f"`{s}`": line(growth, s, "seconds").at for s in growth["rows"][0]["stages"]}
    default = default_training(cells, sequences, PARAMS.train.hidden_size)
    total = list(stages.values())
    further = {
        "all of these": lambda n: sum(at(n) for at in total),
        "`train`, the default": lambda n: default * n,
        "`evaluate`, its intervals": lambda n: bootstrap(sequences) * n,
    }
    return _by_size(stages | further, _seconds)


def memories(growth: Any) -> str:
    """Lay out the peak memory of each stage by the size of the corpus."""
    stages = {f"`{s}`": line(growth, s, "memory_mb", MB).at for s in growth["rows"][0]["stages"]}
    further = {
        "`word_vectors`, its pairs of new text": lambda n: PAIR_BYTES * pairs(n),
    }
    return _by_size(stages | further, _bytes)


def disk() -> str:
    """Lay out what the data take on the disk."""
    each = {
        out["path"]: out["size"] / COUNTS["reviews"]
        for stage in ("download", "prepare", "sequences", "baseline", "evaluate")
        for out in LOCK[stage]["outs"]
        if out["path"].startswith("data/")
    }
    rows = {f"`{path}`, {size:,.0f} B": size.__mul__ for path, size in each.items()}
    total = sum(each.values())
    rows["all"] = total.__mul__
    rows["all, in the cache and ten clones too"] = (IN_CACHE_AND_CLONES * total).__mul__
    return _by_size(rows, _bytes)


def hidden(growth: Any, cells: Any, sequences: Any) -> str:
    """Lay out the default training by its hidden units."""
    step, _ = training(cells, sequences)
    rows = []
    for size in (64, 128, 256, 512, 1024):
        seconds = default_training(cells, sequences, size)
        cost = f"{step.at(recurrent_weights(size)) * 1e3:.1f} ms"
        spent = [_seconds(seconds * n) for n in SIZES[:4]]
        rows.append([str(size), f"{recurrent_weights(size):,}", cost, *spent])
    head = ["h", "recurrent weights", "a review", *(f"{n:,}" for n in SIZES[:4])]
    grown = line(growth, "train", "seconds").slope * COUNTS["reviews"] / sequences["train"]
    flops = 6 * COUNTS["words_read_of_a_review"] / step.slope / 1e9
    return (
        f"{markdown_table(head, rows)}\n\nA review and epoch costs {step.start * 1e3:.2f} ms +"
        f" {step.slope * 1e9:.1f} ns · weights, from `simple_rnn` and `lstm`; for `gru` that is"
        f" {step.error:+.0%} off.\nIt means {flops:.0f} GFLOP/s in the recurrent products. By"
        f" `reports/growth.json`, which counts the judging on validation in, h = 64\ncosts"
        f" {grown * 1e3:.1f} ms."
    )


def workers(cells: Any, sequences: Any) -> str:
    """Lay out a step of the default training by the workers that share it."""
    train = PARAMS.train
    alone = train.batch_size * training(cells, sequences)[0].at(
        recurrent_weights(train.hidden_size)
    )
    touched = train.batch_size * COUNTS["words_read_of_a_review"]
    rows_bytes = touched * (4 * (train.embedding_size + train.bigram_size) + 16)
    dense_bytes = 4 * recurrent_weights(train.hidden_size)
    rows = []
    for count in (1, 2, 4, 8, 16, 32):
        others = count - 1
        # Over the chief's line: what each has found goes in, the whole goes out to each.
        to_chief = rows_bytes * others / count + dense_bytes * others
        to_all = (rows_bytes + dense_bytes) * others
        told = (to_chief + to_all) / NETWORK + MESSAGE * (count > 1)
        took = alone / count + told
        cells_of_row = (alone / count, told, took)
        rows.append(
            [str(count), *(f"{s * 1e3:.1f} ms" for s in cells_of_row), f"{alone / took:.1f}"]
        )
    return markdown_table(["w", "computing", "telling", "a step", "× one machine"], rows)


def limits(growth: Any, cells: Any, sequences: Any) -> str:
    """Lay out at how many reviews what comes to its end, the first one first."""

    def full(memory: Line) -> float:
        return (MACHINE - memory.start) / memory.slope if memory.slope else math.inf

    stages = list(growth["rows"][0]["stages"])
    default = default_training(cells, sequences, PARAMS.train.hidden_size)
    before = sum(line(growth, s, "seconds").slope for s in stages if s != "train")
    found = {
        "`prepare`: the archive unpacks to 4 GiB": MAX_UNPACKED_BYTES / COUNTS["archive_bytes"],
        "`prepare`: a list of films has 64 MiB": 2 * MAX_OTHER_BYTES / COUNTS["film_list_bytes"],
        "`prepare`: the archive has 5,000,000 members": MAX_MEMBERS,
        "`word_vectors`: pairs of words in 16 GB": _where(lambda n: PAIR_BYTES * pairs(n), MACHINE),
        "`sequences`: ids of a table take 2 GiB in one Arrow array": 2**31 / len("row/00000000"),
        "`prepare`: ids of a table have nine digits": 10**8,
        "a run with the default training takes a day": DAY / (default + before),
        **{f"`{s}`: 16 GB, as measured": full(line(growth, s, "memory_mb", MB)) for s in stages},
    }
    rows = sorted((n, what) for what, n in found.items() if n < 2 * SIZES[-1])
    return markdown_table(["reviews", "what comes to its end"], [[_short(n), w] for n, w in rows])


def _where(of: Any, value: float) -> float:
    return next((n for n in (10 ** (k / 100) for k in range(400, 1000)) if of(n) > value), math.inf)


def _by_size(rows: Mapping[str, Any], shown: Any) -> str:
    body = [[name, *(shown(at(n)) for n in SIZES)] for name, at in rows.items()]
    return markdown_table(["", *(f"{n:,}" for n in SIZES)], body)


def _seconds(value: float) -> str:
    for unit, size in (("days", DAY), ("h", 3600), ("min", 60)):
        if value > 2 * size:
            return (
                f"{value / size:,.0f} {unit}" if value > 20 * size else f"{value / size:.1f} {unit}"
            )
    return f"{value:.0f} s"


def _bytes(value: float) -> str:
    for unit, size in (("TB", 2**40), ("GB", GB)):
        if value > size:
            return (
                f"{value / size:,.0f} {unit}" if value > 10 * size else f"{value / size:.1f} {unit}"
            )
    return f"{value / MB:,.0f} MB"


def _short(n: float) -> str:
    digits = int(math.log10(n)) - 1
    return f"{round(n, -digits):,.0f}"


TABLES: Tables = {
    "fits": (("growth",), fits),
    "times": (("growth", "cells", "sequences"), times),
    "memories": (("growth",), memories),
    "disk": ((), disk),
    "hidden": (("growth", "cells", "sequences"), hidden),
    "workers": (("cells", "sequences"), workers),
    "limits": (("growth", "cells", "sequences"), limits),
}


def main() -> None:
    """Write the page anew."""
    fill(PAGE, TABLES)


if __name__ == "__main__":
    main()
