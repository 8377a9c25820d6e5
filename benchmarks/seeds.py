"""How much a recipe's accuracy varies with its seed: ``python -m benchmarks.seeds``.

Each seed is a run of the whole pipeline in a copy of the project that shares its DVC cache: what
the seed does not touch is restored, and so is a seed that has run before on the same inputs.
``reports/seeds.json`` is written anew after each run, and holds the seeds that are done.
Another recipe (``--params params/NAME.yaml``) is kept in ``reports/seeds_NAME.json`` and compared
with the default one, seed by seed.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from benchmarks.attempts import COPIES, exit_code, read_outcome
from rnnpipe.commands.project_copy import make_attempt
from rnnpipe.config.load import read_values
from rnnpipe.storage.files import read_json, write_json

REPORTS = Path("reports")
SEEDS = (1, 2, 3)
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """Mean, sample standard deviation, and Student's t interval of the mean.

    Of a single value there is a mean alone.
    """

    mean: float
    sd: float | None
    low: float | None
    high: float | None


def summarize(values: Sequence[float]) -> Summary:
    """Take the mean of one figure over the seeds, and how well so few seeds know it.

    >>> summarize([0.90, 0.91, 0.92])
    Summary(mean=0.91, sd=0.01, low=0.885159, high=0.934841)
    """
    mean = statistics.fmean(values)
    if len(values) == 1:
        return Summary(round(mean, 6), None, None, None)
    sd = statistics.stdev(values)
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    reach = quantile * sd / math.sqrt(len(values))
    return Summary(round(mean, 6), round(sd, 6), round(mean - reach, 6), round(mean + reach, 6))


def report_of(overrides: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Lay runs out as ``reports/seeds.json``: accuracy on test first, then on validation.

    Args:
        overrides: in what the recipe differs from ``params.yaml``.
        runs: one mapping a seed, at least one.
    """
    return asdict(summarize([run["accuracy"] for run in runs])) | {
        "confidence": CONFIDENCE,
        "validation": asdict(summarize([run["validation_accuracy"] for run in runs])),
        "params": overrides,
        "runs": list(runs),
    }


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[float]:
    """Return our accuracy on test less theirs, for each seed that both reports hold."""
    accuracies = {run["seed"]: run["accuracy"] for run in theirs["runs"]}
    return [
        run["accuracy"] - accuracies[run["seed"]]
        for run in ours["runs"]
        if run["seed"] in accuracies
    ]


def measure(seeds: Sequence[int], recipe: Path | None) -> None:
    """Run the pipeline once a seed; write and show what came out.

    Args:
        seeds: values of ``train.seed``.
        recipe: a file of what differs from ``params.yaml``; None: nothing.

    Raises:
        RnnpipeError: a parameter is not allowed, or a stage failed.
    """
    overrides = read_values(recipe) if recipe else {}
    name = f"seeds_{recipe.stem}" if recipe else "seeds"
    report = REPORTS / f"{name}.json"
    earlier = read_json(report)["runs"] if report.exists() else []
    seconds_of = {run["network"]: run["train_seconds"] for run in earlier}
    runs: list[dict[str, Any]] = []
    for seed in dict.fromkeys(seeds):
        values = dict(overrides) | {"train": dict(overrides.get("train", {})) | {"seed": seed}}
        sandbox = make_attempt(Path(), COPIES / name, values, str(recipe or "seeds"))
        sandbox.commit("Begin")
        seconds = sandbox.reproduce()
        outcome = read_outcome(sandbox.folder)
        # A training that DVC restored has taken no time now; an earlier report may know how much.
        taken = (
            round(seconds["train"], 1) if "train" in seconds else seconds_of.get(outcome.network)
        )
        runs.append({"seed": seed} | asdict(outcome) | {"train_seconds": taken})
        write_json(report, report_of(overrides, runs))
    _show(read_json(report))
    default = REPORTS / "seeds.json"
    if recipe and default.exists():
        _show_difference(read_json(report), read_json(default))


def _show(report: Mapping[str, Any]) -> None:
    line = "{:>6} {:>8} {:>18} {:>12} {:>10} {:>16} {:>9} {:>8}"
    print()
    print(
        line.format(
            "seed", "test", "interval", "validation", "baseline", "only ours/theirs", "p", "train"
        )
    )
    for run in report["runs"]:
        test, taken = run["mcnemar"], run["train_seconds"]
        print(
            line.format(
                run["seed"],
                f"{run['accuracy']:.4f}",
                f"{run['accuracy_low']:.4f} to {run['accuracy_high']:.4f}",
                f"{run['validation_accuracy']:.4f}",
                f"{run['baseline_accuracy']:.4f}",
                f"{test['model_only_correct']}/{test['baseline_only_correct']}",
                f"{test['p_value']:.2g}",
                "-" if taken is None else f"{taken:.0f} s",
            )
        )
    for split, summary in (("test", report), ("validation", report["validation"])):
        print(f"{split}: {_in_words(Summary(*(summary[key] for key in Summary.__annotations__)))}")


def _show_difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    if gaps := differences(ours, theirs):
        print(f"against reports/seeds.json, seed by seed: {_in_words(summarize(gaps))}")


def _in_words(summary: Summary) -> str:
    if summary.sd is None:
        return f"{summary.mean:.4f}, of one seed"
    return (
        f"mean {summary.mean:.4f} ({CONFIDENCE:.0%} interval {summary.low:.4f} to"
        f" {summary.high:.4f}), standard deviation {summary.sd:.4f}"
    )


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seeds", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="default: 1 2 3")
    parser.add_argument("--params", type=Path, help="a parameter file with what differs")
    options = parser.parse_args()
    return exit_code(lambda: measure(options.seeds, options.params))


if __name__ == "__main__":
    sys.exit(main())
