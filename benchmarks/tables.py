"""The pages' tables, from the reports: ``python -m benchmarks.tables`` writes them anew.

Each stands between ``<!-- NAME -->`` and ``<!-- end NAME -->``; a report that is not there leaves
its table alone.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnpipe.storage.files import atomic_file, read_json

REPORTS = Path("reports")
PAGES = tuple(map(Path, ("README.md", "docs/results.md", "docs/problems.md", "docs/search.md")))


def results(metrics: Mapping[str, Any], notebook: Mapping[str, Any]) -> str:
    """Lay out the default run beside the linear model and the notebook, and what chance explains."""
    baseline, unshared = metrics["baseline"], metrics["without_shared"]
    rows = [
        [
            name,
            f"{figures['accuracy']:.4f}",
            f"{figures['accuracy_low']:.4f} to {figures['accuracy_high']:.4f}",
            f"{figures['f1']:.4f}",
            f"{figures['auc_roc']:.4f}",
        ]
        for name, figures in (
            ("the teaching notebook this grew out of, as written", notebook),
            ("linear model: NB-SVM of words and word pairs", baseline),
            ("**rnnpipe, default parameters**: one LSTM, 64 units each way", metrics),
        )
    ]
    head = [f"IMDB, {metrics['n']:,} test reviews", "accuracy", "95 % interval", "F1", "AUC"]
    test, validation = baseline["mcnemar"], metrics["validation"]
    sentences = validation["sentences"]
    return (
        f"{markdown_table(head, rows)}\n\nOn test the network alone is right about {test['model_only_correct']}"
        f" reviews, the linear model alone about {test['baseline_only_correct']}\n(McNemar's test:"
        f" p = {test['p_value']:.2g}); on validation their accuracies are"
        f" {validation['accuracy']:.4f} and {baseline['validation']['accuracy']:.4f}."
        f"\nLeaving out the {metrics['n'] - unshared['n']} test reviews whose text also stands in"
        f" train changes the network's accuracy\nto {unshared['accuracy']:.4f}."
        "\n\nHow sure it is was fitted on validation ([ADR 15](docs/adr/0015-as-sure-as-the-words-allow.md)), and"
        f" measured on films\nthat nothing was fitted on: expected calibration error {validation['ece']:.3f} of whole"
        f" reviews, {sentences['ece']:.3f} of their {sentences['n']:,}\nsentences, which alone are told rightly in"
        f" {sentences['accuracy']:.3f} (label of the review). On test, of whole reviews, it is"
        f"\n{metrics['calibration_error']:.3f}."
    )


def seeds_paragraph(report: Mapping[str, Any]) -> str:
    """Say what the seeds gave, on test and against the linear model."""
    p_values = ", ".join(f"{run['mcnemar']['p_value']:.2g}" for run in report["runs"])
    where = "[`reports/seeds.json`](reports/seeds.json), `make seeds`"
    if report["sd"] is None:
        return f"Of one seed ({where}): accuracy {report['mean']:.4f}, p against the linear model {p_values}."
    return (
        f"Over {len(report['runs'])} seeds ({where}) the mean accuracy is {report['mean']:.4f},\n"
        f"standard deviation {report['sd']:.4f}, {report['confidence']:.0%} interval of the mean"
        f" {report['low']:.4f} to {report['high']:.4f}; p against the\nlinear model {p_values}."
    )


def problems_table(
    sentiment: Mapping[str, Any], language: Mapping[str, Any], forecasting: Mapping[str, Any]
) -> str:
    """Lay out each problem's figure on test beside its baseline's."""
    horizon = _horizons(forecasting)[0]
    rows = [
        [
            f"[{name}]({places}metrics.json)",
            data,
            what,
            f"**{ours[key]:{form}}** ({ours[f'{key}_low']:{form}} to {ours[f'{key}_high']:{form}})",
            f"{ours['baseline'][key]:{form}}",
            baseline,
        ]
        for name, places, data, what, ours, key, form, baseline in (
            ("sentiment", "reports/", "IMDB, 25,000 test reviews", "accuracy", sentiment,
             "accuracy", ".4f", "NB-SVM of words and word pairs"),
            ("language modelling", "reports/language_model/",
             f"the same reviews, {language['words']:,} words",
             f"perplexity, {language['unknown_share']:.1%} unknown words", language,
             "perplexity", ".1f", "n-grams, modified Kneser-Ney"),
            ("forecasting", "reports/forecasting/",
             f"ETTh1, {forecasting['n']:,} test windows, look-back {forecasting['look_back']}",
             f"MSE, {horizon} hours ahead", forecasting, f"mse_{horizon}", ".4f",
             "one linear map (DLinear's form)"),
        )
    ]  # fmt: skip
    head = ["problem", "data", "figure", "rnnpipe (95 % interval)", "baseline", "which is"]
    return markdown_table(head, rows)


def forecasting_table(forecasting: Mapping[str, Any]) -> str:
    """Lay out the scaled errors by horizon: ours, the linear map's, the last season's."""
    models = [
        ("rnnpipe", forecasting),
        ("linear map", forecasting["baseline"]),
        ("seasonal naive", forecasting["seasonal_naive"]),
    ]
    rows = [
        [
            f"{horizon} hours",
            *(
                f"{model[f'mse_{horizon}']:.3f} / {model[f'mae_{horizon}']:.3f}"
                for _, model in models
            ),
            f"{forecasting[f'windows_{horizon}']:,}",
        ]
        for horizon in _horizons(forecasting)
    ]
    return markdown_table(["MSE / MAE", *(name for name, _ in models), "test windows"], rows)


def _horizons(forecasting: Mapping[str, Any]) -> list[int]:
    return sorted(int(key[4:]) for key in forecasting if key[:4] == "mse_" and key[4:].isdigit())


def seeds_table(report: Mapping[str, Any]) -> str:
    """Lay out the figures of a problem's runs on test: their mean over the seeds, and each."""
    runs = report["runs"]
    rows = []
    for name, mean in report["mean"].items():
        places = ".1f" if mean >= 10 else ".4f"
        spread = "" if report["sd"][name] is None else f"{report['sd'][name]:{places}}"
        each = ", ".join(f"{run[name]:{places}}" for run in runs)
        baseline = {
            f"{run[f'baseline_{name}']:{places}}" for run in runs if f"baseline_{name}" in run
        }
        rows.append(
            [f"`{name}`", f"**{mean:{places}}**", spread, each, ", ".join(sorted(baseline))]
        )
    head = [_seeds(runs), "mean", "standard deviation", "each", "baseline"]
    return markdown_table(head, rows)


