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
from pathlib import Path
from typing import Any

from benchmarks import machine, steps
from rnnpipe.files import write_json

ROUNDS = 7
REPORT = Path("reports/bench.json")
HERE = Path(__file__).parent
# Multiplications and additions of one training step at the fixed shape: three products of
# [batch * time, 2 * width] by [2 * width, gates * width], forward and twice backward.
GATES = {"lstm": 4, "gru": 3, "simple_rnn": 1}


class Worker:
    """A child process that times rounds of one framework."""

    def __init__(self, name: str, interpreter: str, environment: dict[str, str]) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [interpreter, str(HERE / "steps.py"), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        assert self.process.stdout
        self.cases: list[str] = json.loads(self.process.stdout.readline() or "[]")

    def seconds(self, case: str) -> float:
        """Time one round."""
        assert self.process.stdin and self.process.stdout
        print(case, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def measure_steps() -> dict[str, dict[str, float]]:
    """Give the median seconds of every case of every framework."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PYTHONPATH": str(HERE.parent)}
        if (steps.DATA / "sequences").exists():
            batches = Path(folder) / "batches.npz"
            steps.draw_real_batches(batches)
            environment["RNNPIPE_BENCH_BATCHES"] = str(batches)
        else:
            print(f"no {steps.DATA}/sequences: no rows on real reviews (run `make repro`)")
        interpreters = {name: sys.executable for name in ("rnnpipe", "keras", "peak")}
        torch = os.environ.get("BENCH_TORCH", sys.executable)
        if _has_torch(torch):
            interpreters["torch"] = torch
        workers = [Worker(name, path, environment) for name, path in interpreters.items()]
        times: dict[str, dict[str, list[float]]] = {
            worker.name: {case: [] for case in worker.cases} for worker in workers
        }
        cases = sorted({case for worker in workers for case in worker.cases})
        for _ in range(ROUNDS):
            for case in cases:
                for worker in workers:
                    if case in worker.cases:
                        times[worker.name][case].append(worker.seconds(case))
        for worker in workers:
            worker.close()
    return {
        name: {case: statistics.median(rounds) for case, rounds in cases.items()}
        for name, cases in times.items()
    }


def _has_torch(interpreter: str) -> bool:
    found = subprocess.run([interpreter, "-c", "import torch"], capture_output=True, check=False)
    return found.returncode == 0


def rows_of(medians: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Put the medians into rows: milliseconds a step, and how many times faster ours is."""
    peak = 2 * 2048**3 / medians["peak"]["product float32"] / 1e9
    rows = []
    for cell in steps.CELLS:
        operations = 3 * 2 * steps.BATCH * steps.TIME * 2 * steps.WIDTH * GATES[cell] * steps.WIDTH
        peers = {
            name: medians[name][f"{cell} float32"] for name in ("keras", "torch") if name in medians
        }
        for precision in ("mixed_bfloat16", "float32"):
            seconds = medians["rnnpipe"][f"{cell} {precision}"]
            rows.append(
                {
                    "step": f"{cell} (64, 400, 128 to 128)",
                    "precision": precision,
                    "milliseconds": _milliseconds({"rnnpipe": seconds} | peers),
                    "times_faster_than": _ratios(seconds, peers),
                    "share_of_float32_peak": round(operations / seconds / 1e9 / peak, 3),
                }
            )
        if f"{cell} reviews" in medians["rnnpipe"]:
            ours = medians["rnnpipe"][f"{cell} reviews"] / steps.BATCHES
            peers = {
                name: medians[name][f"{cell} reviews"] / steps.BATCHES
                for name in ("keras", "torch")
                if name in medians
            }
            rows.append(
                {
                    "step": f"{cell} classifier, 64 real reviews",
                    "precision": "mixed_bfloat16",
                    "milliseconds": _milliseconds({"rnnpipe": ours} | peers),
                    "times_faster_than": _ratios(ours, peers),
                }
            )
    return rows


def _milliseconds(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(1000 * value, 1) for name, value in seconds.items()}


def _ratios(ours: float, peers: dict[str, float]) -> dict[str, float]:
    return {name: round(value / ours, 2) for name, value in peers.items()}


def show(report: dict[str, Any]) -> None:
    """Print the table."""
    peak = report["peak_gflops"]
    print(
        f"\n{report['machine']['processor']}, {report['machine']['cores']} cores;"
        f" products: {peak['float32']:.0f} GFLOP/s float32, {peak['bfloat16']:.0f} bfloat16\n"
    )
    head = ("training step", "precision", "rnnpipe", "keras", "torch", "x keras", "x torch", "peak")
    print("{:36} {:14} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6}".format(*head))
    for row in report["steps"]:
        times, ratios = row["milliseconds"], row["times_faster_than"]
        cells = [
            *(f"{times[name]:.1f} ms" if name in times else "-" for name in ("rnnpipe", *_PEERS)),
            *(f"{ratios[name]:.2f}" if name in ratios else "-" for name in _PEERS),
            f"{row['share_of_float32_peak']:.0%}" if "share_of_float32_peak" in row else "",
        ]
        print(
            "{:36} {:14} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6}".format(
                row["step"], row["precision"], *cells
            )
        )
    print()
    for name, value in report["predict"].items():
        print(f"{name:50} {value}")


_PEERS = ("keras", "torch")


def main() -> None:
    """Measure, show, and keep the table."""
    medians = measure_steps()
    report = {
        "machine": machine.describe(),
        "rounds": ROUNDS,
        "peak_gflops": {
            name: round(2 * 2048**3 / medians["peak"][f"product {name}"] / 1e9, 1)
            for name in ("float32", "bfloat16")
        },
        "steps": rows_of(medians),
        "predict": predict.measure(),
    }
    write_json(REPORT, report)
    show(report)


if __name__ == "__main__":
    main()
