"""How much a recipe's figures vary with its seed: ``python -m benchmarks.seeds``.

Each seed is a run of a problem's whole pipeline in a copy of the project that shares its DVC cache:
what the seed does not touch is restored, and so is a seed that has run before on the same inputs.
``reports/seeds.json``, of other problems ``reports/seeds_PROBLEM.json``, is written anew after each
run. Runs of the same code, data and parameters stay in it, and are not done again; others are dropped.
Another recipe (``--params params/NAME.yaml``) is kept in ``reports/seeds_NAME.json`` and, where it
learns from the same data, compared with the default one, seed by seed.
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
from rnnpipe.commands.project_copy import figures_of, make_attempt, named_problem
from rnnpipe.config.load import read_values
from rnnpipe.pipeline.definition import definition_file
from rnnpipe.pipeline.origin import origin_of
from rnnpipe.problems import problem_by
from rnnpipe.storage.files import read_json, write_json
from rnnpipe.storage.paths import current_name

REPORTS = Path("reports")
SEEDS = (1, 2, 3)
CONFIDENCE = 0.95
VALIDATION = "validation_"


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


def report_of(
    problem: str, overrides: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Lay runs out as ``reports/seeds.json``: figures on test first, then on validation.

    Args:
        problem: whose runs they are.
        overrides: in what the recipe differs from the problem's parameters.
        runs: one mapping a seed, at least one.
    """
    return _summary([figures_of(problem, run) for run in runs]) | {
        "confidence": CONFIDENCE,
        "validation": _summary([figures_of(problem, _on_validation(run)) for run in runs]),
        "params": overrides,
        "runs": list(runs),
    }


