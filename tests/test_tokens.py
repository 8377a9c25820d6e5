import os
import re
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnpipe.errors import RegistryError
from rnnpipe.storage.files import read_json, write_json
from rnnpipe.text.tokens import CHUNK, UNKNOWN_ID, StoredIds, concatenate, split_words
from rnnpipe.text.vocabulary import Vocabulary
from rnnpipe.text.word_rules import RULES

TEXTS = st.lists(st.text(max_size=60), min_size=1, max_size=12)


def words_of(text: str) -> list[str]:
    """The rules of today once more, a letter at a time, for plain ASCII without a colon."""
    runs = re.findall(r"[a-z0-9']+", re.sub(r"</?[A-Za-z][^<>]*>", " ", text).lower())
    return [word for run in runs if (word := run.strip("'"))]


def split(texts: list[str]) -> list[list[str]]:
    words = split_words(pa.array(texts, pa.string()))
    distinct = words.distinct.to_pylist()
    return [[distinct[code] for code in words.codes[row]] for row in range(len(texts))]


@given(st.lists(st.text("abcXYZ019'.,!- \n<br />", max_size=60), min_size=1, max_size=12))
def test_splitting_agrees_with_the_rules_written_plainly(texts):
    assert split(texts) == [words_of(text) for text in texts]


@given(TEXTS)
def test_a_texts_words_do_not_depend_on_its_neighbours(texts):
    assert split(texts) == [split([text])[0] for text in texts]


@given(TEXTS)
def test_words_are_distinct_and_never_empty(texts):
    distinct = split_words(pa.array(texts, pa.string())).distinct.to_pylist()
    assert len(set(distinct)) == len(distinct)
    assert all(word for line in split(texts) for word in line)


@given(TEXTS)
def test_every_text_becomes_at_least_one_id_inside_the_vocabulary(texts):
    counts = Counter(word for line in split(texts) for word in line)
    vocabulary = Vocabulary.learn(counts, size=10, min_count=1)
    encoded = vocabulary.encode_texts(texts)
    assert len(encoded) == len(texts)
    assert (encoded.lengths >= 1).all()
    assert ((encoded.values >= UNKNOWN_ID) & (encoded.values < len(vocabulary))).all()
    for row, line in enumerate(split(texts)):
        known = [
            vocabulary.words.index(word) + 2 if word in vocabulary.words else 1 for word in line
        ]
        assert encoded[row].tolist() == (known or [UNKNOWN_ID])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Čudovišno! Ça va — film", ["čudovišno", "ça", "va", "film"]),
        ("यह फिल्म बहुत अच्छी है।", ["यह", "फिल्म", "बहुत", "अच्छी", "है"]),
        ("مُمْتَاز جِدًّا", ["مُمْتَاز", "جِدًّا"]),
        ("می\u200cخواهم \u200dx", ["می\u200cخواهم", "x"]),
        ("很好看 film", ["很", "好", "看", "film"]),
        ("とてもいい。カメラ", ["と", "て", "も", "い", "い", "カ", "メ", "ラ"]),
        ("ดีครับ", ["ดี", "ค", "รั", "บ"]),
        ("I don’t, don´t, don`t; ‘so’ `so´", ["i", "don't", "don't", "don't", "so", "so"]),
        ("It&#39;s &quot;caf&eacute;&quot; &x &#xZ;", ["it's", "café", "x", "xz"]),
        ("a<br>b<br/>c<BR />d<p class='x'>e</p>f", ["a", "b", "c", "d", "e", "f"]),
        ("1 < 2 and 3 > 2", ["1", "2", "and", "3", "2"]),
        ("😀😀 👍🏽👍 ❤️", ["😀", "😀", "👍", "👍", "❤"]),
        ("👨‍👩‍👧 🇩🇪🇫🇷", ["👨‍👩‍👧", "🇩🇪", "🇫🇷"]),
        ("good:) bad :-( sad :'( ;) :D", ["good", "🙂", "bad", "🙁", "sad", "😢", "😉", "😀"]),
        ("I <3 it :/ :P", ["i", "❤", "it", "😕", "😛"]),
        ("http://a.b 10:30 a:b (see: D)", ["http", "a", "b", "10", "30", "a", "b", "see", "d"]),
    ],
)
def test_what_a_word_is(text, words):
    assert split([text]) == [words]


