"""The README's figures come from the committed reports, and its commands exist."""

import re
from pathlib import Path

from benchmarks import tables

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_its_figures_are_those_of_the_reports():
    assert tables.filled(README, ROOT / "reports") == README
    for name in tables.TABLES:
        assert re.search(rf"<!-- {name} -->\n\S.*\n<!-- end {name} -->", README, re.DOTALL), name


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
