import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import bench, cells, growth, seeds, steps
from benchmarks.attempts import read_outcome
from rnnpipe.commands.project_copy import figures_of
from rnnpipe.errors import ParameterError, RnnpipeError
from rnnpipe.problems.classification.archive import prepare_archive
from rnnpipe.problems.classification.generated import write_corpus
from rnnpipe.storage.card import read_card
from rnnpipe.storage.files import read_json
from rnnpipe.storage.paths import problem_names

ROOT = Path(__file__).parents[1]
MEDIANS = {
    "peak": {"product float32": 0.1, "product bfloat16": 0.05},
    "rnnpipe": {f"{cell} float32": 0.25 for cell in steps.CELLS}
    | {f"{cell} bucketed reviews": 1.6 for cell in steps.CELLS},
    "keras": {f"{cell} float32": 1.0 for cell in steps.CELLS}
    | {f"{cell} fixed reviews": 8.0 for cell in steps.CELLS}
    | {f"{cell} bucketed reviews": 4.0 for cell in steps.CELLS},
}


# --- The table of training steps ---


def test_a_row_says_how_many_times_faster():
    fixed, reviews, alike = bench.rows_of(MEDIANS)[:3]
    assert fixed["step"] == "lstm (64, 400, 128 to 128)"
    assert fixed["precision"] == reviews["precision"] == "float32"
    assert fixed["milliseconds"] == {"rnnpipe": 250.0, "keras": 1000.0}
    assert fixed["times_faster_than"] == {"keras": 4.0}
    assert reviews["milliseconds"] == {"rnnpipe": 200.0, "keras": 1000.0}, "of one step of eight"
    assert reviews["times_faster_than"] == {"keras": 5.0}
    assert alike["times_faster_than"] == {"keras": 2.5}, "on batches of like length"


def test_the_share_of_the_peak_is_that_of_the_products():
    peak = bench.peak_gflops(MEDIANS)
    assert peak == {"float32": round(2 * 2048**3 / 1e8, 1), "bfloat16": round(4 * 2048**3 / 1e8, 1)}
    products = 3 * 2 * (64 * 400) * 256 * 512  # by 2 for a multiplication and an addition
    assert bench.operations("lstm") == products
    share = bench.rows_of(MEDIANS)[0]["share_of_float32_peak"]
    assert share == pytest.approx(products / 0.25e9 / peak["float32"], abs=1e-3)


def test_bfloat16_has_rows_only_where_it_was_measured():
    assert {row["precision"] for row in bench.rows_of(MEDIANS)} == {"float32"}
    both = MEDIANS["rnnpipe"] | {f"{cell} mixed_bfloat16": 0.125 for cell in steps.CELLS}
    rows = bench.rows_of(MEDIANS | {"rnnpipe": both})
    assert [row["precision"] for row in rows[:3]] == ["mixed_bfloat16", "float32", "mixed_bfloat16"]
    assert rows[0]["times_faster_than"] == {"keras": 8.0}, "of float32: all that Keras has here"


def test_the_table_can_be_shown(capsys):
    bench.show(
        {
            "machine": {"processor": "some", "cores": 2},
            "peak_gflops": bench.peak_gflops(MEDIANS),
            "steps": bench.rows_of(MEDIANS),
            "predict": {"help_s": 0.1},
        }
    )
    shown = capsys.readouterr().out
    assert "mixed_bfloat16 is float32 here" in shown
    assert re.search(r"lstm \(64.*250.0 ms +1000.0 ms +- +4.00 ", shown)


def test_a_framework_that_fails_is_named():
    with pytest.raises(RnnpipeError, match="worker of nothing ended early"):
        bench.Worker("nothing", sys.executable, {})


@given(st.lists(st.integers(1, 400), min_size=steps.BATCHES, max_size=100))
def test_the_chosen_batches_stand_for_all(widths):
    lengths = np.array(widths)
    chosen = steps.spread([np.array([row]) for row in range(len(widths))], lengths)
    assert len({int(rows[0]) for rows in chosen}) == steps.BATCHES
    found = sorted(int(lengths[rows].max()) for rows in chosen)
    # Each is the middle of an eighth: as many batches are narrower as should be.
    for place, width in enumerate(found):
        narrower, equal = (lengths < width).sum(), (lengths == width).sum()
        assert narrower <= len(widths) * (2 * place + 1) / 16 <= narrower + equal + 1


