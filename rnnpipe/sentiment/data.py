"""From what was downloaded to one table of reviews."""

from pathlib import Path

from rnnpipe.params import ClassificationParams
from rnnpipe.reviews import prepare_archive, prepare_table
from rnnpipe.sources import read_card


def prepare(raw: Path, reviews: Path, params: ClassificationParams) -> None:
    """Read an archive in the IMDB layout by its card, or a table of one's own."""
    source = params.download.source
    if source.endswith(".json"):
        card = read_card(Path(source).expanduser())
        prepare_archive(raw, reviews, card.content_digest)
    else:
        prepare_table(raw, reviews, params.prepare)
