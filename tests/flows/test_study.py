"""The trials of a search as Optuna keeps them: proposals, resumption, stopping early."""

import sqlite3
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

from flows.search.space import Space
from flows.search.study import (
    STORAGE_VARIABLE,
    Reporting,
    StudyError,
    best,
    better,
    ended,
    forget_study,
    importance,
    load_study,
    open_study,
    propose,
    unfinished,
)


def space(**values: object) -> Space:
    tried = {
        "train.hidden_size": {"low": 8, "high": 64, "step": 8},
        "train.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
        "train.cell": ["gru", "lstm"],
    }
    return Space.model_validate({"minimize": "validation_loss", "space": tried} | values)


def train(root: Path, proposal, losses: list[float], prune: bool = False) -> bool:
    """Report losses as a training does, to its end or until it is stopped; whether it was."""
    reporting = Reporting(root, proposal, prune)
    for epoch, loss in enumerate(losses, 1):
        if reporting.epoch(epoch, loss, last=epoch == len(losses)):
            reporting.pruned()
            return True
    reporting.complete(min(losses))
    return False


def test_proposals_lie_in_the_space(tmp_path):
    study = open_study(tmp_path, "a", space(), "c0ffee")
    for _ in range(20):
        values = propose(study, space()).values
        assert values["train.hidden_size"] in range(8, 65, 8)
        assert type(values["train.hidden_size"]) is int
        assert 1e-4 <= values["train.learning_rate"] <= 1e-1
        assert values["train.cell"] in ("gru", "lstm")


def test_the_same_seed_proposes_the_same_and_another_something_else(tmp_path):
    def proposals(name: str, seed: int, trials: int) -> list[object]:
        study = open_study(tmp_path, name, space(seed=seed), "c0ffee")
        found = []
        for number in range(trials):
            proposal = propose(study, space(seed=seed))
            train(tmp_path, proposal, [float(proposal.values["train.learning_rate"])])
            found.append((number, dict(proposal.values)))
        return found

    first = proposals("a", 1, 14)  # beyond those that are drawn at random
    assert proposals("b", 1, 14) == first
    assert proposals("c", 2, 2) != first[:2]


def test_a_search_that_goes_on_does_not_begin_with_the_same_draws_again(tmp_path):
    whole = open_study(tmp_path, "whole", space(), "c0ffee")
    undisturbed = [dict(propose(whole, space()).values) for _ in range(6)]
    parts = [dict(propose(open_study(tmp_path, "cut", space(), "c0ffee"), space()).values)]
    parts += [
        dict(propose(open_study(tmp_path, "cut", space(), "other"), space()).values)
        for _ in range(5)
    ]
    assert parts == undisturbed
    assert load_study(tmp_path, "cut").user_attrs["commit"] == "c0ffee"


def test_what_was_begun_and_has_no_end_is_taken_up_again(tmp_path):
    study = open_study(tmp_path, "a", space(), "c0ffee")
    first, second, third = (propose(study, space()) for _ in range(3))
    train(tmp_path, first, [0.5])
    Reporting(tmp_path, second, False).epoch(1, 0.7, last=False)
    again = open_study(tmp_path, "a", space(), "c0ffee")
    assert unfinished(again) == [second, third]
    # An epoch that it had reported already comes again from its checkpoint.
    train(tmp_path, second, [0.7, 0.4, 0.3])
    assert [trial.number for trial in ended(again)] == [0, 1]
    assert again.trials[1].intermediate_values == {1: 0.7, 2: 0.4, 3: 0.3}
    assert best(again).number == 1


def test_one_that_was_cut_off_while_it_was_proposed_has_failed(tmp_path):
    study = open_study(tmp_path, "a", space(), "c0ffee")
    study.ask({"train.cell": CategoricalDistribution(["gru", "lstm"])})  # and the others not yet
    whole = propose(study, space())
    assert unfinished(study) == [whole]
    assert [trial.state for trial in ended(study)] == [TrialState.FAIL]


def test_a_trial_knows_that_it_has_an_end(tmp_path):
    study = open_study(tmp_path, "a", space(), "c0ffee")
    proposal = propose(study, space())
    assert not Reporting(tmp_path, proposal, False).over
    train(tmp_path, proposal, [0.5])
    assert Reporting(tmp_path, proposal, False).over