# --- Several seeds ---


def run(seed, accuracy, validation=0.9):
    return {"seed": seed, "accuracy": accuracy, "validation_accuracy": validation}


def test_mean_and_interval_by_hand():
    # t of 2 degrees of freedom at 97.5 %: 4.302653
    summary = seeds.summarize([0.90, 0.91, 0.92])
    assert (summary.mean, summary.sd) == (0.91, 0.01)
    assert summary.high - summary.mean == pytest.approx(4.302653 * 0.01 / math.sqrt(3), abs=1e-6)


def test_one_seed_has_no_spread():
    assert seeds.summarize([0.9]) == seeds.Summary(0.9, None, None, None)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_the_interval_holds_the_mean_and_the_mean_the_values(values):
    summary = seeds.summarize(values)
    assert summary.low <= summary.mean <= summary.high
    assert min(values) - 1e-6 <= summary.mean <= max(values) + 1e-6


def test_the_report_of_seeds_tells_test_and_validation_apart():
    report = seeds.report_of(
        "classification", {"train": {"cell": "gru"}}, [run(1, 0.8), run(2, 0.9, 0.95)]
    )
    assert report["mean"] == 0.85
    assert report["validation"]["mean"] == 0.925
    assert report["low"] < 0.85 < report["high"]
    assert [one["seed"] for one in report["runs"]] == [1, 2]


def test_of_several_figures_each_stands_by_its_name():
    runs = [
        {"seed": seed, "mse_96": error, "mse_192": 0.5, "validation_mse_96": 1.0, "network": "a"}
        for seed, error in ((1, 0.3), (2, 0.5))
    ]
    report = seeds.report_of("forecasting", {}, runs)
    assert report["mean"] == {"mse_96": 0.4, "mse_192": 0.5, "mse_mean": 0.45}
    assert report["sd"]["mse_192"] == 0
    assert report["validation"]["mean"]["mse_96"] == 1.0
    mixed = [{"seed": 1, "perplexity": 150.0, "perplexity_mixed": 130.0}]
    assert seeds.report_of("language_model", {}, [*mixed, {"seed": 2, "perplexity": 152.0}])[
        "mean"
    ] == {"perplexity": 151.0}, "what a run lacks has no mean"


def test_recipes_are_compared_seed_by_seed():
    problem = "classification"
    ours = seeds.report_of(problem, {}, [run(1, 0.8), run(3, 0.9), run(4, 0.7)])
    theirs = seeds.report_of(problem, {}, [run(3, 0.85), run(1, 0.7), run(2, 1.0)])
    assert seeds.differences(problem, ours, theirs)["accuracy"] == pytest.approx([0.1, 0.05])


RUNS = st.builds(
    lambda seed, origin: {"seed": seed, "origin": origin}, st.integers(1, 9), st.sampled_from("ab")
)


@given(st.lists(RUNS), RUNS)
def test_runs_of_one_origin_come_together_and_others_are_named(earlier, new):
    runs, others = seeds.merged(earlier, new)
    assert {run["origin"] for run in runs} == {new["origin"]}
    found = [run["seed"] for run in runs]
    alike = {run["seed"] for run in earlier if run["origin"] == new["origin"]}
    assert set(found) == alike | {new["seed"]}
    assert found == sorted(found)
    assert others == [run["seed"] for run in earlier if run["origin"] != new["origin"]]
    assert runs[found.index(new["seed"])] is new


@pytest.mark.parametrize("problem", problem_names())
def test_what_a_pipeline_reports_is_told_beside_its_baseline(problem):
    outcome = read_outcome(ROOT, problem)
    figures = figures_of(problem, outcome)
    for name, value in figures.items():
        assert outcome[name] == value
        assert outcome[f"validation_{name}"] > 0
        # A mixture that holds the baseline has none beside it.
        beside = {f"baseline_{name}", f"baseline_validation_{name}"} & set(outcome)
        assert len(beside) == (0 if name == "perplexity_mixed" else 2)
        assert outcome.get(f"{name}_low", value) <= value <= outcome.get(f"{name}_high", value)
    report = seeds.report_of(problem, {}, [outcome | {"seed": 1}])
    assert report["mean"] == figures.get("accuracy", figures)


