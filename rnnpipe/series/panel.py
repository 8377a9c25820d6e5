"""Panels: many series of the same quantities, each over its own time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnnpipe.config.series import Windows
from rnnpipe.errors import SourceError, quoted
from rnnpipe.series.calendar import Step
from rnnpipe.series.form import Form
from rnnpipe.series.table import SPLITS, Series, divide, require_regular


@dataclass(frozen=True)
class Panel:
    """Series that are learnt together; or one alone, which has no name.

    Attributes:
        ids: what tells the series apart, in their order; ``("",)`` of one alone.
        parts: the series, alike in columns, step and form.
        id_name: of the column that held the ids; empty of one alone.
    """

    ids: tuple[str, ...]
    parts: tuple[Series, ...]
    id_name: str = ""

    @classmethod
    def of(cls, series: Series) -> "Panel":
        """Take a series alone."""
        return cls(("",), (series,))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns that are forecast."""
        return self.parts[0].names

    @property
    def time_name(self) -> str:
        """Of the column that held the times."""
        return self.parts[0].time_name

    @property
    def form(self) -> Form:
        """How the file writes times and numbers."""
        return self.parts[0].form

    @property
    def step(self) -> Step:
        """What lies between two times of a series."""
        return self.parts[0].step

    def __len__(self) -> int:
        """Rows of all series together."""
        return sum(map(len, self.parts))

    def with_form(self, form: Form) -> "Panel":
        """Return the same, written in another form."""
        return replace(self, parts=tuple(replace(part, form=form) for part in self.parts))


def require_regular_steps(panel: Panel, origin: str) -> None:
    """Make sure that one step of time is as long as another, in each series.

    Raises:
        SourceError: it is not: the message names series and row.
    """
    for name, part in zip(panel.ids, panel.parts, strict=True):
        where = f"{origin}, {panel.id_name} {quoted(name)}" if panel.id_name else origin
        require_regular(part, where)


def divide_each(
    panel: Panel, windows: Windows
) -> tuple[dict[str, tuple[range, ...]], tuple[str, ...]]:
    """Return each split its steps of each series, counted through all, one after the other.

    Args:
        panel: of many series those that are too short are left out; of one alone none may be.
        windows: shares or lengths of the splits; look-back and horizons.

    Returns:
        By split a range a series, empty where it is left out, and the ids of those.

    Raises:
        SourceError: there is none that is long enough.
    """
    found: dict[str, list[range]] = {split: [] for split in SPLITS}
    left_out, begin, fault = [], 0, None
    for name, part in zip(panel.ids, panel.parts, strict=True):
        try:
            splits = divide(len(part), windows)
        except SourceError as error:
            fault = error
            left_out.append(name)
            splits = dict.fromkeys(SPLITS, range(0))
        for split, steps in splits.items():
            found[split].append(range(begin + steps.start, begin + steps.stop))
        begin += len(part)
    if fault and len(left_out) == len(panel.ids):
        if not panel.id_name:
            raise fault
        raise SourceError(f"of {len(left_out):,} series none is long enough; the last one: {fault}")
    return {split: tuple(steps) for split, steps in found.items()}, tuple(left_out)


def few_ids(ids: Sequence[str], most: int = 5) -> str:
    """Name some series, and say how many there are more."""
    more = f" and {len(ids) - most:,} more" if len(ids) > most else ""
    return ", ".join(map(quoted, ids[:most])) + more


def lengths_of(panel: Panel) -> str:
    """Say how many series there are, and how long."""
    sizes = np.array([len(part) for part in panel.parts])
    if sizes.min() == sizes.max():
        return f"{len(sizes):,} series of {sizes[0]:,} steps"
    return f"{len(sizes):,} series of {sizes.min():,} to {sizes.max():,} steps"