def best_paragraph(report: Mapping[str, Any]) -> str:
    """Say what the slow recipe gave."""
    accuracies = ", ".join(f"{run['accuracy']:.4f}" for run in report["runs"])
    p_values = ", ".join(f"{run['mcnemar']['p_value']:.2g}" for run in report["runs"])
    minutes = max(run["train_seconds"] for run in report["runs"]) / 60
    return (
        f"[`params/best.yaml`](params/best.yaml) takes {minutes:.0f} minutes of training and reaches"
        f" {accuracies}\non test (McNemar's p against the linear model {p_values};"
        f" {_seeds(report['runs'])}: [`reports/seeds_best.json`](reports/seeds_best.json))."
    )


def transfer_paragraph(transfer: Mapping[str, Any], wide: Mapping[str, Any]) -> str:
    """Say what a start from the language model gives at equal fine-tuning cost."""
    ours = {run["seed"]: run["accuracy"] for run in transfer["runs"]}
    pairs = [(ours[run["seed"]], run["accuracy"]) for run in wide["runs"] if run["seed"] in ours]
    gain = sum(a - b for a, b in pairs) / len(pairs)
    way = "gains" if gain > 0 else "loses"
    shown = "; ".join(f"{a:.4f} against {b:.4f}" for a, b in pairs)
    return (
        f"At equal fine-tuning cost (one pass over half the reviews, {_seeds(pairs)}) a start from this"
        f" language model\n{way} {abs(gain):.4f} of test accuracy: {shown}"
        f"\n([`reports/seeds_transfer.json`](reports/seeds_transfer.json),"
        f" [`seeds_wide.json`](reports/seeds_wide.json)). So it is not the default."
    )


