"""The problem: a line through the origin."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rnnpipe.problems.slope.files import PLACES, TABLE, error, points
from rnnpipe.problems.slope.params import SlopeParams

from rnnpipe.problems.problem import Problem
from rnnpipe.registry.selection import Selection
from rnnpipe.storage.files import read_json


class Slope(Problem[SlopeParams]):
    name = "slope"
    table = TABLE
    selection = Selection("mse", "lower", "max_validation_mse")
    model_sections = frozenset({"problem", "train"})
    inputs = (TABLE,)
    lineage: ClassVar[Mapping[str, Path]] = {"points": TABLE, "network": PLACES.network}
    validation_reports = ()

    def wording(self):
        from rnnpipe.problems.slope.wording import WORDING

        return WORDING

    def prepare(self, raw, table, params):
        rows = pd.read_csv(raw)
        rows["split"] = np.resize(["train", "train", "validation", "test"], len(rows))
        table.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), table)

    def baseline(self, params):
        return {"mean": float(points("train")[1].mean())}

    def learn(self, params):
        from rnnpipe.problems.slope.learning import learn

        return learn(params)

    def export(self, network, path):
        path.write_text(json.dumps(float(network.weights[0].numpy()[0, 0])))

    def check_export(self, params, network, path):
        from rnnpipe.networks.onnx_comparison import require_equal

        exported = np.array(json.loads(path.read_text()))
        require_equal(exported, network.weights[0].numpy()[0, 0], "the slope")

    def evaluate(self, params) -> dict[str, Any]:
        slope = json.loads((PLACES.network / "network.onnx").read_text())
        mean = read_json(PLACES.reports / "baseline.json")["mean"]
        ours, theirs = (
            {
                split: {"mse": error(line(points(split)[0][:, 0]), split)}
                for split in ("validation", "test")
            }
            for line in (lambda x: slope * x, lambda x: np.full(len(x), mean))
        )
        (PLACES.reports / "plots").mkdir(parents=True, exist_ok=True)
        return ours["test"] | {
            "n": len(points("test")[0]),
            "validation": ours["validation"],
            "baseline": theirs["test"] | {"validation": theirs["validation"]},
        }

    def assemble(self, params, lineage):
        from rnnpipe.registry.card import card
        from rnnpipe.registry.folder import assemble

        metrics = PLACES.reports / "metrics.json"
        return assemble(
            PLACES.model,
            files={"network.onnx": PLACES.network / "network.onnx", "metrics.json": metrics},
            params={"problem": "slope"},
            card=card(
                "slope",
                "A line.",
                "the mean",
                ["mse"],
                read_json(metrics),
                lineage,
                use="Lines.",
                limits=["Lines."],
                loading="Read it.",
            ),
            scores=lambda path: pq.write_table(
                pa.table({"id": ["all"], "truth_sha256": ["0"], "loss": [0.0]}), path
            ),
        )


PROBLEM = Slope()