def test_old_models_keep_their_rules():
    words = split_words(pa.array(["I don’t<br />like:) हिन्दी", "A<br>b"]), 1)
    found = [[words.distinct[code].as_py() for code in words.codes[row]] for row in range(2)]
    assert found == [["i", "don", "t", "like", "ह", "न", "द"], ["a", "br", "b"]]


@given(TEXTS)
def test_how_a_letter_is_put_together_changes_no_word(texts):
    """A file from one system holds é as one sign, that of another as two."""
    forms = [[unicodedata.normalize(form, text) for text in texts] for form in ("NFC", "NFD")]
    assert split(forms[0]) == split(forms[1])


@given(st.lists(st.sampled_from(["ab", "don't", "é", "हिन्दी", "好", "😀", "🙂"]), max_size=8))
def test_words_put_together_again_are_split_alike(words):
    assert split([" ".join(words)]) == split([" . ".join(words)])
    assert [word for one in words for word in split([one])[0]] == split([" ".join(words)])[0]


def test_the_most_frequent_words_get_the_lowest_ids_and_ties_go_by_the_alphabet():
    counts = Counter({"b": 3, "a": 3, "c": 5, "rare": 1})
    assert Vocabulary.learn(counts, size=5, min_count=2).words == ("c", "a", "b")
    assert Vocabulary.learn(counts, size=4, min_count=2).words == ("c", "a")


def test_many_texts_come_back_in_order():
    vocabulary = Vocabulary(tuple(str(number) for number in range(100)))
    texts = [str(number % 100) for number in range(3 * CHUNK + 17)]
    encoded = vocabulary.encode_texts(texts)
    np.testing.assert_array_equal(encoded.values, np.arange(len(texts)) % 100 + 2)


def test_no_text_is_no_sequence():
    assert len(Vocabulary(("a",)).encode_texts([])) == 0
    assert len(concatenate([])) == 0


@pytest.mark.parametrize("rules", RULES)
def test_a_vocabulary_comes_back_as_it_was_saved(tmp_path, rules):
    vocabulary = Vocabulary(("ça", "it's"), rules)
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary


def test_a_vocabulary_of_other_rules_is_refused(tmp_path):
    path = tmp_path / "vocabulary.json"
    Vocabulary(("a",)).save(path)
    write_json(path, read_json(path) | {"rules": {"version": 99}})
    with pytest.raises(RegistryError, match="word rules"):
        Vocabulary.load(path)


def test_bytes_that_are_no_text_read_as_question_marks():
    vocabulary = Vocabulary(("caf",))
    assert vocabulary.encode_texts(["caf\udce9"])[0].tolist() == [2]


def test_one_text_is_not_taken_for_its_letters():
    with pytest.raises(TypeError, match="brackets"):
        Vocabulary(("a",)).encode_texts("not good")


@pytest.mark.parametrize("value", [None, 3, b"a", float("nan"), ["a"]])
def test_what_is_no_text_is_named_by_its_position(value):
    with pytest.raises(TypeError, match="at position 1, expected a text"):
        Vocabulary(("a",)).encode_texts(["a", value])


@given(st.data())
def test_stored_ids_are_those_of_the_file(data):
    ids = np.arange(data.draw(st.integers(0, 40)), dtype=np.int32)
    bounds = st.none() | st.integers(-50, 50)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "token_ids.npy"
        np.save(path, ids)
        stored = StoredIds.open(path)
        np.testing.assert_array_equal(np.asarray(stored), ids)
        for _ in range(3):
            part = slice(data.draw(bounds), data.draw(bounds))
            np.testing.assert_array_equal(stored[part], ids[part])
            start, stop, _ = part.indices(len(ids))
            if start <= stop:
                stored, ids = stored.between(start, stop), ids[start:stop]
            assert len(stored) == len(ids)


def test_a_file_of_ids_that_was_cut_off_is_noticed(tmp_path):
    np.save(tmp_path / "token_ids.npy", np.arange(40, dtype=np.int32))
    stored = StoredIds.open(tmp_path / "token_ids.npy")
    os.truncate(tmp_path / "token_ids.npy", 200)
    assert stored[:10].tolist() == list(range(10))
    with pytest.raises(EOFError, match="40 ids"):
        stored[:]
