"""The table and the pictures of a search, from studies of all shapes."""

from pathlib import Path

import matplotlib.image
import optuna
import pytest

from flows.search.report import page, read_summary, summarize, write_report
from flows.search.space import Space
from flows.search.study import Reporting, open_study, propose

KEYS = [
    "train.learning_rate", "train.dropout_rate", "train.word_dropout_rate",
    "train.embedding_dropout_rate", "train.adversarial_norm", "train.cell",
]  # fmt: skip


def made(root: Path, keys: int, losses: list[float | None]) -> tuple[optuna.Study, Space]:
    """A study over so many parameters; a trial without a loss has failed."""
    tried = {
        key: ["gru", "lstm"] if key == "train.cell" else {"low": 0.001, "high": 0.5}
        for key in KEYS[-keys:]
    }
    space = Space.model_validate({"minimize": "validation_loss", "space": tried})
    study = open_study(root, "a-search", space, "c0ffee")
    study.set_user_attr(
        "default",
        {"value": 0.5, "figures": {"validation_loss": 0.5}, "epochs": 2, "seconds": 3.0,
         "experiment": "a-search-default"},
    )  # fmt: skip
    for loss in losses:
        proposal = propose(study, space)
        reporting = Reporting(root, proposal, False)
        if loss is None:
            reporting.failed("the loss became | nan")
            continue
        reporting.note(epochs=2, experiment=f"a-search-{proposal.number:03d}", seconds=2.0)
        reporting.complete(loss)
    return study, space


@pytest.mark.parametrize("keys", [1, 2, len(KEYS)])
def test_a_search_has_its_pictures_however_many_parameters_it_has(tmp_path, keys):
    study, space = made(tmp_path, keys, [0.6, 0.4, 0.45, 0.7, 0.42])
    write_report(study, summarize(study, space), tmp_path / "report")
    pictures = {path.stem: matplotlib.image.imread(path) for path in tmp_path.glob("report/*.png")}
    assert set(pictures) >= {"history"}
    for picture in pictures.values():
        assert picture.std() > 0.05  # something is drawn


@pytest.mark.parametrize("losses", [[], [None], [0.6], [0.6, 0.6, 0.6], [0.6, None, 0.4]])
def test_a_search_of_few_trials_has_its_report(tmp_path, losses):
    study, space = made(tmp_path, 2, losses)
    summary = summarize(study, space)
    write_report(study, summary, tmp_path / "report")
    assert read_summary(tmp_path / "report") == summary
    assert len((tmp_path / "report/trials.csv").read_text().splitlines()) == 1 + len(losses)
    shown = page(summary, tmp_path / "report")
    assert ("became" in shown) == (None in losses)
    assert " | nan" not in shown


def test_the_best_stands_first_and_is_told_from_the_default(tmp_path):
    study, space = made(tmp_path, 2, [0.6, 0.4, None, 0.45])
    summary = summarize(study, space)
    assert [trial["number"] for trial in summary.ranked] == [1, 3, 0, 2]
    assert summary.better
    assert "apply a-search" in summary.sentence
    assert "a-search-001" in summary.sentence
    worse = summarize(made(tmp_path / "b", 2, [0.6])[0], space)
    assert not worse.better
    assert "apply" not in worse.sentence
