"""Two processes beside one on IMDB, step by step: ``python -m benchmarks.parallel``.

The network is that of ``params.yaml``, in float32 and without dropout, since each process draws
masks of its own. Both take the same batches, so each step's loss must be the same but for rounding.
On one machine two processes share its cores: the seconds say what working together costs, not
what more machines would gain.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from rnnpipe.errors import RnnpipeError
from rnnpipe.files import read_json, write_json

REPORT = Path("reports/parallel.json")
WORKERS, STEPS = 2, 100
# Of loss and gradient's norm, relative: float32 sums in another order, carried on over the steps.
TOLERANCE = 1e-3
_UNCOUNTED = 20  # first steps, in which TensorFlow traces and warms up
_CHANGES: dict[str, Any] = {
    "precision": "float32",
    "dropout_rate": 0.0,
    "word_dropout_rate": 0.0,
    "embedding_dropout_rate": 0.0,
    "epochs": 1,
}


class _EnoughError(Exception):
    """As many steps as are measured are done."""


def train(out: Path, workers: int) -> None:
    """Take the steps, as one of the workers; the chief writes what each gave."""
    from rnnpipe import cluster
    from rnnpipe.params import load_params

    with cluster.join(workers) as team:
        from rnnpipe.sentiment.learning import learn
        from rnnpipe.training import fit, make_deterministic

        make_deterministic()
        params = load_params(Path("params.yaml"))
        params = params.model_copy(update={"train": params.train.model_copy(update=_CHANGES)})
        learner = learn(params)  # type: ignore[arg-type]
        rows: list[list[float]] = []

        def start(optimizer: Any) -> Any:
            take = learner.start(optimizer)

            def timed(batch: Any) -> Any:
                if len(rows) == STEPS:
                    raise _EnoughError
                began = time.monotonic()
                taken = take(batch)
                rows.append([taken.loss, taken.norm, time.monotonic() - began])
                return taken

            return timed

        with contextlib.suppress(_EnoughError):
            fit(
                dataclasses.replace(learner, start=start),
                params.train,
                out.with_suffix(".npz"),
                lambda epoch: None,
                team,
            )
        if team.rank == 0:
            write_json(out, rows)


def measure() -> dict[str, Any]:
    """Take the steps by one process, then by two, and compare.

    Raises:
        RnnpipeError: the losses differ by more than :data:`TOLERANCE`.
    """
    found = {}
    with tempfile.TemporaryDirectory(prefix="rnnpipe-parallel-") as folder:
        for workers in (1, WORKERS):
            out = Path(folder) / f"{workers}.json"
            command = [sys.executable, "-m", "benchmarks.parallel", str(out), str(workers)]
            subprocess.run(command, env=dict(os.environ), check=True)
            found[workers] = np.array(read_json(out))
    difference = np.abs(found[WORKERS][:, :2] / found[1][:, :2] - 1).max(axis=0)
    if difference.max() > TOLERANCE:
        raise RnnpipeError(
            f"loss and norm of two processes differ from those of one by up to {difference.tolist()},"
            f" expected at most {TOLERANCE:g}"
        )
    return {
        "machine": machine.describe(),
        "workers": WORKERS,
        "steps": STEPS,
        "tolerance": TOLERANCE,
        "largest_relative_difference": {
            "loss": float(f"{difference[0]:.1e}"),
            "gradient_norm": float(f"{difference[1]:.1e}"),
        },
        "median_seconds_per_step": {
            str(workers): round(float(np.median(rows[_UNCOUNTED:, 2])), 4)
            for workers, rows in found.items()
        },
    }


def main(arguments: list[str]) -> None:
    """Measure and keep the figures; with arguments, be one of the processes."""
    if arguments:
        train(Path(arguments[0]), int(arguments[1]))
        return
    figures = measure()
    write_json(REPORT, figures)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
