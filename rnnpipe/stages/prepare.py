"""Stage prepare: what was downloaded to one table of reviews, ``data/reviews.parquet``."""

from pathlib import Path

from rnnpipe.errors import SourceError
from rnnpipe.params import Params
from rnnpipe.reviews import prepare_archive, prepare_table
from rnnpipe.sources import read_card

RAW = Path("data/raw")
REVIEWS = Path("data/reviews.parquet")


def run(params: Params) -> None:
    files = sorted(RAW.iterdir()) if RAW.is_dir() else []
    if len(files) != 1:
        raise SourceError(
            f"{RAW} holds {len(files)} files, expected 1: run the download stage (dvc repro)"
        )
    source = params.download.source
    if source.endswith(".json"):
        card = read_card(Path(source).expanduser())
        prepare_archive(files[0], REVIEWS, card.content_digest)
    else:
        prepare_table(files[0], REVIEWS, params.prepare)
