"""From what was downloaded to one table of reviews."""

from pathlib import Path

from rnnpipe.problems.classification.archive import prepare_archive
from rnnpipe.problems.classification.own_table import prepare_table
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.storage.addresses import home_path
from rnnpipe.storage.card import read_card


def prepare(raw: Path, reviews: Path, params: ClassificationParams) -> None:
    """Read an archive in the IMDB layout by its card, or a table of one's own."""
    source = params.download.source
    if source.endswith(".json"):
        card = read_card(home_path(source))
        prepare_archive(raw, reviews, card.content_digest)
    else:
        prepare_table(raw, reviews, params.prepare)
