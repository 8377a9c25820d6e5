"""The model card: what a model is, what it is worth, and how it is used."""

from collections.abc import Mapping, Sequence
from typing import Any

from rnnpipe.registry.decision import Lineage

_MOST_SHOWN = 1e15  # more is no figure of a model


def card(
    name: str,
    summary: str,
    baseline: str,
    figures: Sequence[str],
    metrics: Mapping[str, Any],
    lineage: Lineage,
    *,
    use: str,
    limits: Sequence[str],
    loading: str,
) -> str:
    """Write a model card, in Markdown: figures with intervals, data, use, limits, loading.

    Args:
        name: of the model.
        summary: what it is, in a sentence or two.
        baseline: what stands beside it.
        figures: keys of ``metrics.json`` to show, ``n`` behind them.
        metrics: content of ``metrics.json``.
        lineage: what the model came from.
        use: what it is meant for.
        limits: what it cannot do, a sentence each.
        loading: how it is used, in Markdown.
    """
    theirs = metrics.get("baseline", {})
    columns = (metrics, theirs, metrics.get("validation", {}), theirs.get("validation", {}))
    rows = [
        f"| {key} | {' | '.join(figure_with_interval(column, key) for column in columns)} |"
        for key in (*figures, "n")
    ]
    data = {"content digest of the source": lineage.source or "none: a table without a card"}
    data |= lineage.steps
    return "\n".join(
        [
            f"# Model card: {name}",
            "",
            summary + " `params.json` says how it was built and trained.",
            "",
            "## Figures",
            "",
            f"With intervals in brackets, beside the baseline: {baseline}.",
            "",
            "| | test | baseline, test | validation | baseline, validation |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
            f"{_paired(theirs)}The validation split chose the model; test was opened once, after"
            " that.",
            "",
            "## Data",
            "",
            "| | SHA-256 |",
            "| --- | --- |",
            *(f"| {step} | {digest} |" for step, digest in data.items()),
            "",
            "## Intended use",
            "",
            use,
            "",
            "## Limits",
            "",
            *(f"- {limit}" for limit in limits),
            "",
            "## Loading",
            "",
            loading,
            "Loading runs no code from these files. `network.keras` is the same network for going"
            " on with it in Keras.",
            "",
        ]
    )


def _paired(baseline: Mapping[str, Any]) -> str:
    """A paragraph on the paired tests against the baseline; nothing where there are none."""
    sentences = [
        f"On {split} this network alone is right about {test['model_only_correct']} texts, the baseline"
        f" alone about {test['baseline_only_correct']} (McNemar's exact test, two-sided:"
        f" p = {test['p_value']:.2g})."
        for split, of_split in (("test", baseline), ("validation", baseline.get("validation", {})))
        if (test := of_split.get("mcnemar"))
    ]
    return "\n".join(sentences) + "\n\n" if sentences else ""


def figure_with_interval(figures: Any, key: str) -> str:
    """Return a figure with its interval, as a card shows it; a dash for what is no number."""
    known = figures if isinstance(figures, Mapping) else {}
    value, low, high = (
        found
        if isinstance(found := known.get(name), int | float) and abs(found) < _MOST_SHOWN
        else None
        for name in (key, f"{key}_low", f"{key}_high")
    )
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:.4f}" + (f" ({low:.4f} to {high:.4f})" if None not in (low, high) else "")
