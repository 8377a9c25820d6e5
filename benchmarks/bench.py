"""The table of ``make bench``: training steps and predictions beside their peers, by ratio.

Each figure is the median of interleaved rounds of one run, so that a busy neighbour slows all
rows alike. PyTorch has rows only where it is installed: ``BENCH_TORCH=/its/bin/python make bench``
names an interpreter that has it, other than the one that runs this.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks import machine, predict, steps
from benchmarks.attempts import exit_code
from rnnpipe.errors import RnnpipeError
from rnnpipe.storage.files import write_json

ROUNDS = 7
REPORT = Path("reports/bench.json")
HERE = Path(__file__).parent
PEERS = ("keras", "torch")
PADDED = {"fixed": f"padded to {steps.TIME}", "bucketed": "bucketed too"}
PRECISIONS = ("mixed_bfloat16", "float32")
# Gates whose weights take part in the products.
GATES = {"lstm": 4, "gru": 3, "simple_rnn": 1}


class Worker:
    """A child process that times rounds of one framework.

    Raises:
        RnnpipeError: on its creation or in a round, when the process has ended.
    """

    def __init__(self, name: str, interpreter: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [interpreter, str(HERE / "steps.py"), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        self.cases: list[str] = json.loads(self._read())

    def seconds(self, case: str) -> float:
        """Time one round."""
        assert self.process.stdin
        with suppress(BrokenPipeError):  # reading says that it has ended
            print(case, file=self.process.stdin, flush=True)
        return float(self._read())

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()

    def _read(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RnnpipeError(f"the worker of {self.name} ended early; what it printed says why")
        return line


def measure_steps() -> dict[str, dict[str, float]]:
    """Return the median seconds of every case of every framework.

    Raises:
        RnnpipeError: a framework does not work.
    """
    workers: list[Worker] = []
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PYTHONPATH": str(HERE.parent)}
        if steps.SEQUENCES.exists():
            batches = Path(folder) / "batches.npz"
            steps.draw_real_batches(batches)
            environment[steps.BATCHES_VARIABLE] = str(batches)
        else:
            print(f"no {steps.SEQUENCES}, so no rows on real reviews: run make repro")
        try:
            for name, interpreter in _interpreters():
                workers.append(Worker(name, interpreter, environment))
            return _medians(workers)
        finally:
            for worker in workers:
                worker.close()


def _interpreters() -> Iterator[tuple[str, str]]:
    for name in ("peak", "rnnpipe", "keras"):
        yield name, sys.executable
    torch = os.environ.get("BENCH_TORCH", sys.executable)
    if not subprocess.run([torch, "-c", "import torch"], capture_output=True).returncode:
        yield "torch", torch
    else:
        print("no PyTorch, so no rows of it: name an interpreter that has it in BENCH_TORCH")


def _medians(workers: list[Worker]) -> dict[str, dict[str, float]]:
    times: dict[str, dict[str, list[float]]] = {
        worker.name: {case: [] for case in worker.cases} for worker in workers
    }
    cases = sorted({case for worker in workers for case in worker.cases})
    for number in range(ROUNDS):
        print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
        for case in cases:
            # Side by side in time: what is compared meets the same neighbours.
            for worker in workers:
                if case in worker.cases:
                    times[worker.name][case].append(worker.seconds(case))
    return {
        name: {case: statistics.median(rounds) for case, rounds in cases.items()}
        for name, cases in times.items()
    }


def peak_gflops(medians: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the speed of a large product of matrices, in 10^9 operations a second, by precision."""
    return {
        case.removeprefix("product "): round(steps.PEAK_OPERATIONS / seconds / 1e9, 1)
        for case, seconds in medians["peak"].items()
    }


def operations(cell: str) -> int:
    """Count the multiplications and additions of one training step at the fixed shape.

    Three products of ``[batch * time, 2 * width]`` by ``[2 * width, gates * width]``: one forward,
    and backward one for the inputs' and one for the weights' gradient.
    """
    return 3 * 2 * steps.BATCH * steps.TIME * 2 * steps.WIDTH * GATES[cell] * steps.WIDTH


