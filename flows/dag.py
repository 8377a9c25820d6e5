"""The stages, in their order, and those with nothing to do, as DVC tells them."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

from flows import dvc_child
from flows.dvc_child import stamp
from flows.stage import Outcome, environment
from rnnpipe.errors import RnnpipeError
from rnnpipe.pipeline.locks import check_locks


class DagError(RnnpipeError):
    """DVC cannot read ``dvc.yaml``."""


def read_dag(folder: Path, pipeline: Path = Path("dvc.yaml")) -> Mapping[str, tuple[str, ...]]:
    """Ask DVC for the stages of a pipeline, each with those it needs, in an order that can be run.

    Stages of other pipelines that it needs are among them. A stage of another ``dvc.yaml`` than
    the root's has the name by which DVC takes it: ``pipelines/NAME/dvc.yaml:STAGE``.

    Args:
        folder: root of the project.
        pipeline: its ``dvc.yaml``, relative to the root.

    Raises:
        DagError: ``dvc.yaml`` cannot be read; the message holds DVC's words.
    """
    return read_plan(folder, pipeline).needs


@dataclass(frozen=True)
class Plan:
    """What a run has before it.

    Attributes:
        needs: the stages, each with those it needs, in an order that can be run.
        unchanged: of the stages that have nothing to do, the stamp of each file and folder that
            this depends on, by its path (:func:`flows.dvc_child.stamp`).
    """

    needs: Mapping[str, tuple[str, ...]]
    unchanged: Mapping[str, Mapping[str, str | None]]

    @classmethod
    def of(cls, text: str) -> "Plan":
        """Read what :mod:`flows.dvc_child` prints."""
        found = json.loads(text)
        needs = {stage: set(needed) for stage, needed in found["needs"].items()}
        return cls(_in_order(needs), found["unchanged"])

    def nothing_to_do(self, stage: str, folder: Path) -> bool:
        """Tell whether a stage had nothing to do, and nothing that it depends on was touched since.

        Args:
            stage: its name.
            folder: root of the project that was asked about.
        """
        stamps = self.unchanged.get(stage, {})
        return bool(stamps) and all(stamp(folder / path) == was for path, was in stamps.items())

    def skip(self, stage: str, folder: Path) -> Outcome | None:
        """Return what becomes of a stage that has :meth:`nothing_to_do`, without a process for it."""
        unchanged = self.nothing_to_do(stage, folder)
        return Outcome(stage, "Skipped", 0.0, "unchanged") if unchanged else None


def read_plan(folder: Path, pipeline: Path = Path("dvc.yaml")) -> Plan:
    """Ask DVC, once, for the stages of a pipeline and which of them have nothing to do.

    Args:
        folder: root of the project.
        pipeline: its ``dvc.yaml``, relative to the root.

    Raises:
        DagError: ``dvc.yaml`` cannot be read; the message holds DVC's words.
        LockError: a ``dvc.lock`` is damaged.
    """
    done = subprocess.run(
        [*dvc_child.COMMAND, "plan", pipeline.as_posix()],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        check_locks(folder)
        raise DagError(f"DVC cannot read the stages of {folder}: {done.stderr.strip()}")
    return Plan.of(done.stdout)


def short_name(stage: str) -> str:
    """The name of a stage without that of its ``dvc.yaml``.

    >>> short_name("pipelines/forecasting/dvc.yaml:train"), short_name("train")
    ('train', 'train')
    """
    return stage.rpartition(":")[2]


def _in_order(needs: Mapping[str, set[str]]) -> dict[str, tuple[str, ...]]:
    ordered = tuple(TopologicalSorter(needs).static_order())
    return {stage: tuple(name for name in ordered if name in needs[stage]) for stage in ordered}
