"""Texts cut into sentences."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnpipe.text.sentences import split_sentences

PARTS = ["Good", "so", "Mr", "U.S", "3.5", "a", "I", ".", "...", "!", "?!", '"', ")", " ", "\n"]
PARTS += ["<br />", "<i>", "。", "！", "好", "।", "फ़िल्म", "؟", "ดี", "\u00a0", "J", "…"]
TEXTS = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PARTS), max_size=20).map("".join))


@given(TEXTS)
def test_nothing_is_lost_but_blanks_and_ends_of_lines(text):
    def told(parts):
        return "".join("".join(parts).split())

    lines = re.sub(r"</?(?:br|p|div|li|h[1-6])\b[^<>]*>", "\n", text, flags=re.IGNORECASE)
    assert told(split_sentences(text)) == told([lines])


@given(TEXTS)
def test_a_sentence_is_one_and_has_no_blanks_around_it(text):
    for sentence in split_sentences(text):
        assert sentence == sentence.strip() != ""
        assert split_sentences(sentence) == [sentence]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mr. J. R. Smith is in it. He sings.", ["Mr. J. R. Smith is in it.", "He sings."]),
        ("I waited... and waited. OK. So?!", ["I waited... and waited.", "OK.", "So?!"]),
        ('"A gem." (Really.) 7.5 of 10.', ['"A gem."', "(Really.)", "7.5 of 10."]),
        ("See imdb.com now!It pays", ["See imdb.com now!", "It pays"]),
        ("One<br /><br>two<P class='x'>three", ["One", "two", "three"]),
        ("很好。“不错！”他说", ["很好。", "“不错！”", "他说"]),
        ("बढ़िया है। देखो॥", ["बढ़िया है।", "देखो॥"]),
        ("جيد؟ نعم! یہ فلم اچھی ہے۔ ہاں", ["جيد؟", "نعم!", "یہ فلم اچھی ہے۔", "ہاں"]),
        ("ดีมาก ชอบ", ["ดีมาก ชอบ"]),
        (" \n ", []),
    ],
)
def test_sentences_of_many_scripts(text, expected):
    assert split_sentences(text) == expected
