"""The registry's judgement: gates, the model folder, comparing two, and the tags' meaning."""

import json
import shutil
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnpipe.errors import RegistryError
from rnnpipe.problems.classification.params import Register
from rnnpipe.registry.card import card as model_card
from rnnpipe.registry.comparison import compare
from rnnpipe.registry.decision import (
    Decision,
    Lineage,
    parse_decision,
    read_decision,
    trace,
)
from rnnpipe.registry.decision import decide as decide_on
from rnnpipe.registry.find import find
from rnnpipe.registry.folder import MODEL_FILES, check_model, write_predictions
from rnnpipe.registry.folder import assemble as assemble_folder
from rnnpipe.registry.manifest import MANIFEST, write_manifest
from rnnpipe.registry.selection import Selection
from rnnpipe.registry.versions import Tag, known_stages, registered
from rnnpipe.registry.versions import histories as histories_of
from rnnpipe.storage.files import sha256_directory, sha256_file, write_json

NAME = "sentiment"
SELECTION = Selection("accuracy", "higher", "min_validation_accuracy")
LABELS = ("neg", "pos")
LINEAGE = Lineage(
    source="5" * 64,
    steps={"reviews": "1" * 64, "sequences": "2" * 64, "network": "3" * 64},
    params=('train.cell = "lstm"', "train.fraction = 1.0"),
)


def metrics(
    accuracy: float = 0.9, baseline: float = 0.88, p_value: float | None = None
) -> dict[str, Any]:
    def figures(value: float) -> dict[str, Any]:
        keys = ("accuracy", "precision", "recall", "f1", "auc_roc", "loss")
        bounds = {f"{key}_low": value - 0.01 for key in keys}
        bounds |= {f"{key}_high": value + 0.01 for key in keys}
        return dict.fromkeys(keys, value) | bounds | {"n": 1000}

    below = figures(baseline) | {
        "mcnemar": {
            "model_only_correct": 9,
            "baseline_only_correct": 1,
            "p_value": p_value or 0.02148,
        }
    }
    ours = figures(accuracy)
    return ours | {"validation": ours, "baseline": below | {"validation": below}}


def decide(
    accuracy: float = 0.9,
    *,
    baseline: float = 0.88,
    passed: tuple[bool, bool] = (True, True),
    better: bool = False,
    p_value: float | None = None,
) -> Decision:
    return decide_on(
        NAME,
        Register(min_validation_accuracy=0.85, require_better_than_baseline=better),
        SELECTION,
        model="0" * 64,
        metrics=metrics(accuracy, baseline, p_value),
        suites=[
            {"suite": "reviews", "passed": passed[0]},
            {"suite": "sequences", "passed": passed[1]},
        ],
        lineage=LINEAGE,
    )


# --- Gates -------------------------------------------------------------------------------


@given(accuracy=st.floats(0, 1), passed=st.tuples(st.booleans(), st.booleans()))
def test_approved_exactly_when_every_gate_holds(accuracy: float, passed: tuple[bool, bool]) -> None:
    decision = decide(accuracy, passed=passed)
    assert (decision.verdict == "approved") == (accuracy >= 0.85 and all(passed))
    assert [gate.passed for gate in decision.reasons] == [accuracy >= 0.85, *passed]


def test_every_reason_says_what_was_found_and_required() -> None:
    decision = decide(0.8, passed=(False, True))
    assert [str(gate) for gate in decision.reasons] == [
        "validation_accuracy: found 0.8, required 0.85",
        "suite_reviews: found false, required true",
        "suite_sequences: found true, required true",
    ]


def test_being_better_than_the_baseline_is_a_gate() -> None:
    assert Register().require_better_than_baseline
    below = decide(0.9, baseline=0.91, better=True)
    assert (below.verdict, below.baseline_difference) == ("refused", -0.01)
    assert str(below.reasons[-1]) == "better_than_baseline: found false, required true"
    level = decide(0.9, baseline=0.9, better=True)
    assert level.verdict == "approved"
    assert str(level.reasons[-1]) == "level_with_baseline: found true, required true"
    assert decide(0.9, baseline=0.89, better=True).verdict == "approved"


