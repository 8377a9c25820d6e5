"""The generated corpus: the same for ever, in the layout, and hard for who only counts words."""

import gzip
import re
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from rnnpipe.errors import SourceError
from rnnpipe.problems.classification.archive import prepare_archive
from rnnpipe.problems.classification.generated import NEGATIVE, POSITIVE, write_corpus

DIGEST_400_7 = "baf30fd69678e730ff1bce13e1475897b3ac76a3e25ce8886381a16c78ab4637"


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("corpus")
    digest = write_corpus(folder / "c.tar.gz")
    prepare_archive(folder / "c.tar.gz", folder / "reviews.parquet", digest)
    return pq.read_table(folder / "reviews.parquet").to_pandas()


def test_it_is_the_same_for_ever(tmp_path: Path) -> None:
    # This digest may change only on purpose: reports and models are compared across machines.
    assert write_corpus(tmp_path / "c.tar.gz", 400, 7) == DIGEST_400_7


@settings(max_examples=10, deadline=None)
@given(st.integers(10, 60), st.integers(0, 2**31))
def test_prepare_finds_the_digest_and_the_numbers(quarters: int, seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.chdir(folder)
        digest = write_corpus(Path("a.tar.gz"), 4 * quarters, seed)
        assert write_corpus(Path("b.tar.gz"), 4 * quarters, seed) == digest
        assert Path("a.tar.gz").read_bytes() == Path("b.tar.gz").read_bytes()
        prepared = prepare_archive(Path("a.tar.gz"), Path("reviews.parquet"), digest)
    assert prepared.digest == digest
    assert prepared.reviews["train"] == 2 * quarters // 2 * 2
    assert prepared.reviews["unlabelled"] == quarters


def test_another_seed_is_another_corpus(tmp_path: Path) -> None:
    path = tmp_path / "c.tar.gz"
    assert write_corpus(path, 40, 1) != write_corpus(path, 40, 2)


def test_nothing_in_it_depends_on_the_time(tmp_path: Path) -> None:
    path = tmp_path / "c.tar.gz"
    write_corpus(path, 40)
    with gzip.open(path) as file:
        file.read(1)
        assert file.mtime == 0
    with tarfile.open(path) as tar:
        assert {(member.mtime, member.uid, member.uname) for member in tar} == {(0, 0, "")}


@pytest.mark.parametrize("number", [0, -4, 36, 402])
def test_an_odd_number_of_reviews_is_refused(tmp_path: Path, number: int) -> None:
    with pytest.raises(SourceError, match="multiple of 4"):
        write_corpus(tmp_path / "c.tar.gz", number)
    assert list(tmp_path.iterdir()) == []


def test_reviews_look_like_reviews(reviews: pd.DataFrame) -> None:
    assert Counter(reviews.split) == {"train": 2000, "test": 1000, "unlabelled": 1000}
    assert set(reviews.groupby(["split", "label"]).size()) == {500, 1000}
    words = reviews.text.str.split().str.len()
    assert words.between(20, 120).all()
    assert 0.3 < reviews.text.str.contains("<br />", regex=False).mean() < 0.7
    assert not reviews.text.str.contains(r"\ba [aeiou]", flags=re.I).any()
    assert not reviews.text.str.contains(r"[{}]|  ").any()
    rating = reviews.rating.dropna()
    assert ((rating > 5) == (reviews.label[rating.index] == 1)).all()


def test_films_have_few_reviews_and_stay_on_one_side(reviews: pd.DataFrame) -> None:
    films = reviews.groupby("film")
    assert films.size().max() == 8
    assert (films.split.nunique() == 1).all()
    assert (films.label.nunique() == 2).mean() > 0.3


def test_some_texts_stand_twice(reviews: pd.DataFrame) -> None:
    train, test, unlabelled = (
        reviews.text[reviews.split == split] for split in ("train", "test", "unlabelled")
    )
    assert 5 <= train.duplicated().sum() <= 60
    assert 2 <= len(set(train) & set(test)) <= 30
    assert 1 <= len(set(unlabelled) & set(test)) <= 20
    assert (reviews.dropna(subset="label").groupby("text").label.nunique() == 1).all()


def test_every_opinion_is_that_of_the_label(reviews: pd.DataFrame) -> None:
    """Read each review as a person would, by rules of reading that are not the grammar's."""
    for text, label in zip(reviews.text, reviews.label, strict=True):
        opinions = [
            opinion
            for sentence in re.split(r"(?<=\.)(?: |<br /><br />)", text)
            if (opinion := read_opinion(sentence)) is not None
        ]
        assert len(opinions) >= 3
        assert len(set(opinions)) == 1
        assert pd.isna(label) or opinions[0] == label


def read_opinion(sentence: str) -> int | None:
    """1 or 0 for a sentence that praises or blames; the verdict comes last."""
    words = re.findall(r"\w+", sentence.lower())
    values = [
        (at, word in POSITIVE) for at, word in enumerate(words) if word in POSITIVE + NEGATIVE
    ]
    if not values:
        return None
    at, value = values[-1]
    negators = {"not", "never"} & set(words[:at])
    # With two verdicts the negation belongs to one of them, and the other one counts.
    if len(values) == 2 and "never" in words[values[0][0] : at]:
        return int(values[0][1])
    return int(value if len(values) == 2 else value != bool(negators))


def test_counting_words_is_not_enough(reviews: pd.DataFrame) -> None:
    train, test = (reviews[reviews.split == split] for split in ("train", "test"))
    accuracies = []
    for longest in (1, 2):
        features = TfidfVectorizer(ngram_range=(1, longest), min_df=3, sublinear_tf=True)
        model = LogisticRegression(C=30.0, max_iter=1000)
        model.fit(features.fit_transform(train.text), train.label.astype(int))
        accuracies.append(model.score(features.transform(test.text), test.label.astype(int)))
    assert 0.55 < accuracies[0] < 0.75
    assert 0.80 < accuracies[1] < 0.93
