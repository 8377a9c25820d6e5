"""The DAG as a drawing in layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnnpipe.reporting.dag import direct

_BOX, _GAP = (168.0, 34.0), (20.0, 26.0)


@dataclass(frozen=True)
class Diagram:
    """A drawn graph: size, boxes with the middle of each, and edges as SVG paths."""

    width: float
    height: float
    box: tuple[float, float]
    nodes: tuple[tuple[str, float, float], ...]
    edges: tuple[str, ...]


def draw(dag: Mapping[str, Sequence[str]]) -> Diagram:
    """Lay a graph out from top to bottom, one row for each step of its longest chain.

    An edge that passes rows takes a place in each of them, so that no line crosses a box
    (Sugiyama, Tagawa and Toda 1981, https://doi.org/10.1109/TSMC.1981.4308636).

    Args:
        dag: stages, each with those it depends on, in topological order.
    """
    edges = direct(dag)
    row: dict[str, int] = {}
    for name, needs in edges.items():
        row[name] = 1 + max((row[other] for other in needs), default=-1)
    rows: list[list[Any]] = [[] for _ in range(1 + max(row.values(), default=-1))]
    chains: list[list[Any]] = []
    for name in edges:
        rows[row[name]].append(name)
    for name, needs in edges.items():
        for other in needs:
            between = [(other, name, level) for level in range(row[other] + 1, row[name])]
            for place in between:
                rows[place[2]].append(place)
            chains.append([other, *between, name])
    step = (_BOX[0] + _GAP[0], _BOX[1] + _GAP[1])
    width = max(map(len, rows), default=1) * step[0]
    middle: dict[Any, tuple[float, float]] = {}
    for level, places in enumerate(rows):
        for number_, place in enumerate(places):
            x = width / 2 + (number_ - (len(places) - 1) / 2) * step[0]
            middle[place] = (x, level * step[1] + step[1] / 2)
    return Diagram(
        width,
        len(rows) * step[1],
        _BOX,
        tuple((name, *middle[name]) for name in edges),
        tuple(_line([middle[place] for place in chain]) for chain in chains),
    )


def _line(points: Sequence[tuple[float, float]]) -> str:
    """A smooth line from the foot of the first box to the head of the last."""
    half = _BOX[1] / 2
    x, y = points[0]
    path = f"M{x:g} {y + half:g}"
    for number_, (right, down) in enumerate(points[1:], start=2):
        head = down - half - (4 if number_ == len(points) else 0)
        bend = (y + half + head) / 2
        path += f"C{x:g} {bend:g} {right:g} {bend:g} {right:g} {head:g}"
        if number_ < len(points):
            path += f"V{down + half:g}"
        x, y = right, down
    return path