def test_a_trial_worse_than_the_median_ends_but_not_after_its_last_epoch(tmp_path):
    study = open_study(tmp_path, "a", space(), "c0ffee")
    for number in range(5):
        assert not train(tmp_path, propose(study, space()), [0.9 - number / 100, 0.5, 0.4], True)
    assert train(tmp_path, propose(study, space()), [5.0, 5.0, 5.0], True)
    assert not train(tmp_path, propose(study, space()), [5.0, 5.0, 5.0], False)
    assert not train(tmp_path, propose(study, space()), [0.1, 0.1, 5.0], True)
    states = [trial.state for trial in ended(study)]
    assert states == [TrialState.COMPLETE] * 5 + [TrialState.PRUNED] + [TrialState.COMPLETE] * 2


def test_the_largest_is_best_where_that_is_asked(tmp_path):
    asked = space(minimize=None, maximize="validation_accuracy")
    study = open_study(tmp_path, "a", asked, "c0ffee")
    for value in (0.5, 0.9, 0.7):
        train(tmp_path, propose(study, asked), [value])
    assert best(study).value == 0.9
    assert better(study, 0.9, 0.8)
    assert not better(study, 0.8, 0.8)


def test_a_failed_trial_keeps_its_reason_and_is_never_best(tmp_path):
    study = open_study(tmp_path, "a", space(), "c0ffee")
    Reporting(tmp_path, propose(study, space()), False).failed("the loss became nan")
    assert best(study) is None
    assert study.trials[0].user_attrs["reason"] == "the loss became nan"
    assert unfinished(study) == []


def test_an_epoch_that_others_follow_is_not_judged_again(tmp_path):
    study = open_study(tmp_path, "a", space(), "c0ffee")
    for _ in range(6):
        assert not train(tmp_path, propose(study, space()), [0.5, 0.4, 0.3], prune=True)
    proposal = propose(study, space())
    reporting = Reporting(tmp_path, proposal, prune=True)
    assert not reporting.epoch(1, 0.5, last=False)
    assert not reporting.epoch(2, 0.4, last=False)
    # The last one is spared, however bad; what comes once more, from a cache, changes nothing.
    assert not reporting.epoch(3, 0.9, last=True)
    for number, loss in ((1, 0.5), (2, 0.4)):
        assert not reporting.epoch(number, loss, last=False)
    assert reporting.epoch(3, 0.9, last=False)


def test_importance_finds_the_parameter_that_matters(tmp_path):
    study = open_study(tmp_path, "a", space(), "c0ffee")
    assert importance(study) == {}
    for _ in range(20):
        proposal = propose(study, space())
        train(tmp_path, proposal, [float(proposal.values["train.hidden_size"])])
    found = importance(study)
    assert max(found, key=found.get) == "train.hidden_size"
    assert sum(found.values()) == pytest.approx(1)


def test_another_space_under_the_same_name_is_refused(tmp_path):
    open_study(tmp_path, "a", space(), "c0ffee")
    assert open_study(tmp_path, "a", space(trials=99), "c0ffee")
    with pytest.raises(StudyError, match=r"seed.*--name.*forget a"):
        open_study(tmp_path, "a", space(seed=2), "c0ffee")
    forget_study(tmp_path, "a")
    assert open_study(tmp_path, "a", space(seed=2), "c0ffee")


def test_an_unknown_name_is_answered_with_those_that_are_known(tmp_path):
    open_study(tmp_path, "known", space(), "c0ffee")
    with pytest.raises(StudyError, match="known: known"):
        load_study(tmp_path, "other")


def test_a_database_is_taken_by_its_address_and_no_error_shows_its_password(tmp_path, monkeypatch):
    monkeypatch.setenv(STORAGE_VARIABLE, f"sqlite:///{tmp_path / 'elsewhere.db'}")
    open_study(tmp_path / "project", "a", space(), "c0ffee")
    with sqlite3.connect(tmp_path / "elsewhere.db") as database:
        assert database.execute("select study_name from studies").fetchall() == [("a",)]
    assert not (tmp_path / "project").exists()
    for address in ("nosuch://me:hunter2@127.0.0.1/a", "postgresql://me:hunter2@h:5x/a", "?"):
        monkeypatch.setenv(STORAGE_VARIABLE, address)
        with pytest.raises(StudyError, match=STORAGE_VARIABLE) as caught:
            open_study(tmp_path, "a", space(), "c0ffee")
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None
