"""The trials of a search, kept by Optuna: who proposes, what is known, who is stopped early.

The study is the only memory of a search. Whatever it holds survives the process; a trial that a
killed search left behind counts as running, and is taken up again.
"""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from flows.search.space import Range, Space, Value
from rnnpipe.errors import RnnpipeError

STORAGE_VARIABLE = "RNNPIPE_SEARCH_STORAGE"
_FILE = Path(".rnnpipe/search/studies.db")
_BUSY_SECONDS = 60  # sqlite lets one process write at a time
_STARTUP = 5  # trials before any is stopped early

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


class StudyError(RnnpipeError):
    """There is no such search, or one of another space has this name."""


@dataclass(frozen=True)
class Proposal:
    """Parameters to be tried; a picklable value, for a process on any machine.

    Attributes:
        study: its name.
        number: of the trial, counted from 0.
        values: by dotted name.
    """

    study: str
    number: int
    values: Mapping[str, Value]


def open_study(repository: Path, name: str, space: Space, commit: str) -> optuna.Study:
    """Open the study of this name, or begin it.

    Args:
        repository: root of the project, which holds the storage file; where the environment's
            ``RNNPIPE_SEARCH_STORAGE`` has the URL of a database, that is taken.
        name: of the study.
        space: what it is about.
        commit: that it begins with; one that goes on stays with its own.

    Raises:
        StudyError: the name is taken by a search of another space.
    """
    study = optuna.create_study(
        storage=_storage(repository),
        study_name=name,
        direction="minimize" if space.minimize else "maximize",
        load_if_exists=True,
    )
    begun = study.user_attrs.get("space")
    if begun is None:
        study.set_user_attr("commit", commit)
        study.set_user_attr("space", space.identity)
    elif begun != space.identity:
        changed = sorted(key for key in begun if begun[key] != space.identity.get(key))
        raise StudyError(
            f"the search {name} was begun with another {', '.join(changed)}: name this one"
            f" otherwise (--name), or forget that one (python -m flows.search forget {name})"
        )
    return study


def load_study(repository: Path, name: str) -> optuna.Study:
    """Open a study that is there.

    Raises:
        StudyError: there is none of this name.
    """
    storage = _storage(repository)
    try:
        return optuna.load_study(storage=storage, study_name=name)
    except KeyError:
        known = ", ".join(sorted(optuna.get_all_study_names(storage))) or "none"
        raise StudyError(f"there is no search {name[:100]}; known: {known}") from None


def forget_study(repository: Path, name: str) -> None:
    """Remove a study with all it holds; the experiments of its trials stay.

    Raises:
        StudyError: there is none of this name.
    """
    load_study(repository, name)
    optuna.delete_study(storage=_storage(repository), study_name=name)


