"""The archive that the root pipeline is about, where it lies beside the project."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from projects import ROOT

from rnnpipe.problems.classification.archive import prepare_archive

ARCHIVE = ROOT / "../shared/data/aclImdb_v1.tar.gz"
DIGEST = "55899aab0fa834fc01938978b72d77f4a3c37ec93ba833312fbb346bfd506c4f"


@pytest.mark.skipif(not ARCHIVE.exists(), reason="needs the IMDB archive in ../shared/data")
def test_the_archive_holds_what_its_readme_says(tmp_path: Path) -> None:
    prepared = prepare_archive(ARCHIVE, tmp_path / "reviews.parquet", DIGEST)
    assert prepared.reviews == {"train": 25_000, "test": 25_000, "unlabelled": 50_000}
    assert prepared.text_bytes == 131_990_302
    table = pq.read_table(tmp_path / "reviews.parquet").drop_columns("text").to_pandas()
    labelled = table[table.split != "unlabelled"]
    films = {split: set(rows.film) for split, rows in table.groupby("split")}
    assert len(films["train"]) == 3_456
    assert len(films["test"]) == 3_581
    assert len(films["train"] & films["test"]) == 1
    assert not films["unlabelled"] & (films["train"] | films["test"])
    assert set(labelled.rating) == {1, 2, 3, 4, 7, 8, 9, 10}
