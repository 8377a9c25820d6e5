"""Where its files lie, and its points."""

import numpy as np
import pyarrow.parquet as pq

from rnnpipe.storage.paths import paths_of

PLACES = paths_of("slope")
TABLE = PLACES.data / "points.parquet"


def points(split: str) -> tuple[np.ndarray, np.ndarray]:
    table = pq.read_table(TABLE).to_pandas()
    rows = table[table["split"] == split]
    return rows["x"].to_numpy(np.float32)[:, None], rows["y"].to_numpy(np.float32)


def error(predicted: np.ndarray, split: str) -> float:
    return float(np.mean((predicted - points(split)[1]) ** 2))
