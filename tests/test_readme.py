"""The README's figures come from the committed reports, and its commands exist."""

import re
from pathlib import Path

from benchmarks import tables
from rnnpipe.files import read_json

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def row(beginning: str) -> list[str]:
    (line,) = [line for line in README.splitlines() if line.startswith(f"| {beginning}")]
    return [cell.strip().strip("*") for cell in line.strip("|").split("|")]


def expected(figures: dict) -> list[str]:
    return [
        f"{figures['accuracy']:.4f}",
        f"{figures['accuracy_low']:.4f} to {figures['accuracy_high']:.4f}",
        f"{figures['f1']:.4f}",
        f"{figures['auc_roc']:.4f}",
    ]


def test_the_results_table_is_that_of_the_reports():
    metrics = read_json(ROOT / "reports" / "metrics.json")
    notebook = read_json(ROOT / "reports" / "notebook.json")
    assert row("the teaching notebook")[1:5] == expected(notebook)
    assert row("**rnnpipe, default parameters**")[1:5] == expected(metrics)
    assert row("linear model")[1:5] == expected(metrics["baseline"])
    assert f"accuracy to {metrics['without_shared']['accuracy']:.4f}" in " ".join(README.split())
    assert f"the {metrics['n'] - metrics['without_shared']['n']} test reviews" in README


def test_its_other_tables_are_those_of_the_reports():
    assert tables.filled(README, ROOT / "reports") == README
    for name in tables.TABLES:
        assert re.search(rf"<!-- {name} -->\n\S.*\n<!-- end {name} -->", README, re.DOTALL)


def test_what_it_says_of_validation_and_of_the_paired_test_is_in_the_report():
    metrics = read_json(ROOT / "reports" / "metrics.json")
    test, text = metrics["baseline"]["mcnemar"], " ".join(README.split())
    ahead = f"{metrics['validation']['accuracy']:.4f} to"
    assert f"{ahead} {metrics['baseline']['validation']['accuracy']:.4f}" in text
    assert f"right about {test['only_ours']} reviews" in text
    assert f"alone about {test['only_theirs']} (McNemar's test: p = {test['p_value']:.4f})" in text


def test_every_make_target_it_names_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", README)) <= targets


def test_every_stage_stands_in_its_table_and_its_diagram():
    from rnnpipe.__main__ import STAGES

    for stage in STAGES:
        assert f"| {stage} |" in README
        assert re.search(rf"(-->|^) *{stage}\b|{stage} -->", README, re.MULTILINE)


def test_nothing_is_left_to_fill_in():
    assert not re.search(r"@[A-Z_0-9]+@", README)
