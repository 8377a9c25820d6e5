"""What a label is called: one rule for the cells of a table and for the keys of parameters."""

import math
import re
from collections.abc import Mapping
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


def label_key(value: Any) -> str | None:
    """A label without what people write in one way and another: capitals, blanks, ``.0``.

    >>> label_key(" Very  Good"), label_key("TRUE"), label_key(True), label_key("4.50")
    ('very good', 'true', 'true', '4.5')
    """
    text = plain_value(value)
    if text is None:
        return None
    text = " ".join(text.split()).casefold()
    return re.sub(r"^(-?[0-9]+\.[0-9]*[1-9])0+$", r"\1", text)


def labels_of(written: Mapping[str, str]) -> dict[str, str]:
    """Return what each label means, as cells are read: yes and Yes, 1 and 1.0 are one label.

    Args:
        written: the parameter ``prepare.labels``.

    Raises:
        ParameterError: one label has two meanings.
    """
    found: dict[str, str] = {}
    for label, meaning in written.items():
        key = label_key(label) or ""
        if found.setdefault(key, meaning) != meaning:
            raise ParameterError(
                f"prepare.labels means two things by {quoted(key)} (capitals, blanks and .0 do not"
                f" count): {quoted(found[key])} and {quoted(meaning)}"
            )
    return found
