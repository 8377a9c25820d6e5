"""Stage ``gradient_flow``: how far the loss reaches back, before and after training."""

from pathlib import Path

import pandas as pd

from rnnpipe.networks.gradients import (
    flow_table,
    measure_gradient_flow,
    spread_over_lengths,
    summarize,
)
from rnnpipe.networks.saving import load_network
from rnnpipe.problems.classification.learning import build_network
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.reporting.plots import draw_gradient_flow
from rnnpipe.storage.files import atomic_directory, write_json
from rnnpipe.text.batching import Padding
from rnnpipe.text.sequences import load_split

SEQUENCES = Path("data/sequences")
NETWORK = Path("models/network/network.keras")
FLOW = Path("reports/gradient_flow")
SUMMARY = Path("reports/gradient_flow.json")

_REVIEWS = 64  # of validation: short and long ones, as many of the one as of the other


def run(params: ClassificationParams) -> None:
    """Measure the network as it was built and as it was kept, then draw and write."""
    validation = load_split(SEQUENCES, "validation")
    rows = spread_over_lengths(validation.sequences.lengths, _REVIEWS)
    token_ids = Padding.of(params.train).pad(validation.sequences, rows)
    untrained = build_network(params)
    flows = {
        name: measure_gradient_flow(network, token_ids, validation.labels[rows])
        for name, network in (("before", untrained), ("after", load_network(NETWORK)))
    }
    tables = {name: flow_table(flow) for name, flow in flows.items()}
    with atomic_directory(FLOW) as folder:
        pd.concat(tables, names=["training"]).reset_index("training").to_csv(
            folder / "gradient_flow.csv", index=False, float_format="%.6g"
        )
        draw_gradient_flow(
            {f"{name.capitalize()} training": table for name, table in tables.items()},
            folder / "gradient_flow.png",
        )
    write_json(SUMMARY, {"reviews": len(rows)} | {n: summarize(flow) for n, flow in flows.items()})