@given(
    accuracy=st.floats(0.85, 1).map(lambda value: round(value, 6)),
    baseline=st.floats(0, 1).map(lambda value: round(value, 6)),
    p_value=st.floats(1e-300, 1),
)
def test_behind_is_what_chance_does_not_explain(accuracy, baseline, p_value) -> None:
    gate = decide(accuracy, baseline=baseline, better=True, p_value=p_value).reasons[-1]
    assert gate.passed == (accuracy >= baseline or p_value > 0.05)
    is_level = accuracy == baseline or (accuracy < baseline and p_value > 0.05)
    assert gate.name == ("level_with_baseline" if is_level else "better_than_baseline")


def test_without_the_gate_the_baseline_is_recorded_all_the_same() -> None:
    below = decide(0.9, baseline=0.91)
    assert (below.verdict, below.baseline_difference) == ("approved", -0.01)
    assert below.baseline_p_value == 0.02148


def test_the_gate_looks_at_validation_alone() -> None:
    figures = metrics(0.9, baseline=0.89)
    figures["baseline"] = figures["baseline"] | {"accuracy": 0.99}
    judged = decide_on(
        NAME,
        Register(),
        SELECTION,
        model="0" * 64,
        metrics=figures,
        suites=[],
        lineage=LINEAGE,
    )
    assert judged.verdict == "approved"


def judge(figures: dict[str, Any], selection: Selection = SELECTION, **rules: Any) -> Decision:
    given = Namespace(**{"require_better_than_baseline": True} | rules)
    return decide_on(
        NAME, given, selection, model="0" * 64, metrics=figures, suites=[], lineage=LINEAGE
    )


def test_a_baseline_that_was_not_measured_is_named() -> None:
    figures = metrics()
    del figures["baseline"]["validation"]["accuracy"]
    with pytest.raises(RegistryError, match="'accuracy'"):
        judge(figures, min_validation_accuracy=0.85)


@given(ours=st.floats(1, 1e3), baseline=st.floats(1, 1e3), most=st.floats(1, 1e3))
def test_where_less_is_better_every_gate_is_turned_around(
    ours: float, baseline: float, most: float
) -> None:
    figures = {
        "validation": {"perplexity": ours},
        "baseline": {"validation": {"perplexity": baseline}},
    }
    selection = Selection("perplexity", "lower", "max_validation_perplexity")
    decision = judge(figures, selection, max_validation_perplexity=most)
    better = round(ours - baseline, 6) <= 0  # level passes, too
    assert [gate.passed for gate in decision.reasons] == [ours <= most, better]
    assert decision.baseline_p_value is None


def test_a_decision_of_an_older_version_can_be_read() -> None:
    values = asdict(decide())
    del values["baseline_p_value"]
    values["lineage"] |= values["lineage"].pop("steps")
    decision = parse_decision(json.dumps(values), "here")
    assert decision == replace(decide(), baseline_p_value=None)


def test_truthy_is_not_passed() -> None:
    assert decide(passed=("no", True)).verdict == "refused"  # type: ignore[arg-type]


def test_missing_figure_is_named() -> None:
    with pytest.raises(RegistryError, match="'validation'"):
        decide_on(
            NAME,
            Register(min_validation_accuracy=0.85, require_better_than_baseline=False),
            SELECTION,
            model="0" * 64,
            metrics={"accuracy": 1.0},
            suites=[],
            lineage=LINEAGE,
        )


@given(accuracy=st.floats(0, 1), baseline=st.floats(0, 1), better=st.booleans())
def test_decision_survives_its_file(accuracy: float, baseline: float, better: bool) -> None:
    decision = decide(accuracy, baseline=baseline, better=better)
    assert parse_decision(json.dumps(asdict(decision)), "here") == decision


