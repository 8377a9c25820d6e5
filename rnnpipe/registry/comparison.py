"""The champion and a challenger on the same validation rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from rnnpipe.config.document import read_document
from rnnpipe.errors import RegistryError, quoted
from rnnpipe.registry.folder import VALIDATION_PREDICTIONS, check_model

ALPHA = 0.05
MIN_SHARED = 500
MIN_SHARED_LOSSES = 20  # a loss tells more than right or wrong
_ANSWERS = {"text_sha256", "label"}
_MOST_NAMED = 5
_SHARED = {
    "accuracy": ("validation texts", MIN_SHARED),
    "loss": ("losses on validation", MIN_SHARED_LOSSES),
}


@dataclass(frozen=True)
class Comparison:
    """A challenger against a champion on the validation data that both were judged on.

    Figures are accuracies where answers are right or wrong, else mean losses;
    ``challenger_only`` counts what the challenger alone did right, or better, ``champion_only`` the
    reverse; ``p_value`` is None when too little is shared to say anything, or, as ``obstacle``
    tells, for another reason.
    """

    shared: int
    measure: Literal["accuracy", "loss"]
    challenger: float
    champion: float
    challenger_only: int
    champion_only: int
    p_value: float | None
    obstacle: str | None = None

    @property
    def verdict(self) -> Literal["better", "not better", "not comparable"]:
        """``better`` when chance explains the difference with less than 5 %."""
        if self.p_value is None:
            return "not comparable"
        return "better" if self.p_value < ALPHA else "not better"

    def __str__(self) -> str:
        if self.obstacle:
            return f"not comparable: {self.obstacle}"
        what, least = _SHARED[self.measure]
        if self.p_value is None:
            return f"not comparable: {self.shared} shared {what}, required {least}"
        test = {"accuracy": "McNemar", "loss": "paired t-test"}[self.measure]
        return (
            f"{self.verdict}: {self.measure} {self.challenger:.4f} against"
            f" {self.champion:.4f} on {self.shared} shared {what},"
            f" {test} p = {self.p_value:.4g}, required below {ALPHA}"
        )


def compare(champion: Path, challenger: Path) -> Comparison:
    """Compare two model folders on what stands in both validation sets.

    A text is known by its hash and label, so models of different sources can meet; a window, or a
    text that is modelled, by its ``id`` and the hash of what was to be told.

    Raises:
        RegistryError: one of the folders has no predictions, or they are of two kinds.
    """
    import pandas as pd
    from pyarrow import ArrowException

    def scores(path: Path) -> "pd.DataFrame":
        check_model(path, [VALIDATION_PREDICTIONS])  # all else may differ by rnnpipe's version
        file = path / VALIDATION_PREDICTIONS
        try:
            table = pd.read_parquet(file)
        except (OSError, ValueError, ArrowException) as error:
            raise RegistryError(
                f"{file} is no table that can be read ({type(error).__name__}): take the folder from"
                " the registry again"
            ) from None
        wanted = {"id", "truth_sha256", "loss"} if "loss" in table else _ANSWERS
        if wanted is _ANSWERS and "probability_0" not in table:
            wanted = {*_ANSWERS, "probability"}
        if missing := sorted(wanted - set(table)):
            raise RegistryError(
                f"{file} has no column {', '.join(missing)}: it is of another rnnpipe's model"
            )
        return table

    both = {"champion": scores(champion), "challenger": scores(challenger)}
    kinds = {"loss" in table for table in both.values()}
    if len(kinds) > 1:
        raise RegistryError(
            f"{champion} and {challenger} hold figures of two kinds: they are models of two problems"
        )
    if kinds.pop():
        return _compare_losses(both)
    names = {
        which: _label_names(path, both[which])
        for which, path in (("champion", champion), ("challenger", challenger))
    }
    if set(names["champion"]) != set(names["challenger"]):
        told = " and ".join(f"the {which} {_listed(found)}" for which, found in names.items())
        obstacle = f"they tell other classes apart, {told}"
        return Comparison(0, "accuracy", 0.0, 0.0, 0, 0, None, obstacle)
    return _compare_answers(both, names)


class _Saved(BaseModel):
    """What is read of a folder's ``params.json``; models of before the manifest have it, too."""

    label_names: tuple[Annotated[str, Field(max_length=1000)], ...]


