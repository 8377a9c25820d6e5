"""The champion and a challenger on the same validation rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rnnpipe.errors import RegistryError
from rnnpipe.registry.folder import VALIDATION_PREDICTIONS, check_model

ALPHA = 0.05
MIN_SHARED = 500
MIN_SHARED_LOSSES = 20  # a loss tells more than right or wrong
_ANSWERS = {"text_sha256", "label", "probability"}
_SHARED = {
    "accuracy": ("validation texts", MIN_SHARED),
    "loss": ("losses on validation", MIN_SHARED_LOSSES),
}


@dataclass(frozen=True)
class Comparison:
    """A challenger against a champion on the validation data that both were judged on.

    Figures are accuracies where answers are right or wrong, else mean losses;
    ``challenger_only`` counts what the challenger alone did right, or better, ``champion_only`` the
    reverse; ``p_value`` is None when too little is shared to say anything.
    """

    shared: int
    measure: Literal["accuracy", "loss"]
    challenger: float
    champion: float
    challenger_only: int
    champion_only: int
    p_value: float | None

    @property
    def verdict(self) -> Literal["better", "not better", "not comparable"]:
        """``better`` when chance explains the difference with less than 5 %."""
        if self.p_value is None:
            return "not comparable"
        return "better" if self.p_value < ALPHA else "not better"

    def __str__(self) -> str:
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
    return _compare_losses(both) if kinds.pop() else _compare_answers(both)


def _compare_answers(scores: Mapping[str, Any]) -> Comparison:
    import pandas as pd

    from rnnpipe.metrics.classification import THRESHOLD
    from rnnpipe.metrics.paired import mcnemar

    def right(table: Any) -> "pd.Series[Any]":
        """Whether each text was labelled rightly, by (hash, label); the first of equal texts."""
        table = table.drop_duplicates(["text_sha256", "label"])
        found = (table["probability"] > THRESHOLD) == (table["label"] == 1)
        index = pd.MultiIndex.from_frame(table[["text_sha256", "label"]])
        return pd.Series(found.to_numpy(), index)

    both = pd.concat({name: right(table) for name, table in scores.items()}, axis=1)
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