def test_missing_decision(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="dvc repro"):
        read_decision(tmp_path / "registration.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "sentiment", "reasons": 3}'])
def test_file_that_is_no_decision(text: str) -> None:
    with pytest.raises(RegistryError, match="somewhere is no decision"):
        parse_decision(text, "somewhere")


# --- The folder --------------------------------------------------------------------------


def inputs(folder: Path, texts: list[str], probabilities: list[float]) -> dict[str, Path]:
    """Write what a model folder is made from."""
    folder.mkdir(parents=True)
    ids = [f"row/{i:08}" for i in range(len(texts))]
    (folder / "network.keras").write_bytes(b"weights")
    (folder / "network.onnx").write_bytes(b"the same weights")
    write_json(folder / "vocabulary.json", {"rules": {}, "words": ["good"]})
    write_json(folder / "metrics.json", metrics())
    labels = pa.array([i % 2 for i in range(len(ids))], pa.int8())
    pq.write_table(
        pa.table({"id": ids, "label": labels, "probability": probabilities, "length": labels}),
        folder / "validation.parquet",
    )
    pq.write_table(
        pa.table({"id": [*ids, "zz"], "text": [*texts, "not in validation"]}),
        folder / "reviews.parquet",
    )
    return {
        "network": folder / "network.keras",
        "exported": folder / "network.onnx",
        "vocabulary": folder / "vocabulary.json",
        "metrics": folder / "metrics.json",
        "predictions": folder / "validation.parquet",
        "reviews": folder / "reviews.parquet",
    }


def assemble(target: Path, files: dict[str, Path]) -> str:
    given = dict(files)
    predictions, reviews = given.pop("predictions"), given.pop("reviews")
    return assemble_folder(
        target,
        files={path.name: path for path in given.values()},
        params={"problem": NAME, "label_names": list(LABELS), "train": {"sequence_length": 400}},
        card="# A model",
        scores=lambda path: write_predictions(path, predictions, reviews),
    )


def test_equal_inputs_give_equal_bytes_anywhere(tmp_path: Path) -> None:
    texts, probabilities = ["a secret film", "dull"], [0.1, 0.9]
    one = assemble(tmp_path / "a/model", inputs(tmp_path / "a/in", texts, probabilities))
    two = assemble(tmp_path / "b/c/other", inputs(tmp_path / "b/in", texts, probabilities))
    assert one == two == sha256_directory(tmp_path / "a/model")
    files = sorted(path.name for path in (tmp_path / "a/model").iterdir())
    assert files == sorted([*MODEL_FILES, MANIFEST, "vocabulary.json"])
    check_model(tmp_path / "a/model")


def test_folder_holds_hashes_and_no_texts(tmp_path: Path) -> None:
    assemble(tmp_path / "model", inputs(tmp_path / "in", ["a secret film", "dull"], [0.1, 0.9]))
    table = pq.read_table(tmp_path / "model/validation_predictions.parquet")
    assert table.column_names == ["id", "text_sha256", "label", "probability"]
    # echo -n dull | sha256sum
    assert table["text_sha256"][1].as_py().startswith("8f68ea02")
    for path in (tmp_path / "model").iterdir():
        assert b"secret" not in path.read_bytes()


def test_card_shows_figures_with_intervals_beside_the_baseline() -> None:
    card = model_card(
        NAME,
        "A network.",
        "a linear model",
        ["accuracy"],
        metrics(0.9, 0.88),
        LINEAGE,
        use="Reading.",
        limits=["It reads at most 400 words."],
        loading="    rnnpipe predict",
    )
    ours, baseline = "0.9000 (0.8900 to 0.9100)", "0.8800 (0.8700 to 0.8900)"
    assert f"| accuracy | {ours} | {baseline} | {ours} | {baseline} |" in card
    assert "| n | 1000 | 1000 | 1000 | 1000 |" in card
    assert "On test this network alone is right about 9 texts, the baseline alone about 1" in card
    assert "p = 0.021" in card
    assert f"| reviews | {LINEAGE.steps['reviews']} |" in card
    assert "- It reads at most 400 words." in card


def test_missing_input_is_named_and_the_old_model_stays(tmp_path: Path) -> None:
    files = inputs(tmp_path / "in", ["a", "b"], [0.1, 0.9])
    before = assemble(tmp_path / "model", files)
    files["vocabulary"].unlink()
    with pytest.raises(RegistryError, match=r"vocabulary\.json is missing"):
        assemble(tmp_path / "model", files)
    assert sha256_directory(tmp_path / "model") == before


def test_prediction_without_review(tmp_path: Path) -> None:
    files = inputs(tmp_path / "in", ["a", "b"], [0.1, 0.9])
    pq.write_table(pa.table({"id": ["row/00000001"], "text": ["b"]}), files["reviews"])
    with pytest.raises(RegistryError, match="1 validation predictions belong to no review"):
        assemble(tmp_path / "model", files)
    assert not (tmp_path / "model").exists()


def test_every_missing_file_is_named(tmp_path: Path) -> None:
    assemble(tmp_path / "model", inputs(tmp_path / "in", ["a", "b"], [0.1, 0.9]))
    (tmp_path / "model/network.keras").unlink()
    (tmp_path / "model/params.json").unlink()
    with pytest.raises(RegistryError, match=r"network\.keras, params\.json missing"):
        check_model(tmp_path / "model")


def test_no_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="no model folder"):
        check_model(tmp_path / "nothing")


