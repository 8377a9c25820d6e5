"""Two processes beside one on IMDB, step by step: ``python -m benchmarks.parallel``.

The network is that of ``params.yaml``, in float32 and without dropout, since each process draws
masks of its own. All take the same batches, so each step's loss must be the same but for rounding.
Rounding grows: where a maximum is all but shared by two words, or Adam divides next to nothing by
next to nothing, a last digit decides. How far that goes by itself a third run shows: one process,
with the rows of each batch in another order. Plain gradient descent grows it
less, and is measured beside Adam.

On one machine two processes share its cores: the seconds say what working together costs, not
what more machines would gain.
"""

import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from rnnpipe.errors import RnnpipeError
from rnnpipe.storage.files import read_json, write_json

REPORT = Path("reports/parallel.json")
WORKERS, STEPS = 2, 100
# Relative, of the loss of each of the first steps: float32 sums in another order.
TOLERANCE, FIRST = 1e-5, 10
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


def train(out: Path, optimizer_name: str, workers: int, turned: bool) -> None:
    """Take the steps, as one of the workers; the chief writes what each gave.

    Args:
        out: gets loss, norm of the gradient, and seconds of each step.
        optimizer_name: ``train.optimizer``.
        workers: how many processes.
        turned: take the rows of each batch in the opposite order.
    """
    from rnnpipe.config.load import load_params
    from rnnpipe.networks.distributed import cluster

    with cluster.join(workers) as team:
        from rnnpipe.networks.training import fit, make_deterministic
        from rnnpipe.problems.classification.learning import learn

        make_deterministic()
        params = load_params(Path("params.yaml"))
        changes = _CHANGES | {"optimizer": optimizer_name}
        params = params.model_copy(update={"train": params.train.model_copy(update=changes)})
        task = learn(params)  # type: ignore[arg-type]
        rows: list[list[float]] = []

        def start(optimizer: Any) -> Any:
            take = task.start(optimizer)

            def timed(batch: Any) -> Any:
                if len(rows) == STEPS:
                    raise _EnoughError
                began = time.monotonic()
                taken = take(batch[::-1] if turned else batch)
                rows.append([taken.loss, taken.norm, time.monotonic() - began])
                return taken

            return timed

        with contextlib.suppress(_EnoughError):
            fit(
                dataclasses.replace(task, start=start),
                params.train,
                out.with_suffix(".npz"),
                lambda epoch: None,
                team,
            )
        if team.rank == 0:
            write_json(out, rows)


def measure(optimizer: str) -> dict[str, Any]:
    """Take the steps by one process, by two, and by one with the rows turned; compare.

    Raises:
        RnnpipeError: the first losses differ by more than :data:`TOLERANCE`.
    """
    found = {}
    with tempfile.TemporaryDirectory(prefix="rnnpipe-parallel-") as folder:
        for name, workers, turned in (
            ("one", 1, False),
            ("two", WORKERS, False),
            ("one_turned", 1, True),
        ):
            out = Path(folder) / f"{name}.json"
            arguments = [str(out), optimizer, str(workers), "turned" if turned else ""]
            command = [sys.executable, "-m", "benchmarks.parallel", *arguments]
            subprocess.run(command, check=True)
            found[name] = np.array(read_json(out))
    differences = {
        name: np.abs(found[name][:, 0] / found["one"][:, 0] - 1) for name in ("two", "one_turned")
    }
    if (worst := differences["two"][:FIRST].max()) > TOLERANCE:
        raise RnnpipeError(
            f"the losses of two processes differ from those of one by {worst:.1e} in the first"
            f" {FIRST} steps, expected at most {TOLERANCE:g}"
        )
    return {
        "largest_relative_difference_of_the_loss": {
            name: {
                f"first_{number}_steps": float(f"{values[:number].max():.1e}")
                for number in (FIRST, STEPS)
            }
            for name, values in differences.items()
        },
        "median_seconds_per_step": {
            name: round(float(np.median(found[name][_UNCOUNTED:, 2])), 3) for name in ("one", "two")
        },
    }


def main(arguments: list[str]) -> None:
    """Measure and keep the figures; with arguments, be one of the processes."""
    if arguments:
        out, optimizer, workers, turned = arguments
        train(Path(out), optimizer, int(workers), bool(turned))
        return
    figures = {
        "machine": machine.describe(),
        "workers": WORKERS,
        "tolerance_in_the_first_steps": TOLERANCE,
        "optimizers": {name: measure(name) for name in ("adam", "sgd")},
    }
    write_json(REPORT, figures)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