def propose(study: optuna.Study, space: Space) -> Proposal:
    """Have the sampler propose the next trial.

    Its seed derives from the search's and the number of trials so far, so that a search that goes
    on after a kill does not begin with the same draws again. One trial at a time, proposals are
    the same in every search alike; several at a time, they depend on which ends first.
    """
    number = len(study.get_trials(deepcopy=False))
    seed = int(np.random.SeedSequence([space.seed, number]).generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(seed=seed)
    trial = study.ask({key: _distribution(tried) for key, tried in space.space.items()})
    return Proposal(study.study_name, trial.number, trial.params)


def unfinished(study: optuna.Study) -> list[Proposal]:
    """Return the trials that were begun and have no end, to be gone on with.

    One that was cut off while it was proposed, and lacks some of its values, counts as failed.
    """
    wanted = set(study.user_attrs["space"]["space"])
    found = []
    for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        if set(trial.params) == wanted:
            found.append(Proposal(study.study_name, trial.number, trial.params))
        else:
            study.tell(trial.number, state=TrialState.FAIL)
    return found


def ended(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that have an end, in their order."""
    return [t for t in study.get_trials(deepcopy=False) if t.state.is_finished()]


def best(study: optuna.Study) -> FrozenTrial | None:
    """Return the best of the trials that went to their end; None if there is none."""
    done = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    return study.best_trial if done else None


def better(study: optuna.Study, value: float, other: float) -> bool:
    """Tell whether a value is better than another in this study."""
    least = study.direction is optuna.study.StudyDirection.MINIMIZE
    return value < other if least else value > other


def importance(study: optuna.Study) -> dict[str, float]:
    """Return each parameter's share in the differences between trials; empty where too few ended.

    By functional ANOVA (Hutter et al. 2014), over trials that went to their end.
    """
    done = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    varied = {
        key for key in (done[0].params if done else {}) if len({t.params[key] for t in done}) > 1
    }
    if len(done) < 3 or not varied or len({t.value for t in done}) < 2:
        return {}
    # Brings scikit-learn, whose import a trial's own process need not wait for.
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    evaluator = FanovaImportanceEvaluator(seed=1)
    return {key: float(n) for key, n in get_param_importances(study, evaluator=evaluator).items()}


class Reporting:
    """One trial's way to the study while it trains.

    Args:
        repository: root of the project.
        proposal: the trial.
        prune: whether it may be stopped early.

    Attributes:
        over: whether it has an end already.
    """

    def __init__(self, repository: Path, proposal: Proposal, prune: bool) -> None:
        self._study = load_study(repository, proposal.study)
        self._study.pruner = (
            optuna.pruners.MedianPruner(n_startup_trials=_STARTUP)
            if prune
            else optuna.pruners.NopPruner()
        )
        self._number = proposal.number
        (known,) = (
            trial
            for trial in self._study.get_trials(deepcopy=False)
            if trial.number == proposal.number
        )
        self.over = known.state.is_finished()
        self._trial = optuna.Trial(self._study, known._trial_id)
        self._reported = set(known.intermediate_values)

    def epoch(self, number: int, value: float, *, last: bool) -> bool:
        """Take an epoch's figure, and tell whether the trial shall end.

        Args:
            number: of the epoch.
            value: its figure.
            last: whether nothing comes after it that could be spared.
        """
        if number not in self._reported:
            self._trial.report(value, number)
            self._reported.add(number)
        # One that others follow has been judged.
        judged = last or number < max(self._reported)
        return not judged and self._trial.should_prune()

    def note(self, **values: Any) -> None:
        """Keep what is worth knowing of the trial."""
        for key, value in values.items():
            self._trial.set_user_attr(key, value)

    def complete(self, value: float) -> None:
        """The trial went to its end."""
        self._study.tell(self._number, value)

    def pruned(self) -> None:
        """The trial was stopped early; its last figure is its value."""
        self._study.tell(self._number, state=TrialState.PRUNED)

    def failed(self, reason: str) -> None:
        """The trial has no value."""
        self.note(reason=reason)
        self._study.tell(self._number, state=TrialState.FAIL)


def _distribution(tried: Range | list[Value]) -> BaseDistribution:
    if isinstance(tried, list):
        return CategoricalDistribution(tried)
    if tried.whole:
        return IntDistribution(
            int(tried.low), int(tried.high), log=tried.log, step=int(tried.step or 1)
        )
    return FloatDistribution(tried.low, tried.high, log=tried.log, step=tried.step)


def _storage(repository: Path) -> optuna.storages.RDBStorage:
    """The database; what is wrong with it must not show its password."""
    if url := os.environ.get(STORAGE_VARIABLE):
        try:
            return optuna.storages.RDBStorage(url)
        except (SQLAlchemyError, ImportError, ValueError) as error:
            raise StudyError(
                f"the database that {STORAGE_VARIABLE} names cannot be opened"
                f" ({type(error).__name__}): expected a URL of SQLAlchemy's, its driver installed"
            ) from None
    path = repository / _FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    return optuna.storages.RDBStorage(
        f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": _BUSY_SECONDS}}
    )