def test_trace_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"reviews\.parquet is missing"):
        trace({"reviews": tmp_path / "reviews.parquet", "network": tmp_path}, params={})


def test_trace_takes_the_content_digest_from_the_reviews(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    table = pa.table({"id": ["a"]}).replace_schema_metadata({"content_digest": "abc"})
    pq.write_table(table, tmp_path / "table")
    lineage = trace(
        {"reviews": tmp_path / "table", "network": tmp_path / "folder"},
        params={"problem": NAME, "train": {"cell": "lstm", "gradient_clip_norm": None}},
    )
    assert lineage.source == "abc"
    assert lineage.params == (
        f'problem = "{NAME}"',
        'train.cell = "lstm"',
        "train.gradient_clip_norm = null",
    )
    assert lineage.steps["reviews"] == sha256_file(tmp_path / "table")


# --- Comparing ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model folder, to be given other predictions."""
    folder = tmp_path_factory.mktemp("whole")
    assemble(folder / "model", inputs(folder / "in", ["a", "b"], [0.1, 0.9]))
    return folder / "model"


def with_predictions(whole: Path, target: Path, rows: list[tuple[str, int, float]]) -> Path:
    shutil.copytree(whole, target)
    texts, labels, probabilities = zip(*rows, strict=True)
    table = {
        "id": [f"row/{i}" for i in range(len(rows))],
        "text_sha256": list(texts),
        "label": pa.array(labels, pa.int8()),
        "probability": list(probabilities),
    }
    pq.write_table(pa.table(table), target / "validation_predictions.parquet")
    write_manifest(target)
    return target


def rows(n: int, wrong: set[int], first: int = 0) -> list[tuple[str, int, float]]:
    return [(f"t{i}", i % 2, float((i % 2 == 1) != (i in wrong))) for i in range(first, first + n)]


def test_compares_on_the_shared_texts_only(whole: Path, tmp_path: Path) -> None:
    champion = with_predictions(whole, tmp_path / "a", rows(800, set(range(90, 110))))
    challenger = with_predictions(whole, tmp_path / "b", rows(800, {105, 700}, first=100))
    compared = compare(champion, challenger)
    assert compared.shared == 700
    # Of the shared texts, 100 to 109 trip the champion; 105 and 700 trip the challenger.
    assert (compared.challenger_only, compared.champion_only) == (9, 1)
    assert compared.p_value == pytest.approx(11 / 1024)
    assert compared.verdict == "better"
    assert compare(challenger, champion).verdict == "not better"


@pytest.mark.parametrize(("shared", "comparable"), [(499, False), (500, True)])
def test_needs_500_shared_texts(whole: Path, tmp_path: Path, shared: int, comparable: bool) -> None:
    champion = with_predictions(whole, tmp_path / "a", rows(600, set(range(600))))
    challenger = with_predictions(whole, tmp_path / "b", rows(600, set(), first=600 - shared))
    compared = compare(champion, challenger)
    assert compared.shared == shared
    assert (compared.p_value is not None) == comparable
    assert (compared.verdict == "not comparable") != comparable


def test_equal_models_are_not_better(whole: Path, tmp_path: Path) -> None:
    model = with_predictions(whole, tmp_path / "a", rows(600, {3}))
    assert compare(model, model).p_value == 1.0


def test_repeated_and_relabelled_texts_count_once_or_not(whole: Path, tmp_path: Path) -> None:
    champion = rows(600, set())
    relabelled = [("t0", 1, 1.0), *rows(600, set())[1:], ("t5", 1, 1.0)]
    one = with_predictions(whole, tmp_path / "a", champion)
    two = with_predictions(whole, tmp_path / "b", relabelled)
    assert compare(one, two).shared == 599


def test_half_is_negative_as_in_the_evaluation(whole: Path, tmp_path: Path) -> None:
    model = with_predictions(whole, tmp_path / "a", [("t", 1, 0.5), ("u", 0, 0.5)])
    assert compare(model, model).challenger == 0.5


# --- Tags --------------------------------------------------------------------------------


def tag(number: int, *, stage: str = "prod", message: str = "", time: int = 0) -> Tag:
    return Tag("", f"commit {number}", time, message, None, stage, 0, cancelled=False)


VERSIONS = [
    replace(tag(number), stage=None, version=f"v0.{number}.0") for number in (10, 9, 1, 2, 3)
]


def test_versions_are_sorted_as_numbers() -> None:
    assert list(registered(VERSIONS)) == [
        "v0.1.0",
        "v0.2.0",
        "v0.3.0",
        "v0.9.0",
        "v0.10.0",
    ]


def test_deregistered_version_is_gone() -> None:
    gone = replace(VERSIONS[0], cancelled=True)
    assert "v0.10.0" not in registered([*VERSIONS, gone])


def test_second_rollback_goes_further_back() -> None:
    steps = [tag(1), tag(2), tag(3)]
    back = [tag(2, message="Roll back prod"), tag(1, message="Roll back prod")]
    histories = [histories_of([*VERSIONS, *steps, *back[:done]])["prod"] for done in range(3)]
    assert histories == [["v0.1.0", "v0.2.0", "v0.3.0"], ["v0.1.0", "v0.2.0"], ["v0.1.0"]]


def test_promotion_by_hand_is_no_rollback() -> None:
    tags = [*VERSIONS, tag(1), tag(2), tag(1)]
    assert histories_of(tags)["prod"] == ["v0.1.0", "v0.2.0", "v0.1.0"]


def test_unassigned_version_leaves_the_stage() -> None:
    tags = [*VERSIONS, tag(1), tag(2), replace(tag(2), cancelled=True)]
    assert histories_of(tags)["prod"] == ["v0.1.0"]


@given(st.lists(st.integers(1, 3), max_size=8))
def test_stage_holds_what_was_assigned_last(numbers: list[int]) -> None:
    histories = histories_of([*VERSIONS, *map(tag, numbers)])
    if numbers:
        assert histories["prod"][-1] == f"v0.{numbers[-1]}.0"
    else:
        assert histories == {}


# --- Finding without a registry ----------------------------------------------------------


def test_finds_by_path(whole: Path, tmp_path: Path) -> None:
    assert find(str(whole), tmp_path) == whole


def test_path_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="no model folder"):
        find(str(tmp_path / "missing"), tmp_path)


