"""The rows of a table of series, read but not yet in order."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rnnpipe.series.times import TimeColumn


@dataclass(frozen=True)
class Rows:
    """A table's rows.

    Attributes:
        times: of each row.
        values: ``float64[rows, columns]``.
        names: of the columns.
        time_name: of the column of times.
        codes: ``int64[rows]``, which series each row is of, by the order of ids.
        ids: what tells the series apart.
        id_name: of the column that held them; empty: there is one series.
    """

    times: TimeColumn
    values: NDArray[np.float64]
    names: tuple[str, ...]
    time_name: str
    codes: NDArray[np.int64] | None = None
    ids: tuple[str, ...] = ("",)
    id_name: str = ""

    def told_apart(self, codes: NDArray[np.int64], ids: tuple[str, ...], name: str) -> "Rows":
        """Return the same rows, of several series."""
        return replace(self, codes=codes, ids=ids, id_name=name)

    def noted(self, note: str) -> "Rows":
        """Return the same, with something more to tell of how they were read."""
        times = replace(self.times, notes=(*self.times.notes, note))
        return replace(self, times=times)

    @property
    def key(self) -> NDArray[np.int64]:
        """Which series each row is of, ``int64[rows]``."""
        return np.zeros(len(self.values), np.int64) if self.codes is None else self.codes

    def in_order(self) -> tuple["Rows", str]:
        """Put the rows into the order of series and time, and say how they came."""
        utc, codes = self.times.utc, self.key
        passed, further = np.diff(utc), np.diff(codes)
        if not (further < 0).any() and not ((further == 0) & (passed < np.timedelta64(0))).any():
            return self, ""
        newest_first = not self.id_name and (passed < np.timedelta64(0)).all()
        order = np.lexsort((utc, codes))
        ordered = replace(
            self,
            times=self.times.sorted_by(order),
            values=self.values[order],
            codes=None if self.codes is None else self.codes[order],
        )
        if newest_first:
            return ordered, "rows came newest first: they are sorted"
        together = np.argsort(codes, kind="stable")
        if self.id_name and np.array_equal(order, together):
            return ordered, ""  # each series stood in the order of time
        return ordered, "rows were not in the order of time: they are sorted"

    def slices(self) -> Iterator[slice]:
        """Return the rows of each series, which are in order."""
        bounds = np.searchsorted(self.key, np.arange(len(self.ids) + 1))
        for begin, end in itertools.pairwise(bounds.tolist()):
            yield slice(begin, end)
