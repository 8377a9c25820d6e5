"""Markdown that two interfaces show alike, whatever text is put into it."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flows.serving.pages import PAGES_VARIABLE

if TYPE_CHECKING:
    pass


_MAX_TEXT = 300
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$:=\"'-])")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\s]+")


def text(value: Any) -> str:
    r"""Any value as plain text on one line of Markdown, whatever it holds; long ones are cut.

    >>> print(text("a|b <script>"))
    a\|b \<script\>
    """
    line = _UNSEEN.sub(" ", str(value)).strip()
    if len(line) > _MAX_TEXT:
        line = line[:_MAX_TEXT] + "…"
    return _SPECIAL.sub(r"\\\1", line)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """A table of cells that are Markdown already.

    Args:
        head: titles of the columns.
        rows: a cell a column.
        align: for each column l, r or c.
    """
    rules = {"l": ":---", "r": "---:", "c": ":---:"}
    lines = [head, [rules[side] for side in align], *rows]
    return "\n".join(f"| {' | '.join(cell or ' ' for cell in line)} |" for line in lines)


def link(folder: Path, path: Path) -> str:
    """A page of the project: a link where it is there and served, the file's path elsewhere.

    Data Docs are not there in a run that skipped the check: they hold times, so DVC keeps none.
    """
    file = (folder / path).resolve()
    if (base := os.environ.get(PAGES_VARIABLE)) and file.is_file():
        below = file.relative_to(folder.resolve().parent).as_posix()
        return f"[{text(path.as_posix())}](<{base.rstrip('/')}/{quote(below)}>)"
    return text(file)


def label(value: str) -> str:
    """A text that cannot end a mermaid label: all but the plainest characters as codes."""
    line = _UNSEEN.sub(" ", value)
    return "".join(c if c.isalnum() or c in "_ .,/-" else f"#{ord(c)};" for c in line)


def fenced(lines: Sequence[str]) -> str:
    """Return lines as a block that shows them as they are."""
    body = "\n".join(_UNSEEN.sub(" ", line) for line in lines)
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{body}\n{fence}"