def rows_of(medians: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Put the medians into rows: milliseconds a step, and how many times faster ours is.

    Args:
        medians: seconds of a round, by framework and case, as :func:`measure_steps` gives them.
    """
    peak = peak_gflops(medians)["float32"]
    shape = f"({steps.BATCH}, {steps.TIME}, {steps.WIDTH} to {steps.WIDTH})"
    best = next(name for name in PRECISIONS if f"lstm {name}" in medians["rnnpipe"])
    rows = []
    for cell in steps.CELLS:
        for precision in PRECISIONS:
            # The peers' precision is what they take by themselves on a CPU: float32.
            if row := _row(medians, f"{cell} {precision}", f"{cell} float32", 1):
                share = round(operations(cell) / (row["milliseconds"]["rnnpipe"] * 1e6) / peak, 3)
                named = {"step": f"{cell} {shape}", "precision": precision}
                rows.append(named | row | {"share_of_float32_peak": share})
        ours = f"{cell} bucketed reviews"
        for kind in steps.KINDS:
            if row := _row(medians, ours, f"{cell} {kind} reviews", steps.BATCHES):
                name = f"{cell} on reviews, peers {PADDED[kind]}"
                rows.append({"step": name, "precision": best} | row)
    return rows


def _row(
    medians: Mapping[str, Mapping[str, float]], ours: str, theirs: str, steps_a_round: int
) -> dict[str, Any] | None:
    if ours not in medians["rnnpipe"]:
        return None
    seconds = {"rnnpipe": medians["rnnpipe"][ours]}
    seconds |= {name: medians[name][theirs] for name in PEERS if name in medians}
    return {
        "milliseconds": {
            name: round(1000 * value / steps_a_round, 2) for name, value in seconds.items()
        },
        "times_faster_than": {
            name: round(seconds[name] / seconds["rnnpipe"], 2) for name in PEERS if name in seconds
        },
    }


_LINE = "{:40} {:14} {:>10} {:>10} {:>10} {:>8} {:>8} {:>8}"


def show(report: Mapping[str, Any]) -> None:
    """Print the table."""
    peak = report["peak_gflops"]
    print(
        f"\n{report['machine']['processor']}, {report['machine']['cores']} cores; products of"
        f" matrices: {peak['float32']:.0f} GFLOP/s float32, {peak['bfloat16']:.0f} bfloat16\n"
    )
    print(
        _LINE.format(
            "training step", "precision", "rnnpipe", "keras", "torch",
            "x keras", "x torch", "of peak",
        )
    )  # fmt: skip
    for row in report["steps"]:
        times, ratios = row["milliseconds"], row["times_faster_than"]
        share = row.get("share_of_float32_peak")
        print(
            _LINE.format(
                row["step"],
                row["precision"],
                *(
                    f"{times[name]:.1f} ms" if name in times else "-"
                    for name in ("rnnpipe", *PEERS)
                ),
                *(f"{ratios[name]:.2f}" if name in ratios else "-" for name in PEERS),
                "" if share is None else f"{share:.0%}",
            )
        )
    print(
        f"On reviews: a classifier on {steps.BATCH} real reviews a step. Ours are always batches of"
        " like length,\nand its Adam moves the rows of the embedding that a batch touched alone."
    )
    if not any(row["precision"] == "mixed_bfloat16" for row in report["steps"]):
        print("This processor multiplies no bfloat16: mixed_bfloat16 is float32 here.")
    print("\nPredictions by ONNX Runtime:")
    for name, value in report["predict"].items():
        print(f"  {name:20} {value}")


def measure() -> None:
    """Measure, keep the table, and show it.

    Raises:
        RnnpipeError: a framework does not work.
    """
    medians = measure_steps()
    report = {
        "machine": machine.describe(),
        "rounds": ROUNDS,
        "peak_gflops": peak_gflops(medians),
        "steps": rows_of(medians),
        "predict": predict.measure(),
    }
    write_json(REPORT, report)
    show(report)


if __name__ == "__main__":
    sys.exit(exit_code(measure))
