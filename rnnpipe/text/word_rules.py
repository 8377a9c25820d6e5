"""What counts as a word: the rules by number, each model is used by those that it was trained with.

Version 2, the rules of today:

- Unicode's NFC, in lower case; a mark belongs to its letter, a joiner to its word.
- Apostrophes of all kinds are one; at the ends of a word they are quotes, and go.
- HTML's tags separate, its entities are read.
- An emoji is a word, skin tones aside; an emoticon is the emoji it stands for.
- In scripts without blanks each letter, with its marks, is a word.
- All else separates.

Version 1 knew letters, digits, the plain apostrophe, and ``<br />`` alone.
"""

import html
import re
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

CURRENT = 2
# Saved with every vocabulary.
RULES: Mapping[int, Mapping[str, Any]] = {
    1: {"version": 1, "lower_case": True, "line_break": "<br />", "separator": r"[^\pL\pN']+"},
    2: {"version": 2},
}

_EMOJI = r"\x{2600}-\x{27BF}\x{2B50}\x{2B55}\x{1F000}-\x{1FAFF}"
_JOINERS = "\u200c\u200d"  # within a word of Persian or Hindi, and between emoji
_SEPARATOR = rf"[^\pL\pM\pN'{_JOINERS}{_EMOJI}]+"
_TAG = r"</?[A-Za-z][^<>]*>"
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_APOSTROPHES = "[\u2018\u2019\u201b\u02bc\uff07`\u00b4]"
# Variation selectors and skin tones: how a sign is drawn, not which one it is.
_DRAWING = r"[\x{FE0E}\x{FE0F}\x{1F3FB}-\x{1F3FF}]"
_ONE_EMOJI = (
    rf"[\x{{1F1E6}}-\x{{1F1FF}}]{{2}}|[{_EMOJI}](?:\x{{200D}}[{_EMOJI}])*"  # a flag is two letters
)
_WITHOUT_BLANKS = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\pM*"
# Eyes, perhaps a nose, a mouth; the emoji's name in Unicode says what is meant.
_NOSE = "[-'^o]?"
_EMOTICONS = (
    (rf"[:=]'{_NOSE}[(\[]", "\U0001f622"),  # crying face
    (rf"[:=]{_NOSE}[)\]]", "\U0001f642"),  # slightly smiling face
    (rf"[:=]{_NOSE}[(\[]", "\U0001f641"),  # slightly frowning face
    (rf";{_NOSE}[)\]]", "\U0001f609"),  # winking face
    (rf"[:=]{_NOSE}D\b", "\U0001f600"),  # grinning face
    (rf"[:=]{_NOSE}[Pp]\b", "\U0001f61b"),  # face with tongue
    (r"[:=][-^']?[/\\]([^/]|$)", "\U0001f615 \\1"),  # confused face; no address
    ("<3", "\u2764"),  # heavy black heart
)
# What is looked at more closely than at plain words, signs and tags.
_SPECIAL = r"[^\x00-\x7F]|[`]|<3|[:;=][-'^o]?['()\[\]DPp/\\]"


def separated(texts: pa.Array, version: int) -> tuple[pa.Array, str, str]:
    """Make texts ready to be cut into words.

    Args:
        texts: ``string[n]`` without nulls.
        version: of the rules.

    Returns:
        The texts in lower case; the pattern (RE2) of what separates words; the characters that go
        where they stand at the ends of one.
    """
    if version == 1:
        spaced = pc.replace_substring(pc.utf8_lower(texts), RULES[1]["line_break"], " ")
        return spaced, RULES[1]["separator"], "'"
    texts = _where(texts, "&", _read_entities)
    if pc.any(pc.match_substring(texts, "<")).as_py():
        texts = pc.replace_substring_regex(texts, _TAG, " ")
    texts = _where(texts, _SPECIAL, _plain)
    return pc.utf8_lower(texts), _SEPARATOR, "'" + _JOINERS


def _where(texts: pa.Array, pattern: str, change: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Change the texts in which a pattern is found, which are few."""
    found = pc.match_substring_regex(texts, pattern)
    if not pc.any(found).as_py():
        return texts
    return pc.replace_with_mask(texts, found, change(texts.filter(found)).cast(texts.type))


def _read_entities(texts: pa.Array) -> pa.Array:
    return pa.array(
        [_ENTITY.sub(lambda found: html.unescape(found[0]), text) for text in texts.to_pylist()],
        texts.type,
    )


def _plain(texts: pa.Array) -> pa.Array:
    """Write texts in the signs that the separator knows."""
    texts = pc.replace_substring_regex(texts, _APOSTROPHES, "'")
    texts = pc.replace_substring_regex(texts, _DRAWING, "")
    for pattern, sign in _EMOTICONS:
        texts = pc.replace_substring_regex(texts, pattern, f" {sign} ")
    # Lower case may part what NFC had put together.
    normal = pc.utf8_normalize(pc.utf8_lower(pc.utf8_normalize(texts, "NFC")), "NFC")
    return pc.replace_substring_regex(normal, f"({_ONE_EMOJI}|{_WITHOUT_BLANKS})", r" \1 ")
