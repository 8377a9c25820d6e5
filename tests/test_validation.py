"""The gate: each broken fact fails its own expectation, and only that one."""

import html
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rnnpipe.config.load import load_params
from rnnpipe.errors import DataValidationError, SourceError
from rnnpipe.problems.classification.classes import with_classes
from rnnpipe.problems.classification.expectations import review_suite, sequence_suite
from rnnpipe.problems.classification.facts import review_facts, sequence_facts
from rnnpipe.problems.classification.params import Validate
from rnnpipe.problems.classification.stages import validate_sequences
from rnnpipe.stages import validate
from rnnpipe.storage.files import read_json, write_json
from rnnpipe.validation.verdict import Verdict, check, require

ROOT = Path(__file__).parents[1]
LIMITS = Validate(
    min_labelled=20, min_class_share=0.4, max_duplicate_share=0.1, max_characters=1000
)
CLASSES = ("poor", "good")
SECRET = "a text nobody may see"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("label", pa.int8()),
        ("rating", pa.int8()),
        ("film", pa.string()),
        ("text", pa.string()),
        ("duplicate_of", pa.string()),
    ]
)
Change = Callable[[dict[str, dict[str, Any]]], None]


def good_reviews() -> dict[str, dict[str, Any]]:
    """Forty train, twenty test and ten unlabelled reviews, by id, in the order of their ids."""
    reviews = {}
    for split, count in (("test", 20), ("train", 40), ("unlabelled", 10)):
        for number in range(count):
            label = number % 2 if split != "unlabelled" else None
            identity = f"{split}/{number:02}"
            reviews[identity] = {
                "id": identity,
                "split": split,
                "label": label,
                "rating": None if label is None else (2, 9)[label],
                "film": f"{split}-film-{number // 4}",
                "text": f"{SECRET}: {identity}",
                "duplicate_of": None,
            }
    return reviews


