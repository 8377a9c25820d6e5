import json
import re
import shutil
import string
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpipe.config.load import load_params
from rnnpipe.errors import RnnpipeError
from rnnpipe.problems.classification.problem import PROBLEM
from rnnpipe.problems.classification.wording import WORDING
from rnnpipe.reporting.dag import direct, read_dag
from rnnpipe.reporting.diagram import draw
from rnnpipe.reporting.figures import compare
from rnnpipe.reporting.page import build_page
from rnnpipe.reporting.story import MAX_PICTURE_BYTES, Story, read_story
from rnnpipe.stages import report as stage
from rnnpipe.storage.files import write_json
from rnnpipe.storage.paths import paths_of

ROOT = Path(__file__).parents[1]
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da63"
    "fcffff3f0300050001ff0b0f3c5d0000000049454e44ae426082"
)
HOSTILE = "<script>alert(1)</script> | `x` \"'\n{{ 7 * 7 }} ]]> --> http://evil.example/"
names = st.text(string.ascii_lowercase, min_size=1, max_size=6)


def figures(accuracy: float) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key in ("accuracy", "precision", "recall", "f1", "auc_roc", "loss"):
        values |= {key: accuracy, f"{key}_low": accuracy - 0.01, f"{key}_high": accuracy + 0.01}
    return values | {"n": 25000}


def check(name: str, passed: bool, severity: str, expected: str = "all is well") -> dict[str, Any]:
    return {
        "name": name,
        "column": "id",
        "severity": severity,
        "passed": passed,
        "expected": expected,
        "observed": 0.00246,
        "tried": True,
        "unexpected_count": 246,
        "unexpected_ids": ["test/neg/12043_2.txt"],
    }


@pytest.fixture
def story() -> Story:
    return Story(
        dag=read_dag(ROOT / "dvc.yaml"),
        metrics=figures(0.9)
        | {
            "calibration_error": 0.03,
            "validation": figures(0.91)
            | {"ece": 0.0131, "sentences": {"accuracy": 0.6984, "ece": 0.0063, "n": 28812}},
            "without_shared": figures(0.905) | {"n": 24877},
            "baseline": figures(0.85)
            | {
                "mcnemar": {
                    "model_only_correct": 1852,
                    "baseline_only_correct": 640,
                    "p_value": 3.1e-08,
                },
                "validation": figures(0.86),
            },
        },
        suites={
            "reports/validation.json": {
                "passed": True,
                "suite": "reviews",
                "checked": 100000,
                "expectations": [
                    check("id_present", True, "critical"),
                    check("no_duplicates_across_splits", False, "warning"),
                ],
            }
        },
        sequences={
            "train": 20926,
            "dropped_train_in_test": 123,
            "vocabulary_size": 30000,
            "words": 5,
            "unknown_share": {"train": 0.017},
            "length_quantiles": {"50 %": 173},
        },
        history={
            "epochs": [
                {"epoch": number, "loss": 0.4, "validation_loss": 0.3, "learning_rate": 0.001}
                for number in (1, 2)
            ],
            "best_epoch": 2,
        },
        decision={
            "name": "sentiment",
            "verdict": "approved",
            "model": "a" * 64,
            "reasons": [
                {"name": "validation_accuracy", "found": 0.91, "required": 0.85, "passed": True},
                {"name": "suite_reviews", "found": True, "required": True, "passed": True},
            ],
            "baseline_difference": 0.05,
            "lineage": {
                "source": None,
                "steps": {"reviews": "b" * 64, "sequences": "c" * 64, "network": "d" * 64},
                "params": ['problem = "classification"', 'train.cell = "lstm"'],
            },
        },
        pictures={"training": PIXEL, "confusion": PIXEL},
    )


def page(story: Story) -> str:
    return build_page(
        story,
        confidence=0.95,
        meanings={"train.cell": "recurrent cell"},
        wording=WORDING,
        paths=paths_of("classification"),
    )