def _seeds(runs: Sequence[Any]) -> str:
    return "one seed" if len(runs) == 1 else f"{len(runs)} seeds"


def bench_table(report: Mapping[str, Any]) -> str:
    """Lay out training steps beside their peers, and predictions."""
    machine, predict = report["machine"], report["predict"]
    rows = [
        [
            row["step"],
            *(_milliseconds(row, name) for name in ("rnnpipe", "keras", "torch")),
            *(_ratio(row, name) for name in ("keras", "torch")),
            f"{row['share_of_float32_peak']:.0%}" if "share_of_float32_peak" in row else "",
        ]
        for row in report["steps"]
        if row["precision"] == report["steps"][0]["precision"]
    ]
    head = ["training step", "rnnpipe", "Keras", "PyTorch", "× Keras", "× PyTorch", "of peak"]
    return (
        f"{markdown_table(head, rows)}\n\n{machine['processor']}, {machine['cores']} cores,"
        f" {report['peak_gflops']['float32']:.0f} GFLOP/s of float32 products; medians of"
        f" {report['rounds']} interleaved rounds.\nPredictions:"
        f" {predict['reviews']:,} reviews in {predict['many_s']:.1f} s, one review in"
        f" {predict['single_p50_ms']:.1f} ms, `rnnpipe predict` from a cold\nstart in"
        f" {predict['cold_s']:.1f} s, `rnnpipe --help` in {predict['help_s']:.2f} s."
    )


def cells_table(report: Mapping[str, Any]) -> str:
    """Lay out the cells: accuracy, size, time and memory of the training."""
    rows = [
        [
            row["name"],
            *(
                [
                    f"{row['accuracy']:.4f}",
                    f"{row['accuracy_low']:.4f} to {row['accuracy_high']:.4f}",
                    f"{row['recurrent_parameters']:,}",
                    f"{row['parameters']:,}",
                    f"{row['train_seconds']:.0f}",
                    f"{row['peak_mib']:,}",
                ]
                if "failed" not in row
                else ["failed", "", "", "", "", ""]
            ),
        ]
        for row in report["rows"]
    ]
    head = ["", "test accuracy", "95 % interval", "recurrent weights", "all weights"]
    return markdown_table([*head, "training, s", "memory, MiB"], rows)


def growth_table(report: Mapping[str, Any]) -> str:
    """Lay out memory and time of each stage by the size of the corpus."""
    rows, first = report["rows"], report["rows"][0]
    head = ["", *(f"{row['reviews']:,} reviews" for row in rows)]
    body = [[f"`{name}`", *_growth(rows, first, name)] for name in first["stages"]]
    peaks = [f"**{row['peak_memory_mb']:,} MB**, {row['seconds']:,.0f} s" for row in rows]
    return markdown_table(head, [*body, ["all", *peaks]])


def _growth(
    rows: Sequence[Mapping[str, Any]], first: Mapping[str, Any], name: str
) -> Sequence[str]:
    cells = [row["stages"][name] for row in rows]
    start = first["stages"][name]["memory_mb"]
    return [
        f"{cell['memory_mb']:,} MB ({cell['memory_mb'] / start:.2f} ×), {cell['seconds']:,.0f} s"
        for cell in cells
    ]


def _milliseconds(row: Mapping[str, Any], name: str) -> str:
    return f"{row['milliseconds'][name]:.0f} ms" if name in row["milliseconds"] else ""


