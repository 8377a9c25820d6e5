"""How ``rnnpipe init`` words what it found in labels and texts."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rnnpipe.config.rewrite import Change
from rnnpipe.errors import quoted

_SCRIPTS = {"CJK": "Han"}
_FEW_CLASSES = 6
# Keys of labels that pandas and others write for none.
_NO_LABELS = frozenset(["nan", "none", "null", "na", "n/a", "#n/a", "<na>", "nat"])


def few(names: Iterable[str]) -> str:
    """Name the first of some, and count the others."""
    told = list(names)
    more = f" and {len(told) - _FEW_CLASSES} more" if len(told) > _FEW_CLASSES else ""
    return ", ".join(told[:_FEW_CLASSES]) + more


def told_classes(classes: Mapping[str, tuple[str, int]]) -> str:
    """Name the most frequent classes with their rows."""
    most = sorted(classes.values(), key=lambda found: -found[1])
    told = ", ".join(f"{written[:40]} ({count:,})" for written, count in most[:_FEW_CLASSES])
    return told + (f", and {len(most) - _FEW_CLASSES} more" if len(most) > _FEW_CLASSES else "")


def told_labels(
    classes: Mapping[str, tuple[str, int]], values: Mapping[str, Any], changes: Sequence[Change]
) -> Iterator[str]:
    """What later stages refuse of the classes, and what may be none."""
    if nothing := [written for key, (written, _) in classes.items() if key in _NO_LABELS]:
        yield (
            f"  {few(map(quoted, nothing))} may stand for no label: if so, empty such cells, or map it to"
            " null in prepare.labels, which leaves the rows out"
        )
    least = (values.get("validate") or {}).get("min_class_share")
    least = next((each.value for each in changes if each.key == "validate.min_class_share"), least)
    if isinstance(least, int | float):
        total = sum(count for _, count in classes.values())
        rare = [name for name, count in classes.values() if count < least / len(classes) * total]
        if rare:
            yield (
                f"  rare: {few(map(quoted, rare))}, less than {least:g} of an even share, which the stage"
                " validate refuses: give more, map it to another class in prepare.labels, or lower"
                " validate.min_class_share"
            )


def told_scripts(characters: Counter[str]) -> str:
    """Name the scripts of texts, the most frequent first."""
    counts: Counter[str] = Counter()
    for sign, count in characters.items():
        if sign.isalpha():
            word = unicodedata.name(sign, "").split(" ")[0].removesuffix("-")
            counts[_SCRIPTS.get(word, word.capitalize())] += count
    letters = sum(counts.values())
    return ", ".join(name for name, count in counts.most_common(4) if count > 0.01 * letters) or (
        "no letters"
    )
