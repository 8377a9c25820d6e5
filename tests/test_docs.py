"""The pages in docs/ show the figures that were measured, and pictures that are there."""

import re
from pathlib import Path

from rnnpipe.storage.files import read_json

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "vanishing-gradients.md").read_text()
FIGURES = read_json(DOCS / "vanishing_gradients.json")


def rows(head: str) -> list[list[str]]:
    """The cells of the table whose head begins so, without their names."""
    table = PAGE[PAGE.index(f"| {head} |") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")][1:] for line in table[2:]]


def ratios(figures: dict) -> list[str]:
    return [f"{figures[f'ratio_{steps}']:.1e}" for steps in (100, 300)]


def test_the_tables_of_ratios_are_those_measured():
    measured = [ratios(scale["recurrent_1"]) for scale in FIGURES["scales"].values()]
    assert rows("recurrent weights") == measured
    shown = rows("change")
    measured = [ratios(change["recurrent_2"]) for change in FIGURES["changes"].values()]
    assert sorted(shown) == sorted(measured)


def test_the_table_of_trained_networks_is_that_measured():
    assert rows("network") == [
        [
            f"{network['before']['recurrent_2']['ratio_300']:.1e}",
            f"{network['after']['recurrent_2']['ratio_300']:.1e}",
            f"{network['validation_accuracy']:.4f}",
        ]
        for network in FIGURES["trained"].values()
    ]


def test_every_picture_is_there_and_small():
    names = re.findall(r"\]\((images/[^)]+)\)", PAGE)
    assert len(names) == 4
    for name in names:
        assert (DOCS / name).stat().st_size < 200_000


def test_every_promise_names_a_test_that_is_there():
    named = set(re.findall(r"`(test_\w+)`", Path("docs/reliability.md").read_text()))
    there = {
        name
        for path in Path("tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert named <= there
    assert len(named) > 50