def _ratio(row: Mapping[str, Any], name: str) -> str:
    ratio = row["times_faster_than"].get(name)
    return "" if ratio is None else f"{ratio:.2f}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay rows of cells out as a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def search_table(report: Mapping[str, Any]) -> str:
    """Lay out a search: the default and the best trials, with what was searched."""
    figure = report["space"]["minimize"] or report["space"]["maximize"]
    sign = 1 if report["space"]["minimize"] else -1
    whole = [trial for trial in report["trials"] if trial["state"] == "COMPLETE"]
    ranked = sorted(whole, key=lambda trial: sign * trial["value"])
    keys = list(report["space"]["space"])
    rows = [["default", f"{report['default']['value']:.4f}", *("" for _ in keys)]]
    rows += [
        [
            f"{trial['number']}",
            f"{trial['value']:.4f}",
            *(f"{trial['parameters'][key]:.3g}" if isinstance(trial["parameters"][key], float)
              else str(trial["parameters"][key]) for key in keys),
        ]
        for trial in ranked[:3]
    ]  # fmt: skip
    fixed = ", ".join(f"{key} {value}" for key, value in report["space"]["set"].items())
    early = sum(trial["state"] == "PRUNED" for trial in report["trials"])
    head = ["trial", figure, *(key.rpartition(".")[2] for key in keys)]
    return (
        f"{markdown_table(head, rows)}\n\nThe best three of {len(report['trials'])} trials ({early} of them"
        f" stopped early) and the default, trained alike ({fixed}), one seed each:\n"
        f"{report['seconds'] / 60:.0f} minutes"
        f" ([`reports/search/{report['name']}/`](reports/search/{report['name']}/)). What is best on a part of"
        " the reviews\nneed not be best on all: a tenth of them in batches of 64 is few steps."
    )


# By the place in a page: the reports, and what lays them out.
Tables = Mapping[str, tuple[Sequence[str], Callable[..., str]]]
TABLES: Tables = {
    "results": (("metrics", "notebook"), results),
    "seeds": (("seeds",), seeds_paragraph),
    "best": (("seeds_best",), best_paragraph),
    "problems": (
        ("metrics", "language_model/metrics", "forecasting/metrics"),
        problems_table,
    ),
    "transfer": (("seeds_transfer", "seeds_wide"), transfer_paragraph),
    "forecasting": (("forecasting/metrics",), forecasting_table),
    "seeds_forecasting": (("seeds_forecasting",), seeds_table),
    "seeds_language_model": (("seeds_language_model",), seeds_table),
    "bench": (("bench",), bench_table),
    "cells": (("cells",), cells_table),
    "growth": (("growth",), growth_table),
    "search": (("search/imdb-tenth/search",), search_table),
}


def filled(text: str, reports: Path, tables: Tables = TABLES, up: str = "") -> str:
    """Put every table whose reports are there into its place, where a text has one.

    Args:
        text: of a page.
        reports: folder of the reports.
        tables: what lays them out, by its place.
        up: the way from the page's folder to the project's, which links begin with.
    """
    for place, (names, lay_out) in tables.items():
        paths = [reports / f"{name}.json" for name in names]
        if all(path.exists() for path in paths):
            table = lay_out(*(read_json(path) for path in paths))
            table = re.sub(r"\]\((?!https?:)", f"]({up}", table)
            before, start, rest = text.partition(f"<!-- {place} -->\n")
            _, end, after = rest.partition(f"\n<!-- end {place} -->")
            if start and end:
                text = before + start + table + end + after
    return text


def way_up(page: Path) -> str:
    """Return what a page's links to the project's folder begin with.

    >>> way_up(Path("docs/results.md")), way_up(Path("README.md"))
    ('../', '')
    """
    return "../" * (len(page.parts) - 1)


def fill(page: Path, tables: Tables = TABLES, up: str = "") -> None:
    """Write a page anew; see :func:`filled`."""
    text = filled(page.read_text(encoding="utf-8"), REPORTS, tables, up)
    with atomic_file(page) as partial:
        partial.write_text(text, encoding="utf-8")


def main() -> None:
    """Write all pages anew."""
    for page in PAGES:
        fill(page, up=way_up(page))


if __name__ == "__main__":
    main()
