import re
import string
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import ArtifactSort

from flows.artifacts import documents, markdown, show
from flows.serving.pages import PAGES_VARIABLE
from rnnpipe.problems.classification.wording import WORDING
from rnnpipe.reporting.dag import direct, read_dag
from rnnpipe.storage.files import write_json

ROOT = Path(__file__).parents[2]
PAGE = Path("reports/index.html")
DAG = read_dag(ROOT / "dvc.yaml")
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da63"
    "fcffff3f0300050001ff0b0f3c5d0000000049454e44ae426082"
)
HOSTILE = '<script>alert(1)</script> | `x` ```\n# head\n\n| a | b |\n![p](http://evil.example) "]'
STATES = ("Ran", "Skipped", "Cached", "Failed", "Cancelled")


def outcome(state: str = "Ran", message: str = "done", lines: tuple[str, ...] = ()) -> Any:
    return SimpleNamespace(state=state, seconds=1.25, message=message, last_lines=lines)


class Reader(HTMLParser):
    """What a browser makes of a page: its tags, its addresses, and the text of table cells."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.addresses: list[str] = []
        self.cells: list[str] = []
        self.text = ""
        self._in_cell = False
        self.feed(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag in ("td", "th"):
            self.cells.append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_cell:
            self.cells[-1] += data


def metrics(accuracy: float) -> dict[str, Any]:
    own = {
        "accuracy": accuracy,
        "accuracy_low": accuracy - 0.01,
        "accuracy_high": accuracy + 0.01,
        "loss": 1 - accuracy,
        "n": 1000,
    }
    test = {"model_only_correct": 150, "baseline_only_correct": 50, "p_value": 8.1e-13}
    return own | {
        "validation": own,
        "baseline": {"accuracy": 0.8, "validation": own, "mcnemar": test},
    }


def suite(name: str = "reviews", expected: str = "all is well") -> dict[str, Any]:
    check = {
        "name": "no_duplicates_across_splits",
        "column": "text",
        "severity": "warning",
        "passed": False,
        "expected": expected,
        "observed": 0.25,
        "tried": True,
        "unexpected_count": 246,
        "unexpected_ids": ["test/neg/12043_2.txt"],
    }
    critical = {**check, "name": "id_present", "severity": "critical", "passed": True}
    return {"passed": True, "suite": name, "checked": 984, "expectations": [critical, check]}


def decision(verdict: str = "approved", name: str = "sentiment") -> dict[str, Any]:
    passed = verdict == "approved"
    return {
        "name": name,
        "verdict": verdict,
        "model": "a" * 64,
        "reasons": [
            {"name": "validation_accuracy", "found": 0.7, "required": 0.85, "passed": passed},
            {"name": "suite_reviews", "found": True, "required": True, "passed": True},
        ],
        "baseline_difference": -0.1,
        "baseline_p_value": 0.0213,
        "lineage": {
            "source": None,
            "steps": {"reviews": "b" * 64, "sequences": "c" * 64, "network": "d" * 64},
            "params": ['train.cell = "lstm"'],
        },
    }


# --- Markdown ---


@given(st.text() | st.text("|\\`*_[]()<>#!&~$-+=:\n\t ab"))
def test_any_text_stays_one_cell_and_reads_as_it_is(value):
    found = Reader(markdown.table(("one", "two"), [(markdown.text(value), "end")], "lr"))
    assert found.tags["td"] == 2
    assert found.cells[3].strip() == "end"
    assert set(found.tags) == {"table", "thead", "tbody", "tr", "th", "td"}
    shown = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", value).split())
    assert " ".join(found.cells[2].split()) == shown[:300] + "…" * (len(shown) > 300)


names = st.text(string.ascii_lowercase + "_", min_size=1, max_size=8)


@st.composite
def runs(draw: st.DrawFn) -> tuple[dict[str, tuple[str, ...]], dict[str, Any], list[str]]:
    stages = draw(st.lists(names | st.just(HOSTILE), min_size=1, max_size=8, unique=True))
    dag = {
        name: tuple(draw(st.lists(st.sampled_from(stages[:place]), unique=True)) if place else ())
        for place, name in enumerate(stages)
    }
    ended = draw(st.lists(st.sampled_from(stages), unique=True))
    outcomes = {name: outcome(draw(st.sampled_from(STATES)), HOSTILE, (HOSTILE,)) for name in ended}
    return dag, outcomes, draw(st.lists(st.sampled_from(stages), unique=True))


@given(runs())
def test_every_stage_stands_in_the_diagram_with_its_state(run):
    dag, outcomes, running = run
    lines = documents.mermaid(dag, outcomes, running).splitlines()
    boxes = [re.fullmatch(r'  (s\d+)\["([^"<>`]*)<br/>(.*?)"\]:::(\w+)', line) for line in lines]
    found = {name: box for name, box in zip(dag, [box for box in boxes if box], strict=True) if box}
    for name, box in found.items():
        state = "Waiting"
        if name in outcomes:
            state = outcomes[name].state
            assert "1.2 s" in box[3]
        elif name in running:
            state = "Running"
        assert state in box[3]
        assert box[4] == state.lower()
        assert name == HOSTILE or box[2] == name
    edges = {tuple(line.split(" --> ")) for line in lines if "-->" in line}
    assert edges == {
        (f"  {found[one][1]}", found[name][1])
        for name, needs in direct(dag).items()
        for one in needs
    }
    assert [line for line in lines if line.startswith("```")] == ["```mermaid", "```"]


@given(runs())
def test_the_table_below_the_diagram_holds_all_that_dvc_yaml_holds(run):
    dag, outcomes, running = run
    found = Reader(documents.dag_markdown(dag, outcomes, running))
    assert not {"script", "img", "a", "h1"} & set(found.tags)
    assert found.tags["td"] == 6 * len(dag)
    rows = [found.cells[start : start + 6] for start in range(6, len(found.cells), 6)]
    for (stage, needs), row in zip(dag.items(), rows, strict=True):
        assert row[1].strip() == " ".join(stage.split())
        assert row[5].strip() == ", ".join(" ".join(one.split()) for one in needs)


@given(runs())
def test_no_message_breaks_the_summary(run):
    dag, outcomes, _ = run
    found = Reader(documents.summary_markdown("night-1", outcomes, dag, Path("nowhere")))
    assert not {"script", "img", "a", "h1", "table"} & set(found.tags)
    assert "dvc exp apply night-1" in found.text
    failed = [stage for stage, one in outcomes.items() if one.state == "Failed"]
    assert ("Failed in" in found.text) == bool(failed)


def test_a_run_in_which_nothing_changed_says_so():
    outcomes = {stage: outcome("Skipped") for stage in DAG}
    summary = documents.summary_markdown("", outcomes, DAG, Path("nowhere"))
    assert "Nothing new" in summary
    assert "dvc exp apply" not in summary


def test_a_failed_run_shows_its_last_lines_and_what_it_did_not_reach():
    outcomes = {
        "download": outcome(),
        "prepare": outcome("Failed", "the digest differs", ("expected a", "found b")),
    }
    found = Reader(documents.summary_markdown("", outcomes, DAG, Path("nowhere")))
    for part in ("Failed in prepare", "the digest differs", "found b", "not reached: validate"):
        assert part in found.text


@pytest.mark.parametrize("champion", [None, {"version": "v0.3.0", **metrics(0.7)}])
def test_figures_stand_beside_baseline_and_champion(champion):
    found = Reader(documents.metrics_markdown(metrics(0.9), champion, WORDING))
    assert ("▲\u00a0+0.2000" in found.cells) == bool(champion)
    assert ("▲\u00a0−0.2000" in found.cells) == bool(champion), "of a loss, less is better"
    assert "▲\u00a0+0.1000" in found.cells
    assert ("Champion v0.3.0" in found.cells) == bool(champion)
    assert ("no champion" in found.text) != bool(champion)
    said = "The network alone is right about 150 reviews, the baseline alone about 50"
    assert found.text.count(f"{said}: McNemar p = 8.1e-13.") == 1, "of the test split only"


def test_the_figures_of_each_class_stand_below_under_its_name():
    by_class = {HOSTILE: {"n": 7, "f1": 0.25}, "好": {"n": 9, "f1": 0.75}}
    found = Reader(documents.metrics_markdown(metrics(0.9) | {"classes": by_class}, None, WORDING))
    assert "script" not in found.tags
    for cell in ("好", "0.2500", "0.7500"):
        assert cell in found.cells


def test_a_worse_model_is_called_worse():
    found = Reader(documents.metrics_markdown(metrics(0.6), metrics(0.7), WORDING))
    assert "▼\u00a0−0.1000" in found.cells


def test_a_champion_with_odd_figures_hurts_nobody():
    champion = {"version": HOSTILE, "accuracy": "high", "validation": [], "loss": None}
    found = Reader(documents.metrics_markdown(metrics(0.9), champion, WORDING))
    assert "script" not in found.tags
    assert found.tags["th"] == 14


def test_a_refused_model_shows_its_reasons():
    found = Reader(documents.decision_markdown(decision("refused"), WORDING))
    assert "Refused" in found.text
    assert "Accuracy on validation: found 0.7000, required at least 0.8500" in found.text


def test_an_approved_model_is_approved():
    found = Reader(documents.decision_markdown(decision(), WORDING))
    assert "Approved" in found.text
    assert "less the baseline's figure: −0.1000 (McNemar p = 0.021)" in found.text
    assert "does not hold" not in found.text


def test_warnings_are_explained_and_no_review_is_named():
    found = Reader(documents.suite_markdown(suite(), Path("nowhere"), Path("docs"), WORDING))
    assert "Warning" in found.text
    assert "The sequences stage drops these from train" in found.text
    assert "12043" not in found.text


def test_reports_of_hostile_texts_stay_texts():
    refused = decision("refused", HOSTILE)
    refused["reasons"][0]["name"] = HOSTILE
    refused["lineage"] |= {"source": HOSTILE, "params": [f"{HOSTILE} = {HOSTILE}"]}
    for page in (
        documents.suite_markdown(suite(HOSTILE, HOSTILE), Path("nowhere"), Path("docs"), WORDING),
        documents.decision_markdown(refused, WORDING),
        documents.lineage_markdown(refused, WORDING),
        documents.sequences_markdown({"dropped_" + HOSTILE: 3, "unknown_share": HOSTILE}, WORDING),
    ):
        found = Reader(page)
        assert not {"script", "img", "a", "code", "h1"} & set(found.tags)
        assert "alert(1)" in found.text


def test_the_best_epoch_is_marked():
    rows = [{"epoch": n, "loss": 0.5, "validation_loss": loss} for n, loss in ((1, 0.3), (2, 0.4))]
    assert "★ best so far" in documents.training_markdown(rows, 4).splitlines()[-2]
    assert "Epoch 2 of at most 4" in documents.training_markdown(rows, 4)
    assert "★ kept" in documents.training_markdown(rows, 2, 2).splitlines()[-1]


def test_pictures_come_along_in_the_page():
    found = Reader(documents.pictures_markdown({"roc": PIXEL, HOSTILE: PIXEL}, WORDING))
    assert found.tags["img"] == 2
    assert all(address.startswith("data:image/png;base64,") for address in found.addresses)


def test_a_page_is_a_link_only_where_pages_are_served(tmp_path, monkeypatch):
    folder = tmp_path / "night 1"
    monkeypatch.delenv(PAGES_VARIABLE, raising=False)
    assert Reader(markdown.link(folder, PAGE)).addresses == []
    assert str(folder / PAGE) in Reader(markdown.link(folder, PAGE)).text
    monkeypatch.setenv(PAGES_VARIABLE, "http://127.0.0.1:4201/")
    assert Reader(markdown.link(folder, PAGE)).addresses == []
    (folder / PAGE).parent.mkdir(parents=True)
    (folder / PAGE).touch()
    assert Reader(markdown.link(folder, PAGE)).addresses == [
        "http://127.0.0.1:4201/night%201/reports/index.html"
    ]


def test_neither_tensorflow_nor_great_expectations_is_loaded():
    code = (
        "import sys, flows.artifacts.show\n"
        "print({'tensorflow', 'great_expectations', 'pandas', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, text=True, capture_output=True
    )
    assert done.stdout.strip() == "set()"


# --- On a server ---


@pytest.fixture
def reported(tmp_path: Path) -> Path:
    """A folder as a run leaves it."""
    write_json(tmp_path / "reports/validation.json", suite())
    write_json(tmp_path / "reports/validation_sequences.json", suite("sequences"))
    write_json(tmp_path / "reports/sequences.json", {"train": 900, "dropped_train_in_test": 3})
    epochs = [{"epoch": n, "loss": 0.5, "validation_loss": 0.4} for n in (1, 2)]
    write_json(tmp_path / "models/network/history.json", {"epochs": epochs, "best_epoch": 2})
    write_json(tmp_path / "reports/metrics.json", metrics(0.9))
    write_json(tmp_path / "models/registration.json", decision())
    (tmp_path / "reports/plots").mkdir()
    (tmp_path / "reports/plots" / "roc.png").write_bytes(PIXEL)
    (tmp_path / "reports/gradient_flow").mkdir()
    (tmp_path / "reports/gradient_flow" / "gradient_flow.png").write_bytes(PIXEL)
    (tmp_path / PAGE).write_text("<p>page</p>")
    (tmp_path / "data" / "predictions").mkdir(parents=True)
    (tmp_path / "data" / "predictions" / "mistakes.csv").write_text("id,text\n1,A REVIEW\n")
    return tmp_path


def shown(since: datetime) -> dict[str, list[Any]]:
    """Artifacts made since a moment, by key; the server serves other tests, too."""
    with get_client(sync_client=True) as client:
        newest = client.read_artifacts(sort=ArtifactSort.CREATED_DESC)
    found = [each for each in reversed(newest) if each.created >= since]
    return {one.key: [other for other in found if other.key == one.key] for one in found}


def test_a_whole_run_shows_itself(prefect_server, reported):
    began = datetime.now(UTC)
    seen: list[tuple[float, str]] = []

    @task
    def train() -> None:
        progress = show.TrainingProgress()
        for epoch in (1, 2):
            progress.epoch(
                {"epoch": epoch, "epochs": 4, "loss": 0.5, "validation_loss": 0.4, "seconds": 2.0}
            )
            now = shown(began)
            seen.append((now["training-progress"][-1].data, now["training"][-1].data))
        show.show_stage("train", reported, None)

    @flow
    def pipeline() -> None:
        outcomes: dict[str, Any] = {}
        for stage in DAG:
            show.show_dag(DAG, outcomes, [stage])
            if stage == "train":
                train()
            else:
                show.show_stage(stage, reported, None)
            outcomes[stage] = outcome()
        show.show_stage("report", reported, None)
        show.show_dag(DAG, outcomes)
        show.show_summary("night-1", outcomes, DAG, reported)

    pipeline()
    found = shown(began)
    keys = {
        "dag", "validate", "validate-sequences", "sequences", "training", "training-progress",
        "gradient-flow", "metrics", "pictures", "verdict", "lineage", "report", "summary",
    }  # fmt: skip
    assert set(found) == keys
    assert all(len(of_key) == 1 for of_key in found.values()), "one of each, changed in place"
    assert all(of_key[0].flow_run_id for of_key in found.values())
    assert found["training"][0].task_run_id

    assert [percent for percent, _ in seen] == [25, 50]
    assert "Epoch 2 of at most 4" in seen[1][1]
    assert found["training-progress"][0].data == 100
    assert "those of epoch 2 kept" in found["training-progress"][0].description
    assert "★ kept" in found["training"][0].data

    assert found["dag"][0].data.count("✓ Ran") == len(DAG)
    assert "Approved" in found["verdict"][0].data
    summary = found["summary"][0].data
    for part in ("Done", "dvc exp apply night-1", "**Accuracy 0.9000**", "✓ approved"):
        assert part in summary
    assert not any("A REVIEW" in str(of_key[0].data) for of_key in found.values())


def test_every_run_has_artifacts_of_its_own(prefect_server):
    @flow
    def pipeline() -> None:
        show.show_dag(DAG, {})

    began = datetime.now(UTC)
    pipeline()
    pipeline()
    assert len(shown(began)["dag"]) == 2


def test_a_stage_without_a_report_shows_nothing(prefect_server, tmp_path):
    @flow
    def pipeline() -> None:
        for stage in (*DAG, "report", "unheard_of"):
            show.show_stage(stage, tmp_path, None)

    began = datetime.now(UTC)
    pipeline()
    assert not shown(began)


# --- A training, shown by what is handed to the server ---


@pytest.fixture
def handed(monkeypatch) -> dict[str, list[Any]]:
    """What would be put on the server: texts by key, and the progress with what it says."""
    found: dict[str, list[Any]] = {"progress": []}
    monkeypatch.setattr(show, "_show", lambda key, page, _: found.setdefault(key, []).append(page))
    monkeypatch.setattr(
        show, "_show_progress", lambda share, words: found["progress"].append((share, words))
    )
    monkeypatch.setattr(show, "_find", lambda key: found.get(key))
    return found


def test_a_training_moves_within_its_epochs(handed):
    progress = show.TrainingProgress()
    steps = {"epoch": 1, "epochs": 2, "step": 120, "steps": 400, "loss": 0.43211, "unit": "reviews"}
    progress.steps(steps | {"passed": 0.15, "per_second": 2340.4, "seconds_left": 610.0})
    progress.epoch({"epoch": 1, "epochs": 2, "loss": 0.4, "validation_loss": 0.3, "seconds": 215.0})
    (first, words), (second, _) = handed["progress"]
    assert (first, second) == (15.0, 50.0)
    assert words == (
        "Epoch 1 of at most 2, step 120 of 400: loss 0.4321, 2,340 reviews/s, 10 min left"
    )


def test_a_trial_moves_within_its_epochs(monkeypatch):
    found = []
    monkeypatch.setattr(show, "_show_progress", lambda *values: found.append(values))
    steps = {
        "epoch": 2,
        "epochs": 4,
        "step": 10,
        "steps": 40,
        "loss": 0.5,
        "unit": "words",
        "passed": 0.3125,
    }
    show.show_trial_steps("rnn-003", steps | {"per_second": 10.0, "seconds_left": 1.0})
    ((share, words, key),) = found
    assert (share, key) == (31.25, "rnn-003")
    assert words == "rnn-003. Epoch 2 of at most 4, step 10 of 40: loss 0.5, 10 words/s, 1 min left"


def test_the_seconds_of_the_epochs_stay_when_the_training_has_ended(handed, reported):
    progress = show.TrainingProgress()
    for epoch, seconds in ((1, 215.5), (2, 198.0)):
        progress.epoch(
            {"epoch": epoch, "epochs": 2, "loss": 0.5, "validation_loss": 0.4, "seconds": seconds}
        )
    show.show_stage("train", reported, None, "classification", progress.seconds)
    for seconds in ("215.5", "198.0"):
        assert seconds in handed["training"][-2]
        assert seconds in handed["training"][-1]
    # What DVC brought back from its cache nobody has timed.
    show.show_stage("train", reported, None)
    assert "215.5" not in handed["training"][-1]
