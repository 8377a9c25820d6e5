"""The cells beside each other, all else alike: ``python -m benchmarks.cells [FILE ...]``.

Rows are the three cells with the parameters of ``params.yaml``, then each parameter file named;
without one, the notebook's own configuration and the best that plain cells were brought to. Each
is a run of the whole pipeline in a copy of the project that shares its DVC cache, but the network
is always trained, by the stage's own process alone, so that time and memory are its own.
``reports/cells.json`` is written anew after each row.
"""

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.attempts import COPIES, exit_code, read_outcome
from rnnpipe.commands.project_copy import ProjectCopy, make_attempt
from rnnpipe.config.load import read_values
from rnnpipe.errors import RnnpipeError
from rnnpipe.storage.files import write_json

REPORT = Path("reports/cells.json")
CELLS = ("simple_rnn", "lstm", "gru")
RECIPES = (Path("params/notebook.yaml"), Path("params/simple_rnn.yaml"))


@dataclass(frozen=True)
class Cost:
    """What the train stage's process took, by itself."""

    train_seconds: float
    peak_mib: int


@dataclass(frozen=True)
class Size:
    """Trainable weights of a network."""

    recurrent_parameters: int
    parameters: int


def recipes(files: Sequence[Path]) -> dict[str, Mapping[str, Any]]:
    """Return what differs from ``params.yaml`` in each row, by its name.

    Raises:
        ParameterError: a file is missing or no YAML mapping.
    """
    named: dict[str, Mapping[str, Any]] = {cell: {"train": {"cell": cell}} for cell in CELLS}
    return named | {path.as_posix(): read_values(path) for path in files}


def measure(files: Sequence[Path]) -> None:
    """Run the pipeline once a row; write and show what came out.

    A row whose training fails says so and leaves the others alone.

    Raises:
        RnnpipeError: a parameter is not allowed, or a stage before the training failed.
    """
    rows: list[dict[str, Any]] = []
    for name, overrides in recipes(files).items():
        sandbox = make_attempt(Path(), COPIES / "cells", overrides, name)
        sandbox.commit("Begin")
        sandbox.reproduce("word_vectors", "baseline")
        try:
            cost = train_alone(sandbox)
        except RnnpipeError as error:
            rows.append({"name": name, "failed": str(error)})
        else:
            # Now DVC takes the network for its own and goes on from it.
            sandbox.run(sys.executable, "-m", "dvc", "commit", "--force", "train")
            sandbox.reproduce()
            size = size_of(sandbox.folder / "models" / "network" / "network.keras")
            outcome = read_outcome(sandbox.folder)
            rows.append({"name": name} | outcome | asdict(size) | asdict(cost))
        write_json(REPORT, {"rows": rows})
    _show(rows)


def train_alone(sandbox: ProjectCopy) -> Cost:
    """Run the train stage as a process of its own, whatever DVC holds of it.

    Raises:
        RnnpipeError: it failed; what it printed says why.
    """
    started = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", "rnnpipe", "train"], cwd=sandbox.folder, env=sandbox.environment
    )
    # Not Popen.wait: this one tells the memory of this child alone.
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RnnpipeError(f"the train stage ended with {child.returncode}")
    return Cost(round(time.monotonic() - started, 1), round(usage.ru_maxrss / 1024))


def size_of(network: Path) -> Size:
    """Count the trainable weights of a saved network, and of its recurrent layers."""
    from rnnpipe.networks.recurrent import Recurrent
    from rnnpipe.networks.saving import load_network

    model = load_network(network)

    def count(layers: Iterable[Any]) -> int:
        weights = (weight for layer in layers for weight in layer.trainable_variables)
        return sum(math.prod(weight.shape) for weight in weights)

    return Size(
        count(layer for layer in model.layers if isinstance(layer, Recurrent)), count([model])
    )


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    line = "{:24} {:>8} {:>18} {:>12} {:>12} {:>12} {:>9} {:>10}"
    print()
    print(
        line.format(
            "", "test", "interval", "validation", "recurrent", "parameters", "train", "memory"
        )
    )
    for row in rows:
        if "failed" in row:
            print(f"{row['name']:24} {row['failed']}")
            continue
        print(
            line.format(
                row["name"],
                f"{row['accuracy']:.4f}",
                f"{row['accuracy_low']:.4f} to {row['accuracy_high']:.4f}",
                f"{row['validation_accuracy']:.4f}",
                f"{row['recurrent_parameters']:,}",
                f"{row['parameters']:,}",
                f"{row['train_seconds']:.0f} s",
                f"{row['peak_mib']:,} MiB",
            )
        )


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cells", description=__doc__)
    parser.add_argument("files", type=Path, nargs="*", help="parameter files with what differs")
    options = parser.parse_args()
    files = options.files or [path for path in RECIPES if path.exists()]
    return exit_code(lambda: measure(files))


if __name__ == "__main__":
    sys.exit(main())
