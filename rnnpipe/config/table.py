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
    encoding: str = knob(
        "utf-8",
        "of the text, such as cp1252; UTF-16 is known by its mark",
        "CSV only; a file of another encoding is refused",
        pattern=r"^[A-Za-z][A-Za-z0-9_.-]{1,30}$",
    )
    escape: Literal["none", "backslash"] = knob(
        "none",
        'backslash: \\" within quotes is a quote; a quote written twice is one in either case',
        "CSV only; what a database exported often needs it",
    )