def write_reviews(
    path: Path, reviews: dict[str, dict[str, Any]], schema: pa.Schema = SCHEMA
) -> Path:
    """Write the table in two row groups or more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(reviews.values()), schema=with_classes(schema, CLASSES))
    pq.write_table(table, path, row_group_size=50)
    return path


def judge_reviews(folder: Path, change: Change | None = None) -> Verdict:
    reviews = good_reviews()
    if change:
        change(reviews)
    path = write_reviews(folder / "reviews.parquet", reviews)
    return check(
        review_facts(path), review_suite(LIMITS, CLASSES), "reviews", folder / "docs", path
    )


def failed(verdict: Verdict) -> dict[str, tuple[str, ...]]:
    return {
        outcome.name: outcome.unexpected_ids
        for outcome in verdict.expectations
        if not outcome.passed
    }


def put(identity: str, **values: Any) -> Change:
    return lambda reviews: reviews[identity].update(values)


def sort_and_cut(reviews: dict[str, dict[str, Any]]) -> None:
    for number in range(1, 40, 2):
        del reviews[f"train/{number:02}"]


def cut_short(reviews: dict[str, dict[str, Any]]) -> None:
    for number in range(19, 40):
        del reviews[f"train/{number:02}"]


def join_twice(reviews: dict[str, dict[str, Any]]) -> None:
    for number in range(1, 8):
        reviews[f"train/{number:02}"]["duplicate_of"] = "train/00"


def test_good_reviews_pass(tmp_path: Path) -> None:
    verdict = judge_reviews(tmp_path)
    assert verdict.passed
    assert verdict.checked == 70
    assert not failed(verdict)
    require(verdict, tmp_path / "index.html")


def judge_each(folder: Path, cases: list[tuple[str, dict[str, Any], str]]) -> Verdict:
    """All of the cases in one table, which must fail what they name with their own ids alone.

    A case is the id of a row, what is put into it, and the expectations that it breaks.
    """

    def change_each(reviews: dict[str, dict[str, Any]]) -> None:
        for identity, values, _ in cases:
            reviews[identity].update(values)

    expected: dict[str, set[str]] = {}
    for identity, values, names in cases:
        for name in names.split():
            shown = values.get("id", identity)
            expected.setdefault(name, set()).update([shown] if shown else [])
    verdict = judge_reviews(folder, change_each)
    assert failed(verdict) == {name: tuple(sorted(ids)) for name, ids in expected.items()}
    return verdict


def test_a_broken_review_fails_its_expectation(tmp_path: Path) -> None:
    verdict = judge_each(
        tmp_path,
        [
            ("train/01", {"text": ""}, "not_blank has_words"),
            ("train/02", {"text": " \n "}, "not_blank has_words"),
            ("train/03", {"text": None}, "not_blank has_words"),
            ("train/04", {"text": "x" * 1001}, "not_too_long"),
            ("train/05", {"label": 2, "rating": None}, "label_known"),
            ("train/06", {"label": None}, "labelled_have_label"),
            ("unlabelled/03", {"label": 1}, "unlabelled_have_none"),
            ("train/07", {"rating": 4}, "rating_agrees_with_label"),
            ("train/08", {"rating": 5}, "rating_agrees_with_label"),
            ("train/09", {"rating": 11}, "rating_in_range"),
            ("train/11", {"id": "train/10"}, "id_unique"),
            ("train/12", {"id": None}, "id_present"),
            ("train/13", {"split": "dev"}, "split_known"),
            ("train/14", {"split": None}, "split_present"),
        ],
    )
    assert not verdict.passed
    with pytest.raises(DataValidationError, match="not_too_long") as caught:
        require(verdict, tmp_path / "index.html")
    assert "index.html" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (sort_and_cut, {"enough_of_class_1_in_train": ()}),
        (cut_short, {"enough_reviews_in_train": ()}),
        (
            join_twice,
            {"few_duplicates_within_splits": tuple(f"train/{number:02}" for number in range(1, 8))},
        ),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_too_few_or_too_many_fail_their_expectation(
    tmp_path: Path, change: Change, expected: dict[str, tuple[str, ...]]
) -> None:
    verdict = judge_reviews(tmp_path, change)
    assert failed(verdict) == expected
    assert not verdict.passed
    with pytest.raises(DataValidationError, match=next(iter(expected))):
        require(verdict, tmp_path / "index.html")


def test_a_doubtful_review_only_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    verdict = judge_each(
        tmp_path,
        [
            ("train/01", {"text": "!!!"}, "has_words"),
            ("train/02", {"text": "bad \ufffd"}, "no_replacement_characters"),
            ("train/03", {"text": "bad \x96"}, "no_control_characters"),
            ("train/05", {"text": "bad \x00"}, "no_control_characters"),
            ("train/06", {"duplicate_of": "test/03"}, "no_duplicates_across_splits"),
            ("test/03", {}, "no_duplicates_across_splits"),
            ("train/07", {"film": "test-film-4"}, "no_film_in_train_and_test"),
            *((f"test/{number}", {}, "no_film_in_train_and_test") for number in range(16, 20)),
        ],
    )
    assert verdict.passed
    require(verdict, tmp_path / "index.html")
    for outcome in verdict.failed("warning"):
        assert outcome.name in caplog.text


@pytest.mark.parametrize("text", ["tab\tand\r\nline", "naïve café", "\U0001f600 smile"])
def test_ordinary_characters_do_not_warn(tmp_path: Path, text: str) -> None:
    reviews = good_reviews()
    reviews["train/03"]["text"] = text
    facts = review_facts(write_reviews(tmp_path / "reviews.parquet", reviews))
    row = facts.iloc[list(reviews).index("train/03")]
    assert row["characters"] == len(text)
    for name in ("is_blank", "is_wordless", "has_control_characters", "has_replacement_character"):
        assert not row[name]


@pytest.mark.parametrize(
    "lacking", [["text", "film"], ["id", "split", "label"], ["rating", "duplicate_of"]]
)
def test_missing_columns_are_named(tmp_path: Path, lacking: list[str]) -> None:
    schema = pa.schema([field for field in SCHEMA if field.name not in lacking])
    path = write_reviews(tmp_path / "reviews.parquet", good_reviews(), schema)
    verdict = check(
        review_facts(path), review_suite(LIMITS, CLASSES), "reviews", tmp_path / "docs", path
    )
    assert not verdict.passed
    tried = [outcome.name for outcome in verdict.failed("critical") if outcome.tried]
    assert tried == ["columns"]
    with pytest.raises(DataValidationError, match="missing: ") as caught:
        require(verdict, tmp_path / "index.html")
    assert len(str(caught.value).splitlines()) == 3


def test_no_reviews_fail_instead_of_crashing(tmp_path: Path) -> None:
    verdict = judge_reviews(tmp_path, lambda reviews: reviews.clear())
    assert {"enough_reviews_in_train", "enough_reviews_in_test"} <= set(failed(verdict))
    json.dumps(asdict(verdict), allow_nan=False)


def test_a_column_of_another_type_is_a_source_error(tmp_path: Path) -> None:
    path = tmp_path / "reviews.parquet"
    pq.write_table(pa.table({"id": ["a"], "label": [SECRET]}), path)
    with pytest.raises(SourceError, match="column label has type string") as caught:
        review_facts(path)
    assert SECRET not in str(caught.value)


def test_a_file_that_is_no_table_is_a_source_error(tmp_path: Path) -> None:
    path = tmp_path / "reviews.parquet"
    path.write_text("no table")
    with pytest.raises(SourceError, match="no readable parquet table"):
        review_facts(path)


def test_an_expectation_that_cannot_be_evaluated_fails(tmp_path: Path) -> None:
    facts = review_facts(write_reviews(tmp_path / "reviews.parquet", good_reviews()))
    facts["characters"] = facts["characters"].astype(object)
    facts.loc[3, "characters"] = SECRET
    verdict = check(facts, review_suite(LIMITS, CLASSES), "reviews", tmp_path / "docs")
    assert failed(verdict) == {"not_too_long": ()}
    assert SECRET not in json.dumps(asdict(verdict))
    assert SECRET not in (tmp_path / "docs/reviews/index.html").read_text(encoding="utf-8")


def test_ids_are_cut_to_twenty(tmp_path: Path) -> None:
    def blank(reviews: dict[str, dict[str, Any]]) -> None:
        for review in reviews.values():
            review["text"] = "!"

    verdict = judge_reviews(tmp_path, blank)
    (outcome,) = verdict.failed("warning")
    assert outcome.unexpected_count == 70
    assert outcome.observed == 1.0
    assert outcome.unexpected_ids == tuple(sorted(good_reviews())[:20])


def test_broken_rows_are_named_from_every_row_group(tmp_path: Path) -> None:
    def join_far_apart(reviews: dict[str, dict[str, Any]]) -> None:
        # The table is written in groups of fifty rows: test/00 in the first, the other in the last.
        reviews["unlabelled/09"]["id"] = "test/00"
        reviews["unlabelled/08"]["text"] = reviews["test/01"]["text"] = ""

    verdict = judge_reviews(tmp_path, join_far_apart)
    assert failed(verdict)["id_unique"] == ("test/00",)
    assert failed(verdict)["not_blank"] == ("test/01", "unlabelled/08")


def test_a_duplicate_of_a_review_that_is_not_there_is_one_all_the_same(tmp_path: Path) -> None:
    reviews = good_reviews()
    for identity in ("train/01", "train/02", "test/03"):
        reviews[identity]["duplicate_of"] = "elsewhere/00"
    facts = review_facts(write_reviews(tmp_path / "reviews.parquet", reviews))
    ids = np.array(list(reviews))
    assert list(ids[facts["is_duplicate_within_split"]]) == ["train/02"]
    across = ids[facts["is_duplicate_across_train_test"]]
    assert list(across) == ["test/03", "train/01", "train/02"]


def test_the_same_facts_give_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for run in ("first", "second"):
        verdict = judge_reviews(tmp_path / run, join_twice)
        write_json(tmp_path / run / "verdict.json", asdict(verdict))
        written.append((tmp_path / run / "verdict.json").read_bytes())
    assert written[0] == written[1]
    document = json.loads(written[0])
    assert list(document) == ["passed", "suite", "checked", "expectations"]


@pytest.mark.parametrize("change", [None, join_twice, put("train/03", text=None)])
def test_the_page_loads_nothing_and_shows_no_text(tmp_path: Path, change: Change | None) -> None:
    judge_reviews(tmp_path, change)
    assert [path.name for path in (tmp_path / "docs/reviews").iterdir()] == ["index.html"]
    page = (tmp_path / "docs/reviews/index.html").read_text(encoding="utf-8")
    assert not re.search(r"<(script|link|img|iframe)\b|@import|url\(|https?://", page)
    assert SECRET not in page
    assert "at least 20 labelled reviews in train" in page


def test_names_of_classes_are_no_code_on_the_page(tmp_path: Path) -> None:
    classes = ["<script>alert(1)</script>", "a & b &amp; 'c' $column"]
    facts = pd.DataFrame(columns=["label"])
    check(facts, review_suite(Validate(), classes), "reviews", tmp_path)
    page = (tmp_path / "reviews/index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    shown = html.unescape(re.sub(r"<[^>]+>", "", page))
    assert all(shown.count(name) >= 2 for name in classes), shown


def test_a_new_page_replaces_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "docs/reviews").mkdir(parents=True)
    (tmp_path / "docs/reviews/stale.html").write_text("old")
    judge_reviews(tmp_path)
    assert [path.name for path in (tmp_path / "docs/reviews").iterdir()] == ["index.html"]


def test_the_page_names_what_was_not_tried(tmp_path: Path) -> None:
    schema = SCHEMA.remove(SCHEMA.get_field_index("rating"))
    path = write_reviews(tmp_path / "reviews.parquet", good_reviews(), schema)
    check(review_facts(path), review_suite(LIMITS, CLASSES), "reviews", tmp_path / "docs", path)
    page = (tmp_path / "docs/reviews/index.html").read_text(encoding="utf-8")
    assert "Not tried" in page
    assert "Traceback" not in page


# The sequences


def write_sequences(
    folder: Path,
    index: pd.DataFrame | None = None,
    token_ids: list[int] | None = None,
    offsets: list[int] | None = None,
) -> Path:
    """Twenty sequences of three ids each over a vocabulary of five words, unless told otherwise."""
    rows = 20
    if index is None:
        index = good_index()
    folder.mkdir(parents=True, exist_ok=True)
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("split", pa.string()),
            ("label", pa.int8()),
            ("film", pa.string()),
            ("length", pa.int32()),
        ]
    )
    table = pa.Table.from_pandas(index, with_classes(schema, CLASSES), preserve_index=False)
    pq.write_table(table, folder / "index.parquet")
    ids = [2, 6, 3] * rows if token_ids is None else token_ids
    np.save(folder / "token_ids.npy", np.array(ids, np.int32))
    bounds = list(range(0, 3 * rows + 1, 3)) if offsets is None else offsets
    np.save(folder / "offsets.npy", np.array(bounds, np.int64))
    write_json(folder / "vocabulary.json", {"rules": {}, "words": list("abcde")})
    return folder


def good_index() -> pd.DataFrame:
    splits = ["train"] * 8 + ["validation"] * 4 + ["test"] * 4 + ["unlabelled"] * 4
    return pd.DataFrame(
        {
            "id": [f"r{number:02}" for number in range(20)],
            "split": splits,
            "label": pd.array([0, 1] * 8 + [None] * 4, dtype="Int8"),
            "film": [f"{split}-film" for split in splits],
            "length": 3,
        }
    )


def judge_sequences(folder: Path) -> Verdict:
    table = folder / "index.parquet"
    return check(
        sequence_facts(folder), sequence_suite(CLASSES), "sequences", folder / "docs", table
    )


def changed(row: int, column: str, value: Any) -> pd.DataFrame:
    index = good_index()
    index.loc[row, column] = value
    return index


def test_good_sequences_pass(tmp_path: Path) -> None:
    verdict = judge_sequences(write_sequences(tmp_path))
    assert verdict.passed
    assert not failed(verdict)
    assert verdict.checked == 20


def test_an_id_outside_the_vocabulary_fails(tmp_path: Path) -> None:
    ids = [2, 6, 3] * 20
    ids[13], ids[20], ids[29] = -1, 0, 7
    verdict = judge_sequences(write_sequences(tmp_path, token_ids=ids))
    assert failed(verdict) == {"ids_in_vocabulary": ("r04", "r06", "r09")}
    assert not verdict.passed


def test_an_empty_sequence_fails(tmp_path: Path) -> None:
    bounds = [*range(0, 58, 3), 57]
    verdict = judge_sequences(
        write_sequences(tmp_path, changed(19, "length", 0), [2, 6, 3] * 19, bounds)
    )
    assert failed(verdict) == {"not_empty": ("r19",)}


@pytest.mark.parametrize(
    ("offsets", "broken"),
    [
        ([*range(0, 31, 3), 34, *range(36, 61, 3)], ("r10", "r11")),  # a moved bound
        ([*range(0, 58, 3), 59], ("r19",)),  # ids left over
        ([*range(0, 58, 3), 63], ("r19",)),  # beyond the end
        ([1, *range(3, 61, 3)], ("r00",)),  # not from the start
        ([*range(0, 31, 3), -5, *range(36, 61, 3)], ("r10", "r11")),  # negative
        ([*range(0, 61, 3), 60], ("r19",)),  # one too many
        ([*range(0, 58, 3)], ("r19",)),  # one too few
    ],
)
def test_offsets_that_do_not_fit_are_found(
    tmp_path: Path, offsets: list[int], broken: tuple[str, ...]
) -> None:
    facts = sequence_facts(write_sequences(tmp_path, offsets=offsets))
    assert tuple(good_index()["id"][~facts["offsets_fit"]]) == broken
    assert not facts["ids_outside_vocabulary"].any()


@pytest.mark.parametrize(
    ("row", "column", "value", "expected"),
    [
        (1, "length", 4, {"offsets_fit_lengths": ("r01",)}),
        (1, "id", "r15", {"id_unique": ("r15",)}),
        (1, "split", "dev", {"split_known": ("r01",)}),
        (1, "label", pd.NA, {"labelled_have_label": ("r01",)}),
        (1, "label", 2, {"label_known": ("r01",)}),
        (
            1,
            "film",
            "validation-film",
            {"no_film_in_train_and_validation": ("r01", "r08", "r09", "r10", "r11")},
        ),
    ],
)
def test_a_broken_index_row_fails_its_expectation(
    tmp_path: Path, row: int, column: str, value: Any, expected: dict[str, tuple[str, ...]]
) -> None:
    verdict = judge_sequences(write_sequences(tmp_path, changed(row, column, value)))
    assert failed(verdict) == expected
    assert not verdict.passed


def test_a_split_of_one_label_fails(tmp_path: Path) -> None:
    index = good_index()
    index.loc[index["split"] != "unlabelled", "label"] = 1
    index.loc[index["split"] == "test", "label"] = 0
    verdict = judge_sequences(write_sequences(tmp_path, index))
    assert failed(verdict) == {
        "class_0_in_train": (),
        "class_0_in_validation": (),
        "class_1_in_test": (),
    }


def test_any_number_of_classes_is_spoken_of_by_name(tmp_path: Path) -> None:
    classes = ("so so", "\u0939\u093f\u0928\u094d\u0926\u0940", "never met")
    index = good_index()
    index.loc[index["split"] != "unlabelled", "label"] = [0, 1] * 8
    folder = write_sequences(tmp_path, index)
    verdict = check(sequence_facts(folder), sequence_suite(classes), "sequences", folder / "docs")
    assert set(failed(verdict)) == {
        f"class_2_in_{split}" for split in ("train", "validation", "test")
    }
    with pytest.raises(DataValidationError, match="train holds reviews of 'never met'.*; found 0"):
        require(verdict, tmp_path / "index.html")
    page = (folder / "docs/sequences/index.html").read_text(encoding="utf-8")
    assert classes[1] in page


@pytest.mark.parametrize("count", [2, 3])
def test_class_shares_are_counted_against_an_even_one(tmp_path: Path, count: int) -> None:
    def relabel(reviews: dict[str, dict[str, Any]]) -> None:
        for number, review in enumerate(reviews.values()):
            labelled = review["split"] != "unlabelled"
            review |= {"label": number % count if labelled else None, "rating": None}

    reviews = good_reviews()
    relabel(reviews)
    path = write_reviews(tmp_path / "reviews.parquet", reviews)
    facts, classes = review_facts(path), [f"class {label}" for label in range(count)]
    for share, fails in ((0.7, False), (1.0, 40 % count > 0)):
        limits = LIMITS.model_copy(update={"min_class_share": share})
        suite = review_suite(limits, classes, rated=False)
        verdict = check(facts, suite, "reviews", tmp_path / "docs", path)
        assert verdict.passed is not fails
    assert not [outcome for outcome in verdict.expectations if "rating" in outcome.name]
    for split in ("train", "test"):
        here = facts[facts["split"] == split]
        plain = here["label"].map(here["label"].value_counts(normalize=True))
        np.testing.assert_allclose(here["class_share"], plain.astype(float))


def test_an_absent_test_split_fails(tmp_path: Path) -> None:
    index = good_index()
    index.loc[index["split"] == "test", "split"] = "unlabelled"
    verdict = judge_sequences(write_sequences(tmp_path, index))
    assert {"class_0_in_test", "class_1_in_test"} <= set(failed(verdict))
    assert not verdict.passed
    json.dumps(asdict(verdict), allow_nan=False)


def test_many_unknown_words_only_warn(tmp_path: Path) -> None:
    ids = [2, 6, 3] * 20
    ids[36:48] = [1, 1, 3] * 4
    verdict = judge_sequences(write_sequences(tmp_path, token_ids=ids))
    assert failed(verdict) == {"few_unknown_words_in_test": ()}
    assert verdict.passed


def test_a_film_in_train_and_test_only_warns(tmp_path: Path) -> None:
    verdict = judge_sequences(write_sequences(tmp_path, changed(1, "film", "test-film")))
    assert set(failed(verdict)) == {"no_film_in_train_and_test"}
    assert verdict.passed


# The stages


def test_the_report_is_written_before_the_stage_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_reviews(Path("data/reviews.parquet"), good_reviews())
    with pytest.raises(DataValidationError, match="enough_reviews_in_train"):
        validate.run(load_params(ROOT / "params.yaml"))
    report = read_json(Path("reports/validation.json"))
    assert report["passed"] is False
    assert report["suite"] == "reviews"
    assert Path("reports/data_docs/reviews/index.html").is_file()


def test_the_sequences_stage_writes_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sequences(Path("data/sequences"))
    validate_sequences.run(load_params(ROOT / "params.yaml"))
    assert read_json(Path("reports/validation_sequences.json"))["passed"] is True
    assert Path("reports/data_docs/sequences/index.html").is_file()