def _summary(runs: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Summarize each figure that all runs have; accuracy, a figure alone, stands without its name."""
    names = [name for name in runs[0] if all(name in run for run in runs)]
    summaries = {name: asdict(summarize([run[name] for run in runs])) for name in names}
    if names == ["accuracy"]:
        return summaries["accuracy"]
    return {key: {name: summaries[name][key] for name in names} for key in Summary.__annotations__}


def _on_validation(run: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix(VALIDATION): value
        for name, value in run.items()
        if name.startswith(VALIDATION)
    }


def merged(
    earlier: Sequence[Mapping[str, Any]], run: Mapping[str, Any]
) -> tuple[list[Mapping[str, Any]], list[int]]:
    """Put a run among earlier ones, by seed.

    Returns:
        The runs of its origin, the new one in the place of one of its seed; and the seeds of the
        runs that were left out because they come from something else.
    """
    alike = [other for other in earlier if other.get("origin") == run["origin"]]
    others = [other["seed"] for other in earlier if other.get("origin") != run["origin"]]
    kept = [other for other in alike if other["seed"] != run["seed"]]
    return sorted([*kept, run], key=lambda each: int(each["seed"])), others


def differences(
    problem: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> dict[str, list[float]]:
    """Return our figures on test less theirs, by name, for each seed that both reports hold."""
    found: dict[str, list[float]] = {}
    runs = {run["seed"]: figures_of(problem, run) for run in theirs["runs"]}
    for run in ours["runs"]:
        other = runs.get(run["seed"], {})
        for name, value in figures_of(problem, run).items():
            if name in other:
                found.setdefault(name, []).append(value - other[name])
    return found


def measure(seeds: Sequence[int], recipe: Path | None, problem: str | None = None) -> None:
    """Run the pipeline once a seed that is not there; write and show what came out.

    Args:
        seeds: values of ``train.seed``.
        recipe: a file of what differs from the problem's parameters; None: nothing.
        problem: its name; None: the one that the recipe names.

    Raises:
        RnnpipeError: a parameter is not allowed, or a stage failed.
    """
    overrides = read_values(recipe) if recipe else {}
    problem = current_name(problem or named_problem(overrides))
    default = "seeds" if problem == "classification" else f"seeds_{problem}"
    name = f"seeds_{recipe.stem}" if recipe else default
    report = REPORTS / f"{name}.json"
    for seed in dict.fromkeys(seeds):
        values = dict(overrides) | {"train": dict(overrides.get("train", {})) | {"seed": seed}}
        sandbox = make_attempt(Path(), COPIES / name, values, str(recipe or name), problem)
        origin = {"seed": seed, "origin": origin_of(sandbox.folder, problem)}
        earlier = read_json(report)["runs"] if report.exists() else []
        if any(run | origin == run for run in earlier):
            print(f"{report} holds seed {seed} of this code, data and parameters")
            continue
        sandbox.commit("Begin")
        file = definition_file(problem).as_posix()
        seconds = sandbox.reproduce(file).get(f"{file}:train".removeprefix("dvc.yaml:"))
        outcome = read_outcome(sandbox.folder, problem)
        if seconds is None:  # restored, it took no time now; an earlier run may know how much
            known = {run["network"]: run["train_seconds"] for run in earlier}
            seconds = known.get(outcome["network"])
        taken = None if seconds is None else round(seconds, 1)
        runs, others = merged(earlier, outcome | origin | {"train_seconds": taken})
        if others:
            print(
                f"{report}: seeds {', '.join(map(str, others))} were of other code, data or"
                " parameters: they are dropped, and come back if they run again"
            )
        write_json(report, report_of(problem, overrides, runs))
    _show(problem, read_json(report))
    if recipe and "download" not in overrides and (REPORTS / f"{default}.json").exists():
        _show_difference(problem, read_json(report), default)


_LINE = "{:>6} {:16} {:>9} {:>20} {:>11} {:>9} {:>24} {:>8}"


def _show(problem: str, report: Mapping[str, Any]) -> None:
    print(f"\n{problem}; of {', '.join(figures_of(problem, report['runs'][0]))}", end=" ")
    print(f"{problem_by(problem).selection.better} is better")
    heads = ("seed", "figure", "test", "interval", "validation", "baseline", "against it", "train")
    print(_LINE.format(*heads))
    for run in report["runs"]:
        taken = run["train_seconds"]
        for name, value in figures_of(problem, run).items():
            ends = [run.get(f"{name}_{end}") for end in ("low", "high")]
            print(
                _LINE.format(
                    run["seed"],
                    name,
                    f"{value:.4f}",
                    "-" if None in ends else f"{ends[0]:.4f} to {ends[1]:.4f}",
                    _figure(run.get(f"{VALIDATION}{name}")),
                    _figure(run.get(f"baseline_{name}")),
                    _against(run, name),
                    "-" if taken is None else f"{taken:.0f} s",
                )
            )
    for split, prefix in (("test", ""), ("validation", VALIDATION)):
        for name in figures_of(problem, report["runs"][0]):
            values = [run[f"{prefix}{name}"] for run in report["runs"] if f"{prefix}{name}" in run]
            if values:
                print(f"{name} on {split}: {_in_words(summarize(values))}")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _against(run: Mapping[str, Any], name: str) -> str:
    """Say how the network compares with its baseline on test: by McNemar's test, or by an interval."""
    if test := run.get("mcnemar"):
        only = f"{test['model_only_correct']}/{test['baseline_only_correct']}"
        return f"{only}, p {test['p_value']:.2g}"
    gap = run.get("difference", {}).get(name.rpartition("_")[2])
    return f"{gap['low']:+.4f} to {gap['high']:+.4f}" if gap else "-"


def _show_difference(problem: str, ours: Mapping[str, Any], default: str) -> None:
    theirs = read_json(REPORTS / f"{default}.json")
    for name, gaps in differences(problem, ours, theirs).items():
        words = _in_words(summarize(gaps))
        print(f"{name} against {REPORTS / default}.json, seed by seed: {words}")


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
    parser.add_argument(
        "--problem", help="whose pipeline (the one that the file names, classification)"
    )
    options = parser.parse_args()
    return exit_code(lambda: measure(options.seeds, options.params, options.problem))


if __name__ == "__main__":
    sys.exit(main())