def test_runs_of_every_problem_can_be_shown(capsys):
    for problem in problem_names():
        outcome = read_outcome(ROOT, problem) | {"seed": 1, "train_seconds": None}
        seeds._show(problem, seeds.report_of(problem, {}, [outcome]))
    shown = capsys.readouterr().out
    assert "of accuracy higher is better" in shown
    assert re.search(r"mse_mean on test: 0\.\d{4}, of one seed", shown)


# --- The cells ---


def test_the_rows_are_the_cells_and_the_files_named():
    found = cells.recipes([ROOT / "params" / "notebook.yaml"])
    assert list(found)[:3] == ["simple_rnn", "lstm", "gru"]
    assert list(found.values())[3]["train"]["num_layers"] == 2
    with pytest.raises(ParameterError, match="is not here"):
        cells.recipes([ROOT / "params" / "nothing.yaml"])


def test_the_weights_of_a_network_are_counted(tmp_path):
    from rnnpipe.networks.saving import save_network
    from rnnpipe.problems.classification.network import build_classifier
    from rnnpipe.problems.classification.params import Train

    params = Train(
        cell="gru",
        hidden_size=5,
        bidirectional=False,
        num_layers=2,
        shortcut=False,
        embedding="uniform",
        embedding_size=3,
        bigram_size=2,
        bigram_buckets=9,
    )
    save_network(build_classifier(params, 7, None), tmp_path / "network.keras")
    first, second = 3 * (5 * 5 + 5 * 5 + 2 * 5), 3 * (5 * 5 + 5 * 5 + 2 * 5)
    size = cells.size_of(tmp_path / "network.keras")
    assert size.recurrent_parameters == first + second
    assert size.parameters == first + second + 7 * 3 + 9 * 2 + 2 * 5 + 1


@pytest.mark.parametrize("name", ["seeds", "cells"])
def test_a_parameter_file_that_is_not_there_is_named(name):
    flag = ["--params"] if name == "seeds" else []
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *flag, "nothing.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == ParameterError.exit_code
    assert done.stderr.startswith("rnnpipe: nothing.yaml is not here")


# --- The Makefile ---


def test_every_target_of_the_makefile_is_listed_and_no_file():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert set(phony.split()) == targets
    assert targets == set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))


# --- Growth ---


def test_a_corpus_several_times_over_is_one_that_the_pipeline_takes(tmp_path):
    digest = write_corpus(tmp_path / "once.tar.gz", 100, seed=1)
    growth.write_copies(
        tmp_path / "once.tar.gz", tmp_path / "thrice.tar.gz", tmp_path / "card.json", 3
    )
    card = read_card(tmp_path / "card.json")
    table = tmp_path / "reviews.parquet"
    once = prepare_archive(tmp_path / "once.tar.gz", table, digest)
    thrice = prepare_archive(tmp_path / card.file_name, table, card.content_digest)
    assert thrice.reviews == {split: 3 * count for split, count in once.reviews.items()}
    assert sum(thrice.reviews.values()) == card.reviews
    assert thrice.duplicates == 0


def test_stages_that_were_not_measured_again_keep_their_figures(tmp_path):
    def stages(seconds: float, memory: int, *names: str) -> dict[str, dict[str, float]]:
        figures = {"seconds": seconds, "cpu_seconds": seconds, "memory_mb": memory}
        return dict.fromkeys(names, figures)

    report = tmp_path / "growth.json"
    again = [{"factor": 1, "reviews": 10, "stages": stages(2.0, 30, "prepare")}]
    with pytest.raises(RnnpipeError, match="no figures of this machine"):
        growth.keep(again, report)
    whole = {"factor": 1, "reviews": 10, "stages": stages(1.0, 20, "prepare", "train")}
    growth.keep([growth.summed(whole)], report)
    growth.keep(again, report)
    (row,) = read_json(report)["rows"]
    assert row["stages"] == stages(2.0, 30, "prepare") | stages(1.0, 20, "train")
    assert (row["seconds"], row["peak_memory_mb"]) == (3.0, 30)
