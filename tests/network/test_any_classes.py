"""From an exported network of more than two classes to figures, pictures, a card, an answer."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from networks import VOCABULARY

from rnnpipe.__main__ import main
from rnnpipe.errors import RegistryError
from rnnpipe.metrics.classification import called
from rnnpipe.problems.classification.classes import probability_columns, with_classes
from rnnpipe.problems.classification.evaluate import evaluate
from rnnpipe.problems.classification.export import save_classifier
from rnnpipe.problems.classification.network import build_classifier
from rnnpipe.problems.classification.predict import load_model
from rnnpipe.problems.classification.register import assemble_model
from rnnpipe.problems.classification.wording import WORDING
from rnnpipe.registry.comparison import compare
from rnnpipe.registry.decision import Lineage
from rnnpipe.registry.folder import VALIDATION_PREDICTIONS
from rnnpipe.registry.manifest import MANIFEST
from rnnpipe.reporting.page import build_page
from rnnpipe.reporting.story import Story
from rnnpipe.storage.files import read_json, write_json
from rnnpipe.storage.paths import paths_of
from rnnpipe.text.tokens import FIRST_WORD_ID
from rnnpipe.text.vocabulary import Vocabulary

WORDS = tuple(f"word{number}" for number in range(VOCABULARY - FIRST_WORD_ID))
ODD = ("a `b` $c$ | <i>", "_keep", "好 👍")
STARS = ("1", "2", "3", "4", "5")
ROWS = 60  # of each split


def table(columns, classes):
    made = pa.table(columns)
    return made.replace_schema_metadata(with_classes(made.schema, classes).metadata)


def write_project(params, folder: Path, classes) -> None:
    """What evaluate and register read, as the stages before them leave it."""
    random = np.random.default_rng(1)
    splits = ["test"] * ROWS + ["train"] * ROWS + ["validation"] * ROWS
    n = len(splits)
    labels = np.arange(n) % len(classes)
    lengths = random.integers(1, 12, n)
    tokens = random.integers(FIRST_WORD_ID, VOCABULARY, lengths.sum()).astype(np.int32)
    ids = [f"row/{number}" for number in range(n)]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    texts = [
        " ".join(WORDS[token - FIRST_WORD_ID] for token in tokens[start:end])
        for start, end in pairwise(ends)
    ]
    for name in ("data/sequences", "models/network", "reports"):
        (folder / name).mkdir(parents=True)
    columns = {"id": ids, "split": splits, "label": pa.array(labels, pa.int8())}
    pq.write_table(table(columns, classes), folder / "data/sequences/index.parquet")
    np.save(folder / "data/sequences/token_ids.npy", tokens)
    np.save(folder / "data/sequences/offsets.npy", ends.astype(np.int64))
    Vocabulary(WORDS).save(folder / "data/sequences/vocabulary.json")
    nothing = pa.nulls(n, pa.string())
    columns |= {"text": texts, "film": nothing, "duplicate_of": nothing}
    pq.write_table(table(columns, classes), folder / "data/reviews.parquet")
    teacher = random.dirichlet(np.ones(len(classes)), n)
    baseline = pd.DataFrame({"id": ids, "split": splits})
    columns = probability_columns(classes)
    baseline[columns] = teacher[:, -len(columns) :]
    baseline.to_parquet(folder / "data/baseline.parquet")
    small = {
        "hidden_size": 4,
        "embedding_size": 3,
        "bigram_buckets": 64,
        "embedding": "uniform",
        "sequence_length": 8,
    }
    network = build_classifier(
        params.train.model_copy(update=small), VOCABULARY, None, len(classes)
    )
    for weight in network.trainable_variables:
        weight.assign(random.normal(0, 1, weight.shape))
    save_classifier(network, folder / "models/network/network.onnx")
    (folder / "models/network/network.keras").touch()
    epochs = [
        {"epoch": 1, "loss": 1.0, "validation_loss": 1.1, "accuracy": 0.5, "gradient_norm": 1.0}
        | {"validation_accuracy": 0.4}
    ]
    told = {"ece": 0.02, "sentences": {"accuracy": 0.7, "ece": 0.04, "n": 400}}
    history = {"epochs": epochs, "best_epoch": 1, "calibration": told}
    write_json(folder / "models/network/history.json", history)


@pytest.fixture(scope="module", params=[ODD, STARS], ids=["odd", "stars"])
def project(request, params, tmp_path_factory):
    """A folder in which a network was judged and registered: (classes, folder, metrics)."""
    folder = tmp_path_factory.mktemp("project")
    classes = request.param
    write_project(params, folder, classes)
    judged = params.model_copy(
        update={
            "train": params.train.model_copy(update={"sequence_length": 8}),
            "evaluate": params.evaluate.model_copy(update={"bootstrap_samples": 100}),
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        metrics = evaluate(judged)
        write_json(Path("reports/metrics.json"), metrics)
        assemble_model(judged, Lineage(None, {"reviews": "1" * 64}, ()))
    return classes, folder, json.loads(json.dumps(metrics))


def test_every_figure_stands_beside_the_baselines(project):
    classes, _, metrics = project
    ordered = {"mean_absolute_error", "quadratic_kappa"}
    figures = {"accuracy", "precision", "recall", "f1", "auc_roc", "loss", "f1_weighted"}
    for part in (metrics, metrics["validation"]):
        assert figures <= set(part)
        assert ordered <= set(part) if classes == STARS else not ordered & set(part)
        assert tuple(part["classes"]) == classes
        for name in figures:
            assert part[f"{name}_low"] <= part[f"{name}_high"]
    assert set(metrics["baseline"]) - {"mcnemar", "validation"} <= set(metrics)
    assert 0 < metrics["baseline"]["validation"]["mcnemar"]["p_value"] <= 1
    assert set(metrics["validation"]["largest_class"]) == {
        *("share", "p_value", "every_class_called")
    }
    assert 0 <= metrics["calibration_error"] <= 1


def test_the_tables_have_the_columns_of_the_contract(project):
    classes, folder, metrics = project
    columns = probability_columns(classes)
    for split in ("validation", "test"):
        rows = pd.read_parquet(folder / f"data/predictions/{split}.parquet")
        theirs = probability_columns(classes, "baseline_")
        assert list(rows) == ["id", "label", *columns, *theirs, "length"]
        assert rows[columns].sum(axis=1).to_numpy() == pytest.approx(np.ones(ROWS))
    right = called(rows[columns].to_numpy()) == rows["label"]
    assert metrics["accuracy"] == pytest.approx(right.mean(), abs=1e-6)
    report = read_json(folder / "reports/classification_report.json")
    assert set(report) == {*classes, "accuracy", "macro avg", "weighted avg"}
    assert report["macro avg"]["f1-score"] == pytest.approx(metrics["f1"], abs=1e-6)
    for name in classes:
        assert report[name]["recall"] == pytest.approx(metrics["classes"][name]["recall"], abs=1e-6)
    mistakes = pd.read_csv(folder / "data/predictions/mistakes.csv", dtype=str)
    assert set(mistakes["label"]) <= set(classes)
    assert (mistakes["label"] != mistakes["called"]).all()
    assert mistakes["probability"].astype(float).is_monotonic_decreasing


def test_the_registered_folder_answers_as_the_evaluation_did(project, capsys, tmp_path):
    classes, folder, _ = project
    model = folder / "models/sentiment"
    rows = pd.read_parquet(folder / "data/predictions/test.parquet")
    texts = pd.read_parquet(folder / "data/reviews.parquet").set_index("id")["text"]
    asked = pd.DataFrame({"text": texts[rows["id"]].to_numpy(), "key": rows["id"]})
    given = rows[probability_columns(classes)].to_numpy()
    for prediction, expected in zip(load_model(model).predict(asked["text"]), given, strict=True):
        assert tuple(prediction.probabilities) == classes
        assert list(prediction.probabilities.values()) == pytest.approx(expected, abs=1e-5)
        assert prediction.label == classes[expected.argmax()]
        assert prediction.probability == prediction.probabilities[prediction.label]

    asked.to_csv(tmp_path / "asked.csv", index=False)
    command = ["predict", "--model", str(model), "--file", str(tmp_path / "asked.csv")]
    command += ["--id-column", "key"]
    assert main([*command, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["row"] for line in lines] == list(range(ROWS))
    assert [line["id"] for line in lines] == asked["key"].tolist()
    assert all(tuple(line["probabilities"]) == classes for line in lines)
    assert main(command) == 0
    plain = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert plain == [[line["id"], line["label"], f"{line['probability']:.4f}"] for line in lines]
    for name in ("answers.csv", "answers.parquet"):
        assert main([*command, "--out", str(tmp_path / name)]) == 0
        assert "60 answers" in capsys.readouterr().out
    written = pd.read_parquet(tmp_path / "answers.parquet")
    named = [f"probability_{label}" for label in classes]
    assert list(written) == ["row", "id", "label", "known_words", *named]
    assert written[named].to_numpy() == pytest.approx(given, abs=1e-5)
    again = pd.read_csv(tmp_path / "answers.csv", dtype={"label": str})
    assert again[named].to_numpy() == pytest.approx(given, abs=1e-5)
    assert again["label"].tolist() == written["label"].tolist()


@pytest.mark.parametrize("more", [-1, 1, 97])
def test_a_network_of_other_classes_than_the_names_is_refused(project, tmp_path, more):
    classes, folder, _ = project
    names = [*classes, *map(str, range(200, 300))][: len(classes) + more]
    other = altered(folder, tmp_path / "other", names)
    with pytest.raises(RegistryError, match="label_names" if len(names) > 100 else "classes"):
        load_model(other)


def test_the_card_and_the_page_speak_of_the_classes(project):
    classes, folder, metrics = project
    card = (folder / "models/sentiment/README.md").read_text()
    assert f"one of {len(classes)} labels" in card
    assert f"`logits`, `float32[batch, {len(classes)}]`" in card
    assert "single sentences of validation it names the label of the whole text in 70.0 %" in card
    assert ("quadratic_kappa" in card) == (classes == STARS)
    assert ("`` a `b` $c$ | <i> ``" in card) == (classes == ODD)
    assert read_json(folder / "models/sentiment/params.json")["label_names"] == list(classes)
    page = build_page(
        Story({}, metrics),
        confidence=0.95,
        meanings={},
        wording=WORDING,
        paths=paths_of("classification"),
    )
    assert "By class" in page
    if classes == ODD:
        assert "<bdi>a `b` $c$ | &lt;i&gt;</bdi>" in page
        assert "<i>" not in page
        assert "好 👍" in page
    else:
        assert "Quadratic kappa" in page


def altered(folder: Path, target: Path, label_names=None, **columns) -> Path:
    target.mkdir()
    for path in (folder / "models/sentiment").iterdir():
        if path.name != MANIFEST:
            (target / path.name).write_bytes(path.read_bytes())
    if label_names:
        saved = read_json(target / "params.json")
        write_json(target / "params.json", saved | {"label_names": list(label_names)})
    rows = pd.read_parquet(target / VALIDATION_PREDICTIONS).assign(**columns)
    rows.drop(columns=[name for name in columns if columns[name] is None]).to_parquet(
        target / VALIDATION_PREDICTIONS
    )
    return target


def test_models_of_the_same_classes_are_compared_by_name(project, tmp_path):
    classes, folder, metrics = project
    ours = folder / "models/sentiment"
    same = compare(ours, ours)
    assert same.challenger == pytest.approx(metrics["validation"]["accuracy"], abs=0.02)
    assert same.challenger_only == same.champion_only == 0
    # The other way round: the same answers by other numbers.
    rows = pd.read_parquet(ours / VALIDATION_PREDICTIONS)
    last = len(classes) - 1
    turned = altered(
        folder,
        tmp_path / "turned",
        classes[::-1],
        label=last - rows["label"],
        **{
            f"probability_{label}": rows[f"probability_{last - label}"]
            for label in range(len(classes))
        },
    )
    assert replace(compare(ours, turned)) == same


def test_models_of_other_classes_are_not_comparable(project, tmp_path):
    classes, folder, _ = project
    other = altered(folder, tmp_path / "other", [*classes[:-1], "another"])
    found = compare(folder / "models/sentiment", other)
    assert found.verdict == "not comparable"
    assert "'another'" in str(found)
    with pytest.raises(RegistryError, match="two models"):
        compare(folder / "models/sentiment", altered(folder, tmp_path / "less", classes[:-1]))
