"""docs/scale.md shows what its script gives, and the script's lines go through what was measured."""

import re
from pathlib import Path

import pytest

from benchmarks.tables import filled
from docs import scale
from rnnpipe.storage.files import read_json

ROOT = Path(__file__).parents[1]
PAGE = scale.PAGE.read_text(encoding="utf-8")
GROWTH, CELLS, SEQUENCES = (
    read_json(ROOT / f"reports/{name}.json") for name in ("growth", "cells", "sequences")
)
STAGES = list(GROWTH["rows"][0]["stages"])


def test_the_page_shows_what_its_script_gives():
    assert filled(PAGE, ROOT / "reports", scale.TABLES) == PAGE


@pytest.mark.parametrize("name", scale.TABLES)
def test_every_table_has_its_place_on_the_page(name):
    (table,) = re.findall(rf"<!-- {name} -->\n(.*)\n<!-- end {name} -->", PAGE, re.DOTALL)
    assert table.count("\n|") > 5


@pytest.mark.parametrize("stage", STAGES)
def test_a_line_goes_through_the_ends_and_not_far_from_the_middle(stage):
    first, middle, last = GROWTH["rows"]
    for what, most in (("seconds", 0.15), ("memory_mb", 0.1)):
        line = scale.line(GROWTH, stage, what)
        assert line.at(first["reviews"]) == pytest.approx(first["stages"][stage][what])
        if line.slope:
            assert line.at(last["reviews"]) == pytest.approx(last["stages"][stage][what])
        found = line.at(middle["reviews"]) / middle["stages"][stage][what] - 1
        assert line.error == pytest.approx(found)
        assert abs(found) < most, "the page says: about a tenth"


def test_a_power_law_goes_through_the_ends_and_stops_where_told():
    counts = scale.COUNTS["distinct_pairs"]
    sizes = [int(size) for size in counts]
    for size in (sizes[0], sizes[-1]):
        assert scale.power(counts, size) == pytest.approx(counts[str(size)])
    for size in sizes[1:-1]:
        assert scale.power(counts, size) == pytest.approx(counts[str(size)], rel=0.05)
    assert scale.power(counts, 10**12, most=7) == 7


def test_the_default_training_costs_what_it_cost():
    lstm = next(row for row in CELLS["rows"] if row["name"] == "lstm")
    assert scale.recurrent_weights(64) == lstm["recurrent_parameters"]
    seconds = scale.default_training(CELLS, SEQUENCES, 64) * scale.COUNTS["reviews"]
    assert seconds == pytest.approx(lstm["train_seconds"])


def test_limits_come_in_the_order_in_which_they_are_met():
    table = scale.limits(GROWTH, CELLS, SEQUENCES).splitlines()[2:]
    reached = [int(row.split("|")[1].replace(",", "")) for row in table]
    assert reached == sorted(reached)
