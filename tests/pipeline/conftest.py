"""Copies of the finished project, for tests of its pipelines."""

from pathlib import Path

import pytest
from projects import copy

from rnnpipe.commands.project_copy import ProjectCopy


@pytest.fixture
def project(finished_root: ProjectCopy, tmp_path: Path) -> ProjectCopy:
    """A copy of the finished root pipeline, free to change."""
    return copy(finished_root, tmp_path / "project")


@pytest.fixture
def quick_project(quick: ProjectCopy, tmp_path: Path) -> ProjectCopy:
    """The same with stages that take a moment."""
    return copy(quick, tmp_path / "project")
