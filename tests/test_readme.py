"""The pages' figures come from the committed reports, and the commands and files they name exist."""

import re
from pathlib import Path

import pytest

from benchmarks import tables
from rnnpipe.storage.paths import stage_files

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")),
]


def test_their_figures_are_those_of_the_reports():
    texts = {page: (ROOT / page).read_text() for page in tables.PAGES}
    for page, text in texts.items():
        assert tables.filled(text, ROOT / "reports", up=tables.way_up(page)) == text, page
    for name in tables.TABLES:
        found = re.compile(rf"<!-- {name} -->\n\S.*\n<!-- end {name} -->", re.DOTALL)
        assert sum(bool(found.search(text)) for text in texts.values()) == 1, name


def test_the_readme_is_read_in_three_minutes():
    assert len(README.split()) < 1500


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_it_names_exists(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", (ROOT / page).read_text())) <= targets


@pytest.mark.parametrize("page", PAGES)
def test_every_file_it_leads_to_is_there(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http://", "https://")):
            assert ((ROOT / page).parent / target).exists(), target


def test_every_stage_stands_in_a_table_and_in_a_diagram():
    pages = "".join((ROOT / "docs" / name).read_text() for name in ("pipeline.md", "problems.md"))
    for stage in stage_files():
        assert f"| {stage} |" in pages
        assert re.search(rf"(-->|^) *{stage}\b|{stage} -->", pages, re.MULTILINE)


def test_nothing_is_left_to_fill_in():
    for page in PAGES:
        assert not re.search(r"@[A-Z_0-9]+@", (ROOT / page).read_text())
