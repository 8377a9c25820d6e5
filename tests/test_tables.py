"""The README's tables: what they say is what the reports say, and nothing else is touched."""

import json

from benchmarks import tables

TEXT = "before\n<!-- seeds -->\nold\n<!-- end seeds -->\nafter | 0.1\n"
RUN = {"mcnemar": {"p_value": 0.00123}}
SEEDS = {"mean": 0.91234, "sd": 0.001, "low": 0.91, "high": 0.92, "confidence": 0.95}


def write(folder, name, report):
    (folder / f"{name}.json").write_text(json.dumps(report))


def test_a_table_is_put_into_its_place_and_again_changes_nothing(tmp_path):
    write(tmp_path, "seeds", SEEDS | {"runs": [RUN, RUN]})
    once = tables.filled(TEXT, tmp_path)
    assert once.startswith("before\n<!-- seeds -->\nOver 2 seeds")
    assert once.endswith("\n<!-- end seeds -->\nafter | 0.1\n")
    assert "mean accuracy is 0.9123" in once
    assert "0.0012, 0.0012" in once
    assert tables.filled(once, tmp_path) == once


def test_a_report_that_is_not_there_leaves_its_table_alone(tmp_path):
    assert tables.filled(TEXT, tmp_path) == TEXT


def test_a_text_without_a_place_is_left_alone(tmp_path):
    write(tmp_path, "seeds", SEEDS | {"runs": [RUN, RUN]})
    for text in ("nothing\n", "<!-- seeds -->\nwithout an end\n"):
        assert tables.filled(text, tmp_path) == text


def test_a_single_seed_has_no_interval(tmp_path):
    write(tmp_path, "seeds", SEEDS | {"sd": None, "low": None, "high": None, "runs": [RUN]})
    assert "Of one seed" in tables.filled(TEXT, tmp_path)


def test_each_figure_of_a_problem_stands_beside_its_baseline():
    runs = [{"mse_96": error, "baseline_mse_96": 0.37} for error in (0.35, 0.36)]
    table = tables.seeds_table({"mean": {"mse_96": 0.355}, "sd": {"mse_96": 0.007}, "runs": runs})
    assert table.splitlines()[2] == "| `mse_96` | **0.3550** | 0.0070 | 0.3500, 0.3600 | 0.3700 |"


def test_growth_is_told_by_how_many_times_the_smallest(tmp_path):
    def row(reviews, memory, seconds):
        stages = {"prepare": {"memory_mb": memory, "seconds": seconds}}
        return {
            "reviews": reviews,
            "stages": stages,
            "peak_memory_mb": memory,
            "seconds": seconds,
        }

    report = {"rows": [row(1000, 200, 10.0), row(10_000, 250, 90.0)]}
    lines = tables.growth_table(report).splitlines()
    assert lines[0] == "|  | 1,000 reviews | 10,000 reviews |"
    assert lines[2] == "| `prepare` | 200 MB (1.00 ×), 10 s | 250 MB (1.25 ×), 90 s |"


def test_a_cell_that_failed_says_so():
    table = tables.cells_table({"rows": [{"name": "lstm", "failed": "the loss became nan"}]})
    assert "| lstm | failed |" in table


def test_transfer_is_told_in_pairs_of_one_seed():
    def report(**accuracies):
        runs = [{"seed": int(seed[1:]), "accuracy": value} for seed, value in accuracies.items()]
        return {"runs": runs}

    told = tables.transfer_paragraph(report(s1=0.90, s2=0.91, s3=0.5), report(s1=0.91, s2=0.93))
    assert "2 seeds" in told
    assert "loses 0.0150 of test accuracy: 0.9000 against 0.9100; 0.9100 against 0.9300" in told
