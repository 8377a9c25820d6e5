"""Stage prepare: what was downloaded to one table."""

from rnnpipe.config.load import Params
from rnnpipe.errors import SourceError
from rnnpipe.problems import problem_of


def run(params: Params) -> None:
    problem = problem_of(params)
    raw = problem.paths.data / "raw"
    files = sorted(raw.iterdir()) if raw.is_dir() else []
    if len(files) != 1:
        raise SourceError(
            f"{raw} holds {len(files)} files, expected 1: run the download stage (dvc repro)"
        )
    problem.prepare(files[0], problem.table, params)
