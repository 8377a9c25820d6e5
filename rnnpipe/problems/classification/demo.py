"""What the demo shows of classification: generated reviews, and a text that is judged."""

import hashlib
from pathlib import Path

from rnnpipe.problems.classification.generated import write_corpus
from rnnpipe.storage.card import Card
from rnnpipe.storage.files import write_json

COMMAND = ("predict", "The plot is not bad at all, in fact it is wonderful.")


def write_data(folder: Path, size: int) -> None:
    """Write generated reviews, as many as asked for, with their card, into a copy of the project."""
    archive = Path("data/mirror/generated.tar.gz")
    digest = write_corpus(folder / archive, size, seed=1)
    card = Card(
        name="Generated reviews",
        kind="archive",
        address=str(archive),
        file_name=archive.name,
        bytes=(folder / archive).stat().st_size,
        md5=hashlib.md5((folder / archive).read_bytes(), usedforsecurity=False).hexdigest(),
        content_digest=digest,
        reviews=size,
        citation="Written by `rnnpipe corpus` from a small grammar.",
    )
    write_json(folder / "data" / "generated.json", card.content)
