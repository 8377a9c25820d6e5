"""When and where the pipeline runs: Prefect's side of the house.

What runs, and in which order, stands in ``dvc.yaml`` alone; each stage is a child process of
``dvc``. Nothing here imports TensorFlow or Great Expectations, and no stage imports this.
"""

from pathlib import Path

from rnnpipe.runtime.home import ensure_home

ensure_home(Path(__file__).parents[1])  # before Prefect is imported, which asks for it