class Reader(HTMLParser):
    """Tags, addresses and text of a page; fails on a tag that is not closed."""

    VOID = frozenset({"meta", "img", "line", "br"})

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.handlers: list[str] = []
        self._open: list[str] = []
        self.feed(content)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "action"):
                self.addresses.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def assert_loads_nothing(content: str) -> None:
    found = Reader(content)
    assert not {"script", "link", "iframe", "object", "form", "base"} & set(found.tags)
    links = {"language_model/index.html", "forecasting/index.html"}  # followed, not loaded
    assert all(
        address.startswith("data:image/png;base64,") or address in links
        for address in found.addresses
    )
    assert not found.handlers
    style = content.split("<style>")[1].split("</style>")[0]
    assert "@import" not in style
    assert "url(" not in style


# --- The page ---


def test_the_page_tells_the_whole_story(story):
    text = Reader(page(story)).text
    for part in (
        "Approved",
        "Accuracy on 25,000 test reviews",
        "0.9000",
        "95 % interval 0.8900 to 0.9100",
        "the network is better",
        "at least 0.8500",
        "24,877",
        "123",
        "The sequences stage drops these from train",
        "recurrent cell",
        "b" * 64,
        "a table of your own",
    ):
        assert part in text
    assert "12043_2" not in text, "the ids of reviews are no business of a reader"
    for stage_name in story.dag:
        assert f">{stage_name}</text>" in page(story)


def test_what_is_known_of_single_sentences_stands_below_the_figures(story):
    told = page(story)
    for figure in ("0.0131", "28,812", "69.84 %", "0.0063"):
        assert figure in told
    alone = replace(story, metrics=figures(0.9))
    assert "single sentence" not in page(alone)


def test_the_page_loads_nothing_and_runs_nothing(story):
    assert_loads_nothing(page(story))


def test_equal_reports_give_equal_bytes(story):
    assert page(story) == page(story)


def test_no_day_no_host_and_no_path_stands_in_it(story, tmp_path):
    content = page(story)
    assert str(ROOT) not in content
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", content)


def test_a_refused_model_shows_why(story):
    gates = [
        {"name": "validation_accuracy", "found": 0.71, "required": 0.85, "passed": False},
        {"name": "better_than_baseline", "found": False, "required": True, "passed": False},
        {"name": "suite_reviews", "found": True, "required": True, "passed": True},
    ]
    refused = {**(story.decision or {}), "verdict": "refused", "reasons": gates}
    text = Reader(page(replace(story, decision=refused))).text
    assert "✗ Refused" in text
    assert "Approved" not in text
    assert "Accuracy on validation : found 0.7100, required at least 0.8500." in text
    assert "Better than the baseline on validation : found no, required yes." in text
    assert text.count("does not hold") == 2


def test_the_paired_test_stands_below_the_figures(story):
    said = "The network alone is right about 1,852 reviews, the baseline alone about 640"
    text = " ".join(Reader(page(story)).text.split())
    assert text.count(f"{said}: McNemar p = 3.1e-08.") == 2  # at the head and below the figures
    untested = {**story.metrics, "baseline": figures(0.85)}
    assert "alone is right" not in page(replace(story, metrics=untested))


def test_a_verdict_nobody_knows_is_no_approval(story):
    odd = {**(story.decision or {}), "verdict": "APPROVED?"}
    assert "Approved" not in Reader(page(replace(story, decision=odd))).text


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ("metrics", "reports/metrics.json"),
        ("decision", "models/registration.json"),
        ("history", "models/network/history.json"),
        ("sequences", "reports/sequences.json"),
    ],
)
def test_a_missing_report_is_told_and_not_fatal(story, part, path):
    content = page(replace(story, **{part: None}))
    assert_loads_nothing(content)
    assert f"{path} is not here" in Reader(content).text


def test_with_no_report_at_all_the_page_still_stands(story):
    content = page(Story(dag=story.dag, suites={"reports/validation.json": None}))
    assert_loads_nothing(content)
    assert "Not judged yet" in content
    assert Reader(content).text.count("is not here") >= 7


def test_a_picture_that_is_too_large_is_left_out_and_told(story):
    large = PIXEL + bytes(MAX_PICTURE_BYTES)
    content = page(replace(story, pictures={"training": PIXEL, "huge": large}))
    assert len(content) < 100_000
    assert "too large" in content