def _label_names(path: Path, table: Any) -> tuple[str, ...]:
    """The names of a model's labels, as many as its table of answers tells apart."""
    file = path / "params.json"
    what, advice = f"{file} names no labels", "take the folder from the registry again"
    names = read_document(_Saved, file, what, advice).label_names
    width = len(_columns(table))
    expected = 2 if width == 1 else width
    labels = table["label"]
    if len(names) != expected or not labels.between(0, expected - 1).all():
        raise RegistryError(
            f"{path / VALIDATION_PREDICTIONS} and {file} are of two models: found {expected} classes"
            f" and {len(names)} names; {advice}"
        )
    return names


def _columns(table: Any) -> list[str]:
    """The columns of probabilities: one for two classes, else one a class."""
    if "probability" in table:
        return ["probability"]
    found = [name for name in table if str(name).startswith("probability_")]
    return [f"probability_{label}" for label in range(len(found))]


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - _MOST_NAMED
    named = ", ".join(quoted(name) for name in names[:_MOST_NAMED])
    return f"{named} and {more} more" if more > 0 else named


def _compare_answers(scores: Mapping[str, Any], names: Mapping[str, tuple[str, ...]]) -> Comparison:
    import pandas as pd

    from rnnpipe.metrics.classification import called
    from rnnpipe.metrics.paired import mcnemar

    def right(which: str) -> "pd.Series[Any]":
        """Whether each text was labelled rightly, by (hash, name); the first of equal texts."""
        table = scores[which].drop_duplicates(["text_sha256", "label"])
        columns = _columns(table)
        given = table[columns[0] if len(columns) == 1 else columns].to_numpy()
        labels = table["label"].to_numpy()
        # By name: the two may number their labels differently.
        named = pd.Series(names[which]).take(labels).to_numpy()
        index = pd.MultiIndex.from_arrays([table["text_sha256"], named])
        return pd.Series(called(given) == labels, index)

    both = pd.concat({which: right(which) for which in scores}, axis=1)
    both = both.dropna().astype(bool)
    shared = len(both)
    challenger_only = int((both["challenger"] & ~both["champion"]).sum())
    champion_only = int((both["champion"] & ~both["challenger"]).sum())
    return Comparison(
        shared=shared,
        measure="accuracy",
        challenger=float(both["challenger"].mean()) if shared else 0.0,
        champion=float(both["champion"].mean()) if shared else 0.0,
        challenger_only=challenger_only,
        champion_only=champion_only,
        # One-sided: a champion is replaced by what is better, not by what only differs.
        p_value=mcnemar(challenger_only, champion_only, "greater")
        if shared >= MIN_SHARED
        else None,
    )


def _compare_losses(scores: Mapping[str, Any]) -> Comparison:
    import pandas as pd
    from scipy import stats

    both = pd.concat(
        {name: table.set_index(["id", "truth_sha256"])["loss"] for name, table in scores.items()},
        axis=1,
    ).dropna()
    shared = len(both)
    gain = both["champion"] - both["challenger"]
    p_value = None
    if shared >= MIN_SHARED_LOSSES:
        # Of equals the test knows nothing: they are not better.
        test = stats.ttest_rel(both["champion"], both["challenger"], alternative="greater")
        p_value = float(test.pvalue) if gain.std() > 0 else float(not gain.mean() > 0)
    return Comparison(
        shared=shared,
        measure="loss",
        challenger=float(both["challenger"].mean()) if shared else 0.0,
        champion=float(both["champion"].mean()) if shared else 0.0,
        challenger_only=int((gain > 0).sum()),
        champion_only=int((gain < 0).sum()),
        p_value=p_value,
    )
