"""Its demo."""

from pathlib import Path

import numpy as np
import pandas as pd

COMMAND = ("slope", "--digits", "1")


def write_data(folder: Path, size: int) -> None:
    x = np.random.default_rng(1).normal(size=200)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"x": x, "y": 3 * x}).to_csv(folder / "data" / "points.csv", index=False)
