"""Names that somebody else chose, in a picture: as they are where the font can, else a number."""

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache

from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text

from rnnpipe.errors import printable

_MOST_SIGNS = 24
_FONT = "DejaVu Sans"  # comes with Matplotlib, so that a picture depends on no machine's fonts
_JOINED = frozenset(
    ("R", "AL", "AN")
)  # written from the right, and joined: Matplotlib does neither


def drawn_names(names: Sequence[str], kind: str = "class") -> list[str]:
    """Return what a picture calls each class: its name, not too long, else ``class 3``.

    Names that are cut to one and the same, or that the font lacks signs for, are told apart by
    the number of the label; the report's table by class has the names beside the numbers.

    Args:
        names: as they came.
        kind: what they are names of.

    >>> drawn_names(["good", "坏", "$5_"])
    ['good', 'class 1', '$5_']
    """
    cut = [_cut(printable(name)) for name in names]
    numbered = [f"{kind} {label}" for label in range(len(names))]
    shown = [
        name if _can_be_drawn(name) and cut.count(name) == 1 else number
        for name, number in zip(cut, numbered, strict=True)
    ]
    # A class may be called as another one is numbered.
    return shown if len(set(shown)) == len(shown) else numbered


def write_plainly(texts: Iterable[Text], names: Sequence[str]) -> None:
    """Set texts of a picture to names: no ``$`` begins a formula, no ``_`` hides a line."""
    for text, name in zip(texts, names, strict=True):
        text.set_parse_math(False)
        text.set_text(name)


def _cut(name: str) -> str:
    return name if len(name) <= _MOST_SIGNS else f"{name[: _MOST_SIGNS - 1]}…"


def _can_be_drawn(name: str) -> bool:
    return bool(name.strip()) and all(
        ord(sign) in _known_signs() and unicodedata.bidirectional(sign) not in _JOINED
        for sign in name
    )


@cache
def _known_signs() -> frozenset[int]:
    return frozenset(get_font(findfont(_FONT)).get_charmap())
