"""Cells of files that people open in a spreadsheet: text stays text."""

import unicodedata

_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # also as wide as East Asian letters


def plain_cell(text: str) -> str:
    """Return a cell's text so that no spreadsheet takes it for a formula.

    As OWASP advises against CSV injection, an apostrophe goes before what begins like one, behind
    whatever a spreadsheet may skip.

    >>> plain_cell("=1+1"), plain_cell("1 = 1")
    ("'=1+1", '1 = 1')
    """
    for char in text:
        if char in _FORMULA:
            return f"'{text}"
        if not (char.isspace() or unicodedata.category(char) in ("Cc", "Cf")):
            break
    return text
