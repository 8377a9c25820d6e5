"""How a CSV is read, as keys of a section of parameters."""

from typing import Literal

from rnnpipe.config.section import Section, knob


class CsvKeys(Section):
    """How quotes are written in a table of your own."""

    quoting: Literal["double", "none"] = knob(
        "double",
        "double: double quotes around texts with commas or line breaks; none: a quote is a sign",
        "CSV only; a stray quote would make many rows one, so it is refused and named",
    )
    escape: Literal["none", "backslash"] = knob(
        "none",
        'backslash: \\" within quotes is a quote; a quote written twice is one in either case',
        "CSV only; what a database exported often needs it",
    )