def test_work_tree_model_comes_first(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "models" / NAME)
    assert find(None, tmp_path, NAME) == tmp_path / "models" / NAME


def test_stages_are_those_of_the_gto_file(tmp_path: Path) -> None:
    assert known_stages(tmp_path) == ("dev", "staging", "prod")
    (tmp_path / ".gto").write_text("stages: [try, live]\n")
    assert known_stages(tmp_path) == ("try", "live")


def with_losses(whole: Path, target: Path, losses: list[float], truth: str = "t") -> Path:
    shutil.copytree(whole, target)
    table = {
        "id": [f"row/{i}" for i in range(len(losses))],
        "truth_sha256": [f"{truth}{i}" for i in range(len(losses))],
        "loss": losses,
    }
    pq.write_table(pa.table(table), target / "validation_predictions.parquet")
    return target


@pytest.mark.parametrize(
    ("gain", "verdict"), [(0.05, "better"), (-0.05, "not better"), (0.0, "not better")]
)
def test_losses_are_compared_in_pairs(
    whole: Path, tmp_path: Path, gain: float, verdict: str
) -> None:
    # Reviews differ far more from one another than the two models do on any of them.
    hard = [5 + (7 * i % 30) / 10 for i in range(60)]
    noisy = [loss - gain + (0.01 if i % 2 else -0.01) for i, loss in enumerate(hard)]
    champion = with_losses(whole, tmp_path / "champion", hard)
    challenger = with_losses(whole, tmp_path / "challenger", noisy)
    found = compare(champion, challenger)
    assert found.verdict == verdict
    assert found.shared == 60
    assert found.champion - found.challenger == pytest.approx(gain)
    assert compare(champion, champion).verdict == "not better"
    assert "paired t-test" in str(found)


def test_losses_of_other_data_or_another_problem_are_not_comparable(
    whole: Path, tmp_path: Path
) -> None:
    champion = with_losses(whole, tmp_path / "champion", [1.0] * 60)
    other = with_losses(whole, tmp_path / "other", [0.5] * 60, truth="u")
    found = compare(champion, other)
    assert (found.shared, found.verdict) == (0, "not comparable")
    answers = with_predictions(whole, tmp_path / "answers", [("a", 1, 0.9)])
    with pytest.raises(RegistryError, match="two problems"):
        compare(champion, answers)
