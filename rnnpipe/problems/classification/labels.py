"""What a label is called: one rule for the cells of a table and for the keys of parameters."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rnnpipe.errors import ParameterError, quoted


def plain_value(value: Any) -> str | None:
    """A cell's value as text; None where there is none.

    >>> plain_value(" pos "), plain_value(1.0), plain_value("1.0"), plain_value(True)
    ('pos', '1', '1', 'true')
    >>> plain_value(""), plain_value(float("nan"))
    (None, None)
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    # pandas writes 1.0 for 1 as soon as one cell of the column is empty.
    return re.sub(r"^(-?[0-9]+)\.0+$", r"\1", str(value).strip()) or None


def is_number(text: str) -> bool:
    """Whether a cell reads as a number, also with a decimal comma.

    >>> is_number("-4,5"), is_number("1e-05"), is_number("4 stars")
    (True, True, False)
    """
    number = r"[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]+)?"
    return re.fullmatch(number, text) is not None


def label_key(value: Any) -> str | None:
    """A label without what people write in one way and another: capitals, blanks, ``.0``, NFD.

    >>> label_key(" Very  Good"), label_key("TRUE"), label_key(True), label_key("4.50")
    ('very good', 'true', 'true', '4.5')
    """
    text = plain_value(value)
    if text is None:
        return None
    # Unicode's own rule: letters are taken apart, so that capitals are known, and put together.
    text = unicodedata.normalize("NFD", " ".join(text.split())).casefold()
    text = unicodedata.normalize("NFC", text)
    return re.sub(r"^(-?[0-9]+\.[0-9]*[1-9])0+$", r"\1", text)


def labels_of(written: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return what each label means, as cells are read: yes and Yes, 1 and 1.0 are one label.

    So are the names of classes: Good and good are one class, called as it is first.

    Args:
        written: the parameter ``prepare.labels``.

    Returns:
        The name of the class of each label's key, None where its rows are left out; the classes in
        the order in which the parameter first names them.

    Raises:
        ParameterError: one label has two meanings.
    """
    found: dict[str, str | None] = {}
    names: dict[str | None, str | None] = {None: None}
    for label, meaning in written.items():
        key, name = label_key(label) or "", names.setdefault(label_key(meaning), meaning)
        if found.setdefault(key, name) != name:
            one, other = (value and quoted(value) for value in (found[key], name))
            raise ParameterError(
                f"prepare.labels means two things by {quoted(key)} (capitals, blanks and .0 do not"
                f" count): {one or 'null'} and {other or 'null'}"
            )
    return found


def names_of(spellings: Iterable[tuple[str, int]]) -> dict[str, str]:
    """Name each label as it is written most often; of equals, as it is first.

    Args:
        spellings: each as :func:`plain_value` has it, with its number of rows, by its first row.

    Returns:
        The name by the label's key.

    >>> names_of([("good", 2), ("Good", 3), ("bad", 1), ("BAD", 1)])
    {'good': 'Good', 'bad': 'bad'}
    """
    rows: dict[str, Counter[str]] = {}
    for spelling, count in spellings:
        # A name is one line: blanks within it are single ones.
        rows.setdefault(label_key(spelling) or "", Counter())[" ".join(spelling.split())] += count
    # The first of those with most is the first that was met.
    return {key: counts.most_common(1)[0][0] for key, counts in rows.items()}