def hostile(value: Any) -> Any:
    """The same report with a hostile text in place of every text."""
    if isinstance(value, dict):
        return {key: hostile(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


def test_no_text_of_a_report_becomes_markup(story):
    content = page(
        Story(
            dag={HOSTILE: (), "b": (HOSTILE,)},
            metrics=story.metrics,
            suites={HOSTILE: hostile(story.suites["reports/validation.json"]), "gone": None},
            sequences={**hostile(story.sequences), "dropped_" + HOSTILE: 3},
            history=story.history,
            decision={
                **hostile(story.decision),
                "lineage": {"params": [f"{HOSTILE}.x = {HOSTILE}"], "source": HOSTILE},
            },
            pictures={HOSTILE: PIXEL},
        )
    )
    assert_loads_nothing(content)
    assert "alert(1)" in content
    assert "49" not in Reader(content).text, "a report is no template"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(deadline=None)  # the first page compiles the template
@given(st.data())
def test_reports_of_any_shape_make_a_page(data):
    parts = st.dictionaries(
        st.sampled_from(
            ["accuracy", "accuracy_low", "n", "baseline", "validation", "without_shared", "classes", "epochs",
             "best_epoch", "expectations", "suite", "passed", "checked", "reasons", "lineage",
             "name", "verdict", "unknown_share", "length_quantiles", "train"]
        ),
        json_values,
    )  # fmt: skip
    content = page(
        Story(
            dag={"a": ()},
            metrics=data.draw(parts),
            suites={"s": data.draw(parts)},
            sequences=data.draw(parts),
            history=data.draw(parts),
            decision=data.draw(parts),
        )
    )
    assert_loads_nothing(content)


# --- Figures ---


@given(ours=st.floats(0, 1), half=st.floats(0, 0.2), theirs=st.floats(0, 1), loss=st.floats(0, 1))
def test_a_figure_is_better_only_outside_its_interval(ours, half, theirs, loss):
    accuracy, log_loss = compare(
        {
            "accuracy": ours,
            "accuracy_low": ours - half,
            "accuracy_high": ours + half,
            "loss": loss,
        },
        {"accuracy": theirs, "loss": theirs},
        WORDING,
    )
    within = ours - half <= theirs <= ours + half
    assert accuracy.verdict == ("even" if within else "better" if ours > theirs else "worse")
    assert log_loss.verdict == (
        "even" if loss == theirs else "better" if loss < theirs else "worse"
    )


def test_without_another_nothing_is_compared():
    assert [figure.verdict for figure in compare({"accuracy": 0.9}, None, WORDING)] == ["unknown"]


# --- The diagram ---


@st.composite
def dags(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    stages = draw(st.lists(names, min_size=1, max_size=9, unique=True))
    return {
        name: tuple(draw(st.lists(st.sampled_from(stages[:place]), unique=True)) if place else ())
        for place, name in enumerate(stages)
    }


def above(dag: dict[str, tuple[str, ...]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, needs in dag.items():
        found[name] = set(needs).union(*(found[other] for other in needs))
    return found


@given(dags())
def test_edges_left_out_follow_from_those_drawn(dag):
    drawn = direct(dag)
    assert all(set(drawn[name]) <= set(dag[name]) for name in dag)
    assert above(drawn) == above(dag)
    for name, needs in drawn.items():
        for one in needs:
            fewer = {**drawn, name: tuple(other for other in needs if other != one)}
            assert above(fewer) != above(dag), "an edge too many"


@given(dags())
def test_boxes_do_not_overlap_and_every_edge_points_down(dag):
    diagram = draw(dag)
    assert [name for name, _, _ in diagram.nodes] == list(dag)
    assert len(diagram.edges) == sum(map(len, direct(dag).values()))
    wide, high = diagram.box
    place = {name: (x, y) for name, x, y in diagram.nodes}
    for name, (x, y) in place.items():
        assert wide / 2 <= x <= diagram.width - wide / 2
        assert high / 2 <= y <= diagram.height - high / 2
        assert all(place[other][1] < y for other in dag[name])
        for other, (right, down) in place.items():
            assert other == name or abs(x - right) >= wide or abs(y - down) >= high


def test_edges_are_those_that_dvc_sees(tmp_path):
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    code = (
        "import json\n"
        "from dvc.repo import Repo\n"
        "graph = Repo('.').index.graph\n"
        "print(json.dumps({s.name: [o.name for o in graph.successors(s)] for s in graph}))\n"
    )
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, text=True, capture_output=True
    )
    expected = {name: set(needs) for name, needs in json.loads(done.stdout).items()}
    dag = read_dag(ROOT / "dvc.yaml")
    assert {name: set(needs) for name, needs in dag.items()} == expected
    assert list(dag) == list(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])


def test_a_circle_is_named(tmp_path):
    path = tmp_path / "dvc.yaml"
    path.write_text("stages: {a: {deps: [y], outs: [x]}, b: {deps: [x], outs: [y]}}")
    with pytest.raises(RnnpipeError, match="a, b depend on one another"):
        read_dag(path)


@pytest.mark.parametrize("content", ["", "[]", "stages: 3", "stages: {a: [1]}", "{"])
def test_a_file_without_stages_is_named(tmp_path, content):
    path = tmp_path / "dvc.yaml"
    path.write_text(content)
    with pytest.raises(RnnpipeError, match="names no stages"):
        read_dag(path)


# --- The stage ---


def test_the_stage_writes_the_page_of_a_folder(story, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = load_params(ROOT / "params.yaml")
    with pytest.raises(RnnpipeError, match="dvc.yaml is not here"):
        stage.run(params)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    write_json(Path("reports/metrics.json"), story.metrics)
    write_json(Path("models/registration.json"), story.decision)
    for name in ("training", "confusion", "<odd>"):
        Path("reports/plots").mkdir(parents=True, exist_ok=True)
        (Path("reports/plots") / f"{name}.png").write_bytes(PIXEL)
    Path("reports/gradient_flow").mkdir()
    (Path("reports/gradient_flow") / "gradient_flow.png").write_bytes(PIXEL)
    stage.run(params)
    first = Path("reports/index.html").read_bytes()
    stage.run(params)
    assert Path("reports/index.html").read_bytes() == first
    assert_loads_nothing(first.decode())
    assert list(
        read_story(tmp_path, PROBLEM.paths, PROBLEM.validation_reports, WORDING).pictures
    ) == [
        "training",
        "confusion",
        "<odd>",
        "gradient_flow",
    ]


@pytest.mark.parametrize("content", ["", "[]", '{"accuracy": ', "\udcff"])
def test_a_broken_report_is_named(tmp_path, content):
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    path = tmp_path / Path("reports/metrics.json")
    path.parent.mkdir()
    path.write_text(content, errors="surrogateescape")
    with pytest.raises(RnnpipeError, match=r"metrics\.json"):
        read_story(tmp_path, PROBLEM.paths, PROBLEM.validation_reports, WORDING)


def test_an_uneven_split_shows_precision_and_recall_first(tmp_path):
    paths = paths_of("classification")
    for name in ("training", "confusion", "precision_recall"):
        file = tmp_path / "reports/plots" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(PIXEL)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    for share, first in ((0.6, "training"), (0.93, "precision_recall"), (None, "training")):
        largest = {"largest_class": {"share": share}}
        write_json(tmp_path / "reports/metrics.json", {"validation": largest})
        found = read_story(tmp_path, paths, [], WORDING)
        assert next(iter(found.pictures)) == first
        assert len(found.pictures) == 3


def test_a_refused_model_is_told_what_to_try(story):
    gates = [
        {"name": "every_class_called", "found": False, "required": True, "passed": False},
        {"name": "better_than_baseline", "found": False, "required": True, "passed": False},
        {"name": "validation_accuracy", "found": 0.91, "required": 0.85, "passed": True},
    ]
    decision = {**story.decision, "verdict": "refused", "reasons": gates}
    shown = page(replace(story, decision=decision))
    assert "train.class_weight: balanced" in shown
    assert WORDING.try_next("better_than_baseline") in shown
    assert WORDING.try_next("validation_accuracy") not in shown
    assert "What to try" not in page(story)


def test_the_figures_of_each_class_stand_in_a_table(story):
    names = [HOSTILE, "x" * 300, "\u202eevil"]
    by_class = {name: {**figures(0.8), "n": 5} for name in names}
    metrics = {**story.metrics, "classes": by_class}
    shown = page(replace(story, metrics=metrics))
    assert "By class" in Reader(shown).text
    assert_loads_nothing(shown)
    assert "\u202e" not in shown
    assert "By class" not in page(story)
