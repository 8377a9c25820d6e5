"""Texts cut into sentences, in any script: a small part of Unicode's rules (UAX #29, section 5).

- A line ends a sentence, HTML's too.
- So do exclamation and question marks, the ideographic full stop, the danda and their like, wherever
  they stand.
- A full stop does where a blank follows, unless the next word begins with a small letter, or what
  stands before it looks abbreviated: a single letter, or a capital with one or two small ones
  ("J.", "Mr.", "Mrs.").
- Closing quotes and brackets belong to the sentence before.

Where nothing ends one (Thai has no marks), the text is one sentence.
"""

import re

_STOPS = ".…"
# What Unicode calls Sentence_Terminal, in scripts that are written today.
_MARKS = "!?\u203c\u203d\u2047-\u2049\ufe56\ufe57\uff01\uff1f\u3002\uff0e\uff61\u0589\u061f\u06d4\u0964\u0965"
_MARKS += "\u104a\u104b\u1362\u1367\u1368\u17d4\u17d5"
_CLOSING = "\"'\\])}\u2019\u201d\u00bb\u300d\u300f\uff09\u3011\u300b"

_LINE = re.compile(r"[\r\n\u0085\u2028\u2029]+|</?(?:br|p|div|li|h[1-6])\b[^<>]*>", re.IGNORECASE)
_END = re.compile(
    rf"\n|[{_STOPS}]*[{_MARKS}][{_STOPS}{_MARKS}]*[{_CLOSING}]*"
    rf"|(?P<stops>[{_STOPS}]+)[{_CLOSING}]*(?=\s+(?P<next>\S)|\s*$)"
)
_ABBREVIATED = re.compile(r"(?:^|[\W_])(?:[^\W\d_]|[A-Z][a-z]{1,2})$")
_LONGEST = 4  # characters that the pattern above looks at


def split_sentences(text: str) -> list[str]:
    """Cut a text into sentences, without blanks around them; empty ones are left out.

    >>> split_sentences('Not bad at all. "Why?" asked Mr. Lee... and left!<br />3.5 stars')
    ['Not bad at all.', '"Why?"', 'asked Mr. Lee... and left!', '3.5 stars']
    >>> split_sentences("太好了。我喜欢！अच्छी फ़िल्म। देखो")
    ['太好了。', '我喜欢！', 'अच्छी फ़िल्म।', 'देखो']
    """
    text = _LINE.sub("\n", text)
    found, start = [], 0
    for end in _END.finditer(text):
        stops = end["stops"]
        if stops:
            before = text[max(start, end.start() - _LONGEST) : end.start()]
            if (end["next"] or "").islower() or (stops == "." and _ABBREVIATED.search(before)):
                continue
        found.append(text[start : end.end()])
        start = end.end()
    found.append(text[start:])
    return [sentence for part in found if (sentence := part.strip())]
